"""Fuzz every target for its share of the time, each in a process of its own.

    python -m tests.fuzz [--seconds 600] [TARGET ...]

Inputs that raised something else, took over ten seconds or a gigabyte are kept under .fuzz/TARGET;
`python -m tests.fuzz.one TARGET FILE` runs one of them again.
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.fuzz.targets import INPUT_BYTES_MAX, TARGETS

FOLDER: Final = Path(".fuzz")
_INPUT_TIMEOUT_S: Final = 10
_MEMORY_MIB_MAX: Final = 1024


def main() -> int:
    """0 when nothing was found, 1 when something was, 2 when fuzzing is not possible here."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        print(
            "The fuzzer atheris is not installed: pip install '.[fuzz]' (it has packages for "
            "CPython 3.11 to 3.13 on Linux)."
        )
        return 2
    names = options.targets or list(TARGETS)
    seconds = max(1, options.seconds // len(names))
    return max(_fuzz(name, seconds) for name in names)


def _fuzz(name: str, seconds: int) -> int:
    corpus = FOLDER / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    print(f"{name}: {seconds} s", flush=True)
    arguments = [
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={_INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={_MEMORY_MIB_MAX}",
        f"-artifact_prefix={FOLDER / name}/",
        "-print_final_stats=1",
        "-verbosity=0",
        str(corpus),
    ]
    ended = subprocess.run([sys.executable, "-m", "tests.fuzz.one", name, *arguments], check=False)
    print(f"{name}: {'nothing found' if ended.returncode == 0 else 'FOUND something, see above'}")
    return 0 if ended.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
