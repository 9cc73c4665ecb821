"""Marks: when has everything passed that was committed before a certain moment?"""

import time
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from connectors.postgres.connection import rows_of
from connectors.postgres.lsn import Lsn, end_of_record_before

Connection = psycopg.Connection[tuple[Any, ...]]

_DOING: Final = "asking where the log ends"
# A commit that did not wait for its flush is flushed within three rounds of the WAL writer.
# Source: PostgreSQL manual, Asynchronous Commit.
# A standby has no end of its own to write at; what it has replayed is what it can show.
_WHERE: Final[LiteralString] = """
SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
             ELSE pg_catalog.pg_current_wal_insert_lsn() END)::pg_catalog.text,
       pg_catalog.current_setting('wal_block_size')::pg_catalog.int8,
       3 * extract(epoch FROM pg_catalog.current_setting('wal_writer_delay')::pg_catalog.interval)
"""
_FLUSHED: Final[LiteralString] = """
SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
             ELSE pg_catalog.pg_current_wal_flush_lsn() END)::pg_catalog.text
"""
_SETTLE_MARGIN_S: Final = 0.05


@dataclass(slots=True)
class _Waiting:
    id: str
    target: Lsn
    settled_s: float


class Marks:
    """Marks that wait for the stream to reach their target.

    A target is where the log's insertion was. On an idle server the stream may never get there: it
    ends where the log is flushed, and what is not a commit may stay unflushed. Every commit is
    flushed after a while; the flushed end as of then is enough. While `held`, none is reached:
    something else than the stream is missing.
    """

    def __init__(self) -> None:
        self.held = False
        self._waiting: list[_Waiting] = []

    def add(self, mark: str, inserted: Lsn, settled_s: float) -> None:
        """Wait for `inserted`; what was committed by now is flushed at the time `settled_s`."""
        self._waiting.append(_Waiting(mark, inserted, settled_s))

    def is_settled(self, now_s: float) -> bool:
        """Whether some target may be lowered to where the log is flushed now."""
        return any(waiting.settled_s <= now_s for waiting in self._waiting)

    def settle(self, flushed: Lsn, now_s: float) -> None:
        """Lower the targets that are older than their time to `flushed`, read at `now_s`."""
        for waiting in self._waiting:
            if waiting.settled_s <= now_s:
                waiting.target = min(waiting.target, flushed)
                waiting.settled_s = float("inf")

    def reached(self, lsn: Lsn) -> tuple[str, ...]:
        """The ids of those at or before `lsn`, in the order they were added; each once."""
        if self.held:
            return ()
        passed = tuple(waiting.id for waiting in self._waiting if waiting.target <= lsn)
        self._waiting = [waiting for waiting in self._waiting if waiting.target > lsn]
        return passed

    def __bool__(self) -> bool:
        return bool(self._waiting)


def written_to(connection: Connection) -> Lsn:
    """Where the log ends now, flushed or not."""
    return Lsn.parse(rows_of(connection, _DOING, _WHERE)[0][0])


def mark_now(marks: Marks, mark: str, connection: Connection) -> None:
    """Let `mark` wait for everything that is committed by now."""
    inserted, page_bytes, delay_s = rows_of(connection, _DOING, _WHERE)[0]
    target = end_of_record_before(Lsn.parse(inserted), page_bytes)
    marks.add(mark, target, time.monotonic() + float(delay_s) + _SETTLE_MARGIN_S)


def settle(marks: Marks, connection: Connection) -> None:
    """Lower the targets that are old enough; asks only when there are some."""
    now_s = time.monotonic()
    if marks.is_settled(now_s):
        marks.settle(Lsn.parse(rows_of(connection, _DOING, _FLUSHED)[0][0]), now_s)
