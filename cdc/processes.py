"""How processes of ours are started, and how they end with the one that started them."""

import ctypes
import os
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def module_command(module: str, descriptor: int) -> list[str]:
    """What runs `module` with a socket: this Python, whatever the working directory holds."""
    return [sys.executable, "-P", "-m", module, str(descriptor)]


def environment() -> dict[str, str]:
    """Ours, and where we import from, so that a process imports the same wherever it runs."""
    paths = [path for path in sys.path if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the parent dies. Only Linux can; elsewhere EOF tells us.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
