"""Dead letters in one SQLite file of a sink: records that the store would not take, unchanged."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cdc.errors import CdcError, ConfigError, StorageFull, TransientError
from cdc.event import Stored
from cdc.protocols import DeadLetter

FORMAT_VERSION: Final = 1
BUSY_S: Final = 5.0

_TABLE: Final = """
CREATE TABLE letters (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    headers TEXT NOT NULL,
    timestamp_us INTEGER NOT NULL,
    reason TEXT NOT NULL,
    failed_at_us INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
) WITHOUT ROWID
"""
# A letter may hold a row of many MiB: pages are short.
_PAGE: Final = """
SELECT * FROM letters WHERE (topic, partition, "offset") > (?, ?, ?)
ORDER BY topic, partition, "offset" LIMIT 20
"""
_PUT: Final = "INSERT OR REPLACE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class DeadLetterFile:
    """Satisfies DeadLetters. One process writes; others may read meanwhile."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError, StorageFull or TransientError when the file cannot be used."""
        self._file = file
        with self._translated():
            file.touch(mode=0o600)
            self._connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Durable on return. A record that is there already is replaced, not doubled."""
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_PUT, [_row(letter) for letter in letters])
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def count(self) -> int:
        """How many are kept."""
        with self._translated():
            (count,) = self._connection.execute("SELECT count(*) FROM letters").fetchone()
        return int(count)

    def letters(self) -> Iterator[DeadLetter]:
        """Every dead letter, by topic, partition and offset; a page in memory at a time."""
        behind: tuple[object, ...] = ("", -1, -1)
        while True:
            with self._translated():
                rows = self._connection.execute(_PAGE, behind).fetchall()
            if not rows:
                return
            yield from map(_letter, rows)
            behind = rows[-1][:3]

    def close(self) -> None:
        """Close the file. Repeatable."""
        self._connection.close()

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("BEGIN IMMEDIATE")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.execute(_TABLE)
            self._connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        self._connection.execute("COMMIT")
        if version > FORMAT_VERSION:
            raise ConfigError(
                f"{self._file} has format version {version}, this Tidewire knows {FORMAT_VERSION}",
                hint="Run the newer Tidewire that wrote it.",
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._refused(error) from error
        except OSError as error:
            raise TransientError(f"cannot use {self._file}: {error.strerror}") from error

    def _refused(self, error: sqlite3.Error) -> CdcError:
        # The low byte of an extended result code is the primary one (sqlite.org/rescode.html).
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return StorageFull(f"there is no room for dead letters in {self._file}")
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return ConfigError(
                f"{self._file} is damaged or no file of dead letters",
                hint="Move it away; the dead letters in it stay with you.",
            )
        return TransientError(f"cannot use {self._file}: {error}")


def _row(letter: DeadLetter) -> tuple[object, ...]:
    stored = letter.stored
    headers = json.dumps([[name, value.hex()] for name, value in stored.headers])
    return (
        stored.topic,
        stored.partition,
        stored.offset,
        stored.key,
        stored.value,
        headers,
        stored.timestamp_us,
        letter.reason,
        letter.failed_at_us,
    )


def _letter(
    row: tuple[str, int, int, bytes | None, bytes | None, str, int, str, int],
) -> DeadLetter:
    topic, partition, offset, key, value, text, timestamp_us, reason, failed_at_us = row
    headers = tuple((name, bytes.fromhex(content)) for name, content in json.loads(text))
    stored = Stored(topic, partition, offset, key, value, headers, timestamp_us)
    return DeadLetter(stored, reason, failed_at_us)
