"""What the lab downloads, kept for the next run: each piece filled once, whole or not at all."""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.errors import Unavailable

VARIABLE = "TIDEWIRE_LAB_CACHE"
_NAME = "tidewire-lab"


def cache_folder() -> Path:
    """Return the folder for downloads: `TIDEWIRE_LAB_CACHE`, else this user's place for caches.

    For root it is one that the servers' account can read, which a home folder mostly is not.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().resolve()
    if os.geteuid() == 0:
        return Path("/var/cache") / _NAME
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / _NAME


def is_filled(name: str) -> bool:
    """Tell whether `filled(name, ...)` would return without downloading."""
    return (cache_folder() / name).is_dir()


def filled(name: str, fill: Callable[[Path], None]) -> Path:
    """Return the cache's folder `name`, made by `fill(folder)` if it is not there.

    The folder appears complete under its name or not at all; processes that ask at once wait for
    the first. Raises what `fill` raises, and Unavailable if the cache cannot be written.
    """
    target = cache_folder() / name
    if target.is_dir():
        return target
    with locked(name):
        if target.is_dir():
            return target
        partial = target.with_name(f"{target.name}.partial")
        # Left by a process that was killed while it held the lock.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            fill(partial)
            _let_all_read(partial)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock `name` against other processes; the lock dies with its holder."""
    path = cache_folder() / "locks" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("ab")
    except OSError as error:
        raise Unavailable(
            f"cannot write the lab's cache {cache_folder()} ({error.strerror})",
            f"set {VARIABLE} to a folder that can be written",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def announce(text: str) -> None:
    """Tell the reader on standard error what is about to take long or to change the machine."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def _let_all_read(folder: Path) -> None:
    """Open a tree for reading whatever the umask: servers may run as another user."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
