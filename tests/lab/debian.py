"""System packages of Debian and its relatives, installed only by root and never silently."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from tests.lab.cache import announce, locked
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
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "-qq", "-y", "--no-install-recommends", "install", *packages]
        for command in (["apt-get", "-qq", "update"], install):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                env=environment,
                timeout=_TIMEOUT_S,
            )
            if done.returncode != 0:
                reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise Unavailable(f"apt-get could not install {names}: {reason}", remedy)
