"""One segment of a source's log: a SQLite file with batches, topics and the checkpoint.

The newest segment's topics and checkpoint are the log's state; older ones keep theirs as they were
when they were closed. `base` and `end` of a topic are its end when the segment began and now.
Batches are in the order of their appending (`id`), offsets within a topic rise with it.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cdc.errors import CdcError, DecodeError, LogRefused, StorageFull, TransientError
from cdc.logs.embedded import files

FORM: Final = 1
"""`PRAGMA user_version` of segments that this module writes."""
APPLICATION: Final = 0x7469_6465
"""`PRAGMA application_id`: `tide` in ASCII."""

_TABLES: Final = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE topics (
    topic INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    compacted INTEGER NOT NULL,
    internal INTEGER NOT NULL,
    base INTEGER NOT NULL,
    "end" INTEGER NOT NULL
);
CREATE TABLE checkpoint (name TEXT PRIMARY KEY, part BLOB NOT NULL);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    records INTEGER NOT NULL,
    timestamp_us INTEGER NOT NULL,
    content BLOB NOT NULL
);
CREATE INDEX batches_by_offset ON batches (topic, last);
"""
# Batches are some hundred KiB: large pages keep their chains short. The largest that SQLite takes.
_PAGE_BYTES: Final = 16_384
_CACHE_KIB: Final = 4096
_BUSY_MS: Final = 10_000
# What a primary result code is within an extended one. Source: sqlite.org/rescode.html.
_PRIMARY: Final = 0xFF


Forgotten = Mapping[str, Sequence[tuple[int, int]]]
"""By topic: when markers were dropped, in microseconds since 1970, and the offset behind them."""


@dataclass(slots=True)
class TopicState:
    """A topic in one segment."""

    number: int
    name: str
    compacted: bool
    internal: bool
    base: int
    end: int


@dataclass(frozen=True, slots=True)
class State:
    """What a new segment begins with.

    `log_id` tells one making of a source's log from another. `expired` says that retention has
    taken the records of topics that are not compacted, `compacted` that every superseded record of
    the others is gone. `created_us` is microseconds since 1970. `forgotten` says of which markers
    of deleted keys nothing is left, see `forgotten_of`.
    """

    log_id: str
    created_us: int
    topics: Mapping[str, TopicState]
    checkpoint: Mapping[str, bytes]
    expired: bool = False
    compacted: bool = False
    forgotten: Forgotten = field(default_factory=dict)


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Turns SQLite's errors on this file into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error


def translated(error: sqlite3.Error, path: Path) -> CdcError:
    """SQLite's error as one of ours."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(f"no space to write {path}")
    if code == sqlite3.SQLITE_TOOBIG:
        return LogRefused(
            "a record is larger than the embedded log can keep (1,000,000,000 bytes)",
            hint="Exclude the column that holds it with the `columns` transform.",
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DecodeError(
            f"{path} is damaged ({error})",
            kind="segment",
            hint="Check the disk, then restore state_dir from a copy or run `cdc reset`.",
        )
    return TransientError(
        f"the embedded log cannot use {path} ({error})",
        hint="Check the disk, its quota, and that state_dir belongs to this user.",
    )


def make(path: Path, state: State) -> sqlite3.Connection:
    """A new, empty segment under a name that no reader looks at, with its tables and state.

    The caller syncs or closes it, and gives it its name. Raises StorageFull or TransientError.
    """
    files.remove_segment(path)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise files.translated(error, path) from error
    with translating(path):
        connection = _connect(f"file:{quote(str(path))}?mode=rw")
    try:
        with translating(path):
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORM}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_TABLES)
            connection.execute("BEGIN IMMEDIATE")
            _write_state(connection, state)
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_state(connection: sqlite3.Connection, state: State) -> None:
    facts = {
        "log_id": state.log_id,
        "created_us": str(state.created_us),
        "expired": str(int(state.expired)),
        "compacted": str(int(state.compacted)),
        "forgotten": json.dumps(state.forgotten),
    }
    connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
    connection.executemany(
        "INSERT INTO topics VALUES (?, ?, ?, ?, ?, ?)",
        [
            (topic.number, topic.name, topic.compacted, topic.internal, topic.base, topic.end)
            for topic in state.topics.values()
        ],
    )
    connection.executemany("INSERT INTO checkpoint VALUES (?, ?)", state.checkpoint.items())


def open_to_write(path: Path) -> sqlite3.Connection:
    """The newest segment, for the one writer. Raises StorageFull, TransientError, DecodeError."""
    with translating(path):
        connection = _connect(f"file:{quote(str(path))}?mode=rw")
    try:
        with translating(path):
            _refuse_unknown(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            # Every commit is on the disk when it returns: the WAL is synced each time.
            connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """A segment, for reading only: such a connection never checkpoints and never waits.

    Raises FileNotFoundError when it is gone, TransientError, DecodeError.
    """
    try:
        connection = _connect(f"file:{quote(str(path))}?mode=ro")
    except sqlite3.Error as error:
        if not path.exists():
            raise FileNotFoundError(path) from error
        raise translated(error, path) from error
    try:
        with translating(path):
            _refuse_unknown(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_unknown(connection: sqlite3.Connection, path: Path) -> None:
    form = connection.execute("PRAGMA user_version").fetchone()[0]
    if form != FORM:
        raise DecodeError(
            f"{path} has form {form}, this Tidewire knows {FORM}",
            kind="segment",
            hint="Run the newer Tidewire that wrote it, or one that is newer still.",
        )


def facts(connection: sqlite3.Connection) -> dict[str, str]:
    """The segment's facts by name, as `State` lists them."""
    return dict(connection.execute("SELECT name, value FROM facts"))


def forgotten_of(connection: sqlite3.Connection) -> dict[str, list[tuple[int, int]]]:
    """Markers of deleted keys that this segment, or one it stands for, has no more.

    A reader that read before a marker's offset, before the marker was dropped, may have missed
    the delete.
    """
    found = json.loads(facts(connection).get("forgotten", "{}"))
    return {topic: [(at_us, end) for at_us, end in pairs] for topic, pairs in found.items()}


def forget(connection: sqlite3.Connection, topic: str, at_us: int, end: int) -> None:
    """Add to `forgotten_of` in the present transaction."""
    found = forgotten_of(connection)
    found[topic] = newest_and_last([*found.get(topic, ()), (at_us, end)])
    connection.execute("REPLACE INTO facts VALUES ('forgotten', ?)", (json.dumps(found),))


def newest_and_last(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Only the pairs that no other one surpasses in time and offset; the others say nothing."""
    kept: list[tuple[int, int]] = []
    for at_us, end in sorted(set(pairs), reverse=True):
        if not kept or end > kept[-1][1]:
            kept.append((at_us, end))
    return kept


def topics(connection: sqlite3.Connection) -> dict[str, TopicState]:
    """The segment's topics by name."""
    rows = connection.execute(
        'SELECT topic, name, compacted, internal, base, "end" FROM topics ORDER BY topic'
    )
    return {
        name: TopicState(number, name, bool(compacted), bool(internal), base, end)
        for number, name, compacted, internal, base, end in rows
    }


def checkpoint(connection: sqlite3.Connection) -> dict[str, bytes]:
    """The parts of the checkpoint by name."""
    return dict(connection.execute("SELECT name, part FROM checkpoint"))
