"""Rows of one relation, or of a range of its pages, as COPY sends them."""

from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from cdc.errors import CdcError, TransientError
from connectors.postgres.copy_stream import CopyStream, next_result
from connectors.postgres.refusals import result_error, session_error
from connectors.postgres.view import SAVEPOINT

# lock_not_available; undefined table, column, schema and object; wrong object type.
_LOCKED: Final = b"55P03"
_CHANGED: Final = frozenset({b"42P01", b"42703", b"3F000", b"42704", b"42809"})


# The view goes on behind an error only from a savepoint.
_UNDO: Final = f"ROLLBACK TO SAVEPOINT {SAVEPOINT}".encode()


class Locked(Exception):
    """Somebody holds a lock against readers; the same may be tried again."""


@dataclass(frozen=True, slots=True)
class RangeSource:
    """What to read; `table` is the qualified name for messages.

    `statement` locks the relation, asks whether it is still the one of the view, and copies.
    """

    table: str
    statement: str

    @property
    def doing(self) -> str:
        """For messages, as in `X failed`."""
        return f"reading the rows of {self.table}"


class RangeCopy:
    """Reads one range on a connection with an open view. `ended` is set behind its last row."""

    def __init__(self, pgconn: PGconn, source: RangeSource) -> None:
        """Send the statement; nothing is waited for."""
        self.ended = False
        self._pgconn = pgconn
        self._source = source
        self._stream: CopyStream | None = None
        self._send(source.statement.encode())

    def read(self, timeout_s: float, rows_max: int, bytes_max: int) -> list[bytes]:
        """The next lines; empty after `timeout_s`, and at the end.

        Raises Locked, after which the copy is over; TransientError when the relation is no longer
        the one of the view, or the connection is lost; SourceRefused when it may not be read.
        """
        if self._stream is None and not self._open(timeout_s):
            return []
        assert self._stream is not None
        lines = self._stream.read(timeout_s, rows_max, bytes_max)
        if self._stream.ended:
            self._end()
        return lines

    def _open(self, timeout_s: float) -> bool:
        """Whether the copy has begun."""
        while self._stream is None:
            result = self._next(timeout_s)
            if result is None:
                return False
            if result.status == ExecStatus.TUPLES_OK:
                if result.ntuples != 1 or result.get_value(0, 0) != b"t":
                    raise self._changed()
            elif result.status == ExecStatus.COPY_OUT:
                self._stream = CopyStream(self._pgconn, self._source.doing)
            elif result.status != ExecStatus.COMMAND_OK:
                self._fail(result)
        return True

    def _end(self) -> None:
        while (result := self._next(None)) is not None:
            if result.status != ExecStatus.COMMAND_OK:
                self._fail(result)
        self.ended = True

    def _send(self, statement: bytes) -> None:
        try:
            self._pgconn.send_query(statement)
        except psycopg.Error as error:
            raise session_error(error, self._source.doing) from error

    def _drain(self) -> None:
        while self._next(None) is not None:
            pass

    def _next(self, timeout_s: float | None) -> PGresult | None:
        try:
            return next_result(self._pgconn, timeout_s)
        except psycopg.Error as error:
            raise session_error(error, self._source.doing) from error

    def _fail(self, result: PGresult) -> None:
        state = result.error_field(DiagnosticField.SQLSTATE)
        self._drain()
        if state == _LOCKED:
            self._send(_UNDO)
            self._drain()
            raise Locked
        if state in _CHANGED:
            raise self._changed()
        raise result_error(result, self._source.doing)

    def _changed(self) -> CdcError:
        return gone(self._source.table)


def gone(table: str) -> TransientError:
    """The error for a table that is not what the view says any more."""
    return TransientError(
        f"{table} was dropped, rewritten or altered after the snapshot's view began",
        hint="It is read again in a new view of the database.",
    )


def still_locked(table: str, attempts: int) -> TransientError:
    """The error for a table that nobody may read for too long."""
    return TransientError(
        f"{table} was locked against readers each of the {attempts} times it was tried to be read",
        hint="Let the statement that holds the lock end (pg_locks shows it); the snapshot then "
        "goes on.",
    )
