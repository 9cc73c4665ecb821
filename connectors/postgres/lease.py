"""The right to be the one writer of a source: an advisory lock on a connection of its own."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.pq import ExecStatus

from cdc.errors import LeaseLost
from connectors.postgres.connection import rows_of, translated
from connectors.postgres.lsn import Lsn

_RETRY_S: Final = 0.2
_CHECK_INTERVAL_S: Final = 1.0
# A server that does not answer such a query for so long may have given the lock to somebody else.
_ANSWER_TIMEOUT_S: Final = 10.0
_CHECK: Final = (
    b"SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
    b" ELSE pg_catalog.pg_current_wal_flush_lsn() END"
)


class Lease:
    """Holds the lock `key` as long as its connection lives."""

    def __init__(self, dial: Callable[[], psycopg.Connection[tuple[Any, ...]]], key: int) -> None:
        self.server_lsn: Lsn | None = None
        """How far the server's log was flushed, or replayed, when it answered last."""
        self._dial = dial
        self._key = key
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._held = False
        self._asked_s = 0.0
        self._waiting = False

    def acquire(self, timeout_s: float) -> bool:
        """Take the lock; False after `timeout_s` when another session holds it."""
        deadline = time.monotonic() + timeout_s
        if self._connection is None:
            self._connection = self._dial()
        while not self._held:
            rows = rows_of(
                self._connection,
                "taking the source's lease",
                "SELECT pg_catalog.pg_try_advisory_lock(%s)",
                (self._key,),
            )
            self._held = rows[0][0]
            remaining_s = deadline - time.monotonic()
            if self._held or remaining_s <= 0:
                break
            time.sleep(min(_RETRY_S, remaining_s))
        return self._held

    def check(self) -> None:
        """Ask the server now and then whether the session lives; never waits for the answer.

        Raises LeaseLost when it does not, or does not answer.
        """
        connection = self._connection
        if connection is None or not self._held:
            raise LeaseLost("the source's lease is not held")
        try:
            with translated("keeping the source's lease"):
                self._ask_or_listen(connection)
        except LeaseLost:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise LeaseLost(f"the source's lease is lost: {error}") from error

    def _ask_or_listen(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        pgconn = connection.pgconn
        now_s = time.monotonic()
        if self._waiting:
            pgconn.flush()
            pgconn.consume_input()
            if pgconn.is_busy():
                if now_s - self._asked_s > _ANSWER_TIMEOUT_S:
                    raise LeaseLost(
                        f"the source's lease is lost: no answer in {_ANSWER_TIMEOUT_S:g} s"
                    )
                return
            while (result := pgconn.get_result()) is not None:
                if result.status != ExecStatus.TUPLES_OK:
                    raise LeaseLost(f"the source's lease is lost: {result.get_error_message()}")
                text = result.get_value(0, 0)
                self.server_lsn = None if text is None else Lsn.parse(text.decode())
            self._waiting = False
        if now_s - self._asked_s >= _CHECK_INTERVAL_S:
            pgconn.send_query(_CHECK)
            pgconn.flush()
            self._asked_s, self._waiting = now_s, True

    def close(self) -> None:
        """Give the lock back. Repeatable; never raises for a dead peer."""
        connection, self._connection = self._connection, None
        self._held = self._waiting = False
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()
