"""The embedded log's folders, file names and locks.

    log/                            0700
        sources.lock                taken while a source gets its number
        <number>-<source>/          one source's log; its topics have this partition number
            writer.lock             held by the one writer; holds its process id
            <first>-<last>-<generation>.segment
            *.making                a segment that is being made; no reader looks at it
        groups/<group>.offsets      what a reading group committed
        groups/<group>.lock         held by the group's one working member

Segments are numbered from 1. A compacted one stands for the numbers first to last; of two that
overlap, the one of the higher generation counts, the other is left over from a crash.
"""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import quote, unquote

from cdc.errors import StorageFull, TransientError

FOLDER: Final = "log"
GROUPS: Final = "groups"
SEGMENT_SUFFIX: Final = ".segment"
MAKING_SUFFIX: Final = ".making"
SIDE_SUFFIXES: Final = ("-wal", "-shm", "-journal")
_SEGMENT: Final = re.compile(r"(\d{12})-(\d{12})-(\d{6})\.segment")
_SOURCE: Final = re.compile(r"(\d+)-(.+)")
# File names may have 255 bytes (ext4, xfs); prefixes and suffixes need some of them.
_NAME_BYTES_MAX: Final = 180


class SegmentName(NamedTuple):
    """Which segments a file stands for, and how often it was rewritten."""

    first: int
    last: int
    generation: int

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.first:012d}-{self.last:012d}-{self.generation:06d}{SEGMENT_SUFFIX}"


class SourceFolder(NamedTuple):
    """One source's log: its number, its name and where it is."""

    number: int
    source: str
    path: Path


def live(names: Iterable[SegmentName]) -> list[SegmentName]:
    """The segments that count, in order: none of them overlaps one of a higher generation."""
    chosen: list[SegmentName] = []
    for name in sorted(names, key=lambda name: -name.generation):
        if all(name.last < other.first or other.last < name.first for other in chosen):
            chosen.append(name)
    return sorted(chosen)


def segment_names(folder: Path) -> list[SegmentName]:
    """Every segment file in the folder, also those that are left over."""
    matches = (_SEGMENT.fullmatch(entry) for entry in os.listdir(folder))  # noqa: PTH208
    return [SegmentName(*map(int, match.groups())) for match in matches if match]


def encoded(name: str) -> str:
    """A name as part of a file name: no separators, and not too long."""
    text = quote(name, safe="")
    if len(text) > _NAME_BYTES_MAX:
        text = f"{text[: _NAME_BYTES_MAX - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return text


def make_folder(path: Path) -> None:
    """Make the folder and those above it, readable by this user only, durably."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sources(root: Path) -> list[SourceFolder]:
    """Every source's log, by number."""
    if not root.is_dir():
        return []
    matches = ((entry, _SOURCE.fullmatch(entry.name)) for entry in root.iterdir())
    found = [
        SourceFolder(int(match[1]), unquote(match[2]), entry)
        for entry, match in matches
        if match and entry.is_dir()
    ]
    return sorted(found)


def source_folder(root: Path, source: str) -> SourceFolder:
    """The folder of this source's log; made, with the next free number, when there is none."""
    make_folder(root)
    with Lock(root / "sources.lock") as lock:
        lock.wait()
        known = sources(root)
        wanted = encoded(source)
        for folder in known:
            if folder.path.name == f"{folder.number}-{wanted}":
                return folder._replace(source=source)
        number = max((folder.number for folder in known), default=-1) + 1
        path = root / f"{number}-{wanted}"
        make_folder(path)
        return SourceFolder(number, source, path)


def remove_segment(path: Path) -> None:
    """Unlink a segment and what SQLite keeps beside it. Readers that have it open go on."""
    for suffix in ("", *SIDE_SUFFIXES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class Lock:
    """An advisory lock on a file (flock(2)), given back at the latest when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def try_take(self) -> bool:
        """Take it if it is free; True when held. Leaves this process's id in the file."""
        if self._file is not None:
            return True
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._sign(file)
        return True

    def wait(self) -> None:
        """Take it when it is free; only for locks that are held for moments."""
        file = self._open()
        fcntl.flock(file, fcntl.LOCK_EX)
        self._sign(file)

    def owner(self) -> str:
        """The process id that was left in the file, empty when there is none."""
        try:
            return self._path.read_text("ascii", "replace").strip()
        except FileNotFoundError:
            return ""

    def release(self) -> None:
        """Give it back. Repeatable."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> FileIO:
        try:
            return FileIO(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        except OSError as error:
            raise translated(error, self._path) from error

    def _sign(self, file: FileIO) -> None:
        # Only a help for whoever finds the lock taken: on a full disk it stays empty.
        self._file = file
        try:
            file.truncate(0)
            file.write(b"%d\n" % os.getpid())
        except OSError as error:
            if error.errno not in _FULL:
                raise translated(error, self._path) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def translated(error: OSError, path: Path) -> StorageFull | TransientError:
    """A failure of the file system as one of our errors."""
    if error.errno in _FULL:
        return StorageFull(f"no space to write {path}: {error.strerror}")
    return TransientError(
        f"the embedded log cannot use {path}: {error.strerror}",
        hint="Check that state_dir exists, belongs to this user and is on a working disk.",
    )


_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
