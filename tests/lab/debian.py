"""Debian's packages: unpacked privately, or installed if this is root, and never silently."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab.cache import announce, filled, locked
from tests.lab.errors import Unavailable

_TIMEOUT_S = 900


def install_packages(what: str, packages: Sequence[str]) -> None:
    """Install system packages that bring `what`, after saying so on standard error.

    Raises Unavailable if this process may not (no root, no apt-get) or the installation fails.
    """
    names = " ".join(packages)
    remedy = f"install the system package {names}"
    if os.geteuid() != 0:
        raise Unavailable(f"no {what} on this machine, and only root can install it", remedy)
    if shutil.which("apt-get") is None:
        raise Unavailable(f"no {what} on this machine, and no apt-get to install it with", remedy)
    with locked("apt-get"):
        announce(f"no {what} here: installing the system package {names} with apt-get")
        _run(["apt-get", "-qq", "update"], names, remedy)
        install = ["apt-get", "-qq", "-y", "--no-install-recommends", "install"]
        _run([*install, *packages], names, remedy)


def unpacked(packages: Sequence[str], name: str) -> Path:
    """Return a folder of the cache with what the machine lacks of these packages and their needs.

    Nothing is installed and root is not needed: apt resolves against what the machine has, in its
    own lists and cache, and the archives are only unpacked.
    Raises Unavailable if this is no Debian, or the packages cannot be downloaded.
    """
    return filled(name, lambda folder: _unpack(packages, folder))


def can_unpack() -> bool:
    """Tell whether this machine has the programs that `unpacked` needs."""
    return all(shutil.which(program) is not None for program in ("apt-get", "dpkg-deb"))


def _unpack(packages: Sequence[str], folder: Path) -> None:
    names = " ".join(packages)
    remedy = f"install the system package {names}"
    if not can_unpack():
        raise Unavailable(f"no {names} on this machine, and no apt-get to download it with", remedy)
    announce(f"downloading the system packages {names}, to be unpacked privately")
    with tempfile.TemporaryDirectory(prefix="tidewire-lab-apt-") as scratch:
        archives = Path(scratch, "cache", "archives")
        for needed in (archives / "partial", Path(scratch, "lists", "partial")):
            needed.mkdir(parents=True)
        options = {
            "Dir::State::lists": f"{scratch}/lists",
            "Dir::Cache": f"{scratch}/cache",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "true",
            # Root's downloads would run as an account that cannot reach the scratch folder.
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", "-qq", "-y"]
        for option, value in options.items():
            apt += ["-o", f"{option}={value}"]
        _run([*apt, "update"], names, remedy)
        _run([*apt, "--download-only", "install", *packages], names, remedy)
        for archive in sorted(archives.glob("*.deb")):
            _run(["dpkg-deb", "-x", str(archive), str(folder)], names, remedy)


def _run(command: Sequence[str], names: str, remedy: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        timeout=_TIMEOUT_S,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"{command[0]} could not get {names}: {reason}", remedy)
