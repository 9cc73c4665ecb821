"""Files for what does not fit in memory: private, bounded together, gone with their session."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cdc.errors import CdcError, StorageFull, TransientError
from cdc.state_dir import make_private

_SUFFIX: Final = ".transaction"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpillFolder:
    """The folder of one source; made when the first file is.

    `size_bytes` is what all of its files hold together; more than `bytes_max` is refused, None
    leaves the bound to the disk.
    """

    def __init__(self, path: Path, bytes_max: int | None) -> None:
        self.path = path
        self.size_bytes = 0
        self._bytes_max = bytes_max

    def clear(self) -> None:
        """Remove what an earlier process left; nobody else may use the folder now."""
        for left in self.path.glob(f"*{_SUFFIX}"):
            with translated(left):
                left.unlink(missing_ok=True)

    def file(self, name: str) -> "SpillFile":
        """A new, empty file. Raises StorageFull, and ConfigError for a folder that is none."""
        make_private(self.path)
        return SpillFile(self, self.path / f"{name}{_SUFFIX}")

    def reserve(self, size_bytes: int) -> None:
        """Count what will be written. Raises StorageFull when it would be too much."""
        wanted = self.size_bytes + size_bytes
        if self._bytes_max is not None and wanted > self._bytes_max:
            raise StorageFull(
                f"transactions in progress need more than {self._bytes_max} bytes of files in "
                f"{self.path}",
                hint="Raise `spill_bytes_max` of the source, or end the open transactions; they "
                "are read again from the database, and nothing is lost.",
            )
        self.size_bytes = wanted

    def release(self, size_bytes: int) -> None:
        """Count what is not there any more."""
        self.size_bytes -= size_bytes


class SpillFile:
    """Bytes appended, cut at the end, and read from the beginning; opened for each of them.

    So no limit of open files is met, however many transactions are in progress.
    """

    def __init__(self, folder: SpillFolder, path: Path) -> None:
        self.size_bytes = 0
        self._folder = folder
        self._path = path
        with translated(path):
            # What bears the name was left by somebody who is gone.
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def append(self, content: bytes | bytearray) -> None:
        """Write behind the end. Raises StorageFull; the file is of no use then."""
        self._folder.reserve(len(content))
        at = self.size_bytes
        self.size_bytes += len(content)
        with translated(self._path), self._opened(os.O_WRONLY) as file, memoryview(content) as view:
            self._expect(file, at)
            written = 0
            while written < len(content):
                written += os.pwrite(file, view[written:], at + written)

    def cut(self, size_bytes: int) -> None:
        """Keep that many bytes from the beginning on."""
        with translated(self._path), self._opened(os.O_WRONLY) as file:
            os.ftruncate(file, size_bytes)
        self._folder.release(self.size_bytes - size_bytes)
        self.size_bytes = size_bytes

    def read(self, position: int, size_bytes: int) -> bytes:
        """Up to that many bytes from `position` on; empty at the end."""
        with translated(self._path), self._opened(os.O_RDONLY) as file:
            self._expect(file, self.size_bytes)
            return os.pread(file, size_bytes, position)

    def close(self) -> None:
        """Remove the file. Repeatable."""
        self._folder.release(self.size_bytes)
        self.size_bytes = 0
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _opened(self, how: int) -> "contextlib.AbstractContextManager[int]":
        return _closing(os.open(self._path, how | os.O_CLOEXEC))

    def _expect(self, file: int, size_bytes: int) -> None:
        if os.fstat(file).st_size != size_bytes:
            raise TransientError(
                f"{self._path} was changed by somebody else; its transaction is read again"
            )


@contextlib.contextmanager
def _closing(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the operating system says into our errors."""
    try:
        yield
    except OSError as error:
        raise _error(path, error) from error


def _error(path: Path, error: OSError) -> CdcError:
    reason = os.strerror(error.errno).lower() if error.errno else "unknown reason"
    if error.errno in _FULL:
        return StorageFull(
            f"no room for a transaction in progress in {path.parent}: {reason}",
            hint="Free space under state_dir; the source goes on by itself and reads the "
            "transaction again. Nothing is lost.",
        )
    return TransientError(f"cannot keep a transaction in progress in {path}: {reason}")
