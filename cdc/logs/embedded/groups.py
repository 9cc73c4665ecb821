"""What a reading group committed: one small SQLite file and one lock per group."""

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cdc.errors import TransientError
from cdc.logs.embedded import files, segments

_SINCE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS readings (log_id TEXT PRIMARY KEY, since_us INTEGER NOT NULL)
WITHOUT ROWID
"""
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS offsets (
    log_id TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (log_id, topic)
) WITHOUT ROWID
"""


class Group:
    """A group's offsets. One process works for it at a time; others stand by for its lock."""

    def __init__(self, root: Path, name: str) -> None:
        self._name = name
        folder = root / files.GROUPS
        self._path = folder / f"{files.encoded(name)}.offsets"
        self._lock = files.Lock(folder / f"{files.encoded(name)}.lock")
        self._connection: sqlite3.Connection | None = None

    def try_join(self) -> bool:
        """Become the working member if nobody else is; True when this is it. Repeatable."""
        if self._connection is not None:
            return True
        try:
            files.make_folder(self._path.parent)
            if not self._lock.try_take():
                return False
            if not self._path.exists():
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise files.translated(error, self._path) from error
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            with segments.translating(self._path):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(_TABLE)
                connection.execute(_SINCE_TABLE)
        except BaseException:
            connection.close()
            self._lock.release()
            raise
        self._connection = connection
        return True

    def offsets(self, log_id: str) -> dict[str, int]:
        """The offset to go on from, by topic, as committed; also for members that stand by."""
        query = "SELECT topic, next FROM offsets WHERE log_id = ?"
        with segments.translating(self._path):
            if self._connection is not None:
                return dict(self._connection.execute(query, (log_id,)))
            if not self._path.exists():
                return {}
            uri = f"file:{quote(str(self._path))}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                if not connection.execute("SELECT 1 FROM sqlite_master").fetchall():
                    return {}
                return dict(connection.execute(query, (log_id,)))

    def since_us(self, log_id: str) -> int:
        """When the working member, which this is, began to read this log; now if it does so now."""
        assert self._connection is not None, "only the working member asks"
        now_us = time.time_ns() // 1000
        with segments.translating(self._path):
            self._connection.execute(
                "INSERT OR IGNORE INTO readings VALUES (?, ?)", (log_id, now_us)
            )
            (found,) = self._connection.execute(
                "SELECT since_us FROM readings WHERE log_id = ?", (log_id,)
            ).fetchone()
        return int(found)

    def begin_again(self, log_id: str) -> None:
        """What was read of this log is read again from its beginning."""
        assert self._connection is not None, "only the working member does"
        with segments.translating(self._path):
            self._connection.execute("DELETE FROM readings WHERE log_id = ?", (log_id,))

    def commit(self, offsets: Mapping[tuple[str, str], int]) -> None:
        """Store the offsets to go on from, by log id and topic; durable on return.

        Raises TransientError when another process works for the group.
        """
        if not self.try_join() or self._connection is None:
            raise self._in_use()
        rows = [(log_id, topic, offset) for (log_id, topic), offset in offsets.items()]
        with segments.translating(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("REPLACE INTO offsets VALUES (?, ?, ?)", rows)
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def forget(self) -> None:
        """Remove the file. Repeatable. Raises TransientError while somebody works for the group."""
        if not self._path.exists():
            return
        if not self._lock.try_take():
            raise self._in_use()
        files.remove_segment(self._path)
        files.sync_folder(self._path.parent)
        self._lock.release()

    def leave(self) -> None:
        """Let another member work. Repeatable."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.release()

    def _in_use(self) -> TransientError:
        return TransientError(
            f"group {self._name} is in use by pid {self._lock.owner() or '?'}",
            hint="Stop the sink that reads as this group first.",
        )
