"""The folder that holds everything of a pipeline on this machine, and who uses it."""

import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from cdc.errors import CdcError, ConfigError, StorageFull


class AlreadyRunning(CdcError):
    """Another daemon on this machine runs the same source or sink."""

    default_hint = "Stop it first, or look at it with `cdc status`."


def make_private(folder: Path) -> Path:
    """The folder, which exists now and which only its owner can enter.

    Raises ConfigError when it cannot be made or used, StorageFull when there is no room for it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _refused(folder, error) from None
    return folder


def private_folder(state_dir: Path, *names: str) -> Path:
    """The folder of these names below `state_dir`, private at every level; see make_private."""
    folder = make_private(state_dir)
    for name in names:
        folder = make_private(folder / name)
    return folder


def _refused(path: Path, error: OSError) -> CdcError:
    reason = os.strerror(error.errno).lower() if error.errno else "unknown reason"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(f"cannot write {path}: {reason}")
    return ConfigError(
        f"cannot use {path}: {reason}",
        hint="Set state_dir to a folder that this user owns and can write.",
    )


def socket_path(state_dir: Path, names: Iterable[str] = ()) -> Path:
    """Where the daemon listens; `names` are what it was narrowed to."""
    return state_dir / ".".join(["cdc", *sorted(names), "sock"])


def socket_paths(state_dir: Path) -> list[Path]:
    """The sockets of daemons that run or ran there, the one of the whole pipeline first."""
    return sorted(state_dir.glob("cdc*.sock"), key=lambda path: (len(path.name), path.name))


class Claim:
    """The right of this process to run these sources and sinks; ends with it, however it ends."""

    def __init__(self, state_dir: Path, names: Iterable[str]) -> None:
        """Raises AlreadyRunning with the other's process id, ConfigError, StorageFull."""
        self._files: list[int] = []
        folder = private_folder(state_dir, "claims")
        try:
            for name in sorted(names):
                self._take(folder / f"{name}.lock", name)
        except BaseException:
            self.close()
            raise

    def _take(self, file: Path, name: str) -> None:
        try:
            opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refused(file, error) from None
        self._files.append(opened)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(opened, 32).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(f'"{name}" is already running as pid {owner}') from None
        try:
            os.ftruncate(opened, 0)
            os.pwrite(opened, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise _refused(file, error) from None

    def close(self) -> None:
        """Give the right back. Repeatable."""
        while self._files:
            os.close(self._files.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
