"""One target under the fuzzer, or on one kept input: `python -m tests.fuzz.one TARGET [...]`."""

import contextlib
import io
import os
import sys

# The fuzzer follows branches of Python code; compiled modules have none that it sees.
os.environ["CDC_PURE_PYTHON"] = "1"

import atheris

# It names every module on standard error.
with (
    contextlib.redirect_stderr(io.StringIO()),
    atheris.instrument_imports(include=["cdc", "connectors"]),
):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Does not return: the fuzzer ends the process."""
    target = TARGETS[sys.argv[1]]

    def one_input(data: bytes) -> None:
        try:
            target.run(data)
        except target.allowed:
            return

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one_input)
    atheris.Fuzz()


main()
