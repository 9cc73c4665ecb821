"""Which `python -m tests.lab up` run now, so that `down` can end them from another terminal."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.lab.cache import cache_folder
from tests.lab.errors import LabError
from tests.lab.watchdog import Running, running, send, wait_gone

_STOP_TIMEOUT_S = 120.0


@contextlib.contextmanager
def noted() -> Iterator[None]:
    """Note this process as one that `stop_all` ends, as long as the context lasts."""
    process = running(os.getpid())
    assert process is not None, "this process runs"
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / str(process.pid)
    note.write_text(str(process.start_ticks))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def stop_all() -> int:
    """Ask all noted processes to end, wait for them, and return how many there were.

    Raises LabError if one does not end in time.
    """
    processes = set()
    for note in _folder().glob("*"):
        process = Running(int(note.name), int(note.read_text()))
        # A killed run leaves its note; its number may belong to somebody else by now.
        if running(process.pid) == process:
            processes.add(process)
        else:
            note.unlink(missing_ok=True)
    send(processes, signal.SIGTERM)
    left = wait_gone(processes, _STOP_TIMEOUT_S)
    if left:
        numbers = ", ".join(str(process.pid) for process in left)
        raise LabError(f"process {numbers} did not end within {_STOP_TIMEOUT_S:g} s")
    return len(processes)


def _folder() -> Path:
    return cache_folder() / "running"
