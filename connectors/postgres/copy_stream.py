"""Copy data as it arrives on a connection, in bounded lots, without holding the interpreter.

libpq is asked only for what it has already; waiting is done with poll(), which lets other threads
and signal handlers run. Asking libpq to wait would not.
"""

import select
import time
from typing import Final

import psycopg
from psycopg.pq.abc import PGconn, PGresult

from connectors.postgres.copy_drain import DRY, ENDED, Drain
from connectors.postgres.refusals import session_error

# As many messages since the socket was dry last mean that data is flowing. Letting it pile up for a
# moment saves wake-ups on both sides: the server spends a fifth less. How long depends on what the
# socket holds meanwhile: a Unix socket is full after some hundred messages, and the server waits.
_FLOWING_MESSAGES: Final = 24
_PILE_UP_UNIX_S: Final = 0.0002
_PILE_UP_TCP_S: Final = 0.001
# No message waits longer than this for others.
_PILE_UP_MAX_S: Final = 0.004


class CopyStream:
    """Reads copy data; `ended` is set when the server has ended the copy."""

    def __init__(self, pgconn: PGconn, doing: str) -> None:
        """Read from a connection that is in copy-out or copy-both mode."""
        self.ended = False
        self._pgconn = pgconn
        self._doing = doing
        self._drain = Drain(pgconn.get_copy_data, pgconn.consume_input)
        self._pile_up_s = _PILE_UP_UNIX_S if pgconn.host.startswith(b"/") else _PILE_UP_TCP_S
        self._poll = select.poll()
        self._poll.register(pgconn.socket, select.POLLIN)

    def read(self, timeout_s: float, messages_max: int, bytes_max: int) -> list[bytes]:
        """What has arrived, up to the limits or one message more; empty after `timeout_s`.

        Returns as soon as there is anything, unless so much is coming in that waiting for some
        milliseconds at most brings more. Raises TransientError for a lost connection.
        """
        lot: list[bytes] = []
        if self.ended:
            return lot
        try:
            self._fill(lot, messages_max, bytes_max, timeout_s)
        except psycopg.Error as error:
            raise session_error(error, self._doing) from error
        return lot

    def result(self) -> PGresult | None:
        """What the server says after the end of the copy: its error, if there was one."""
        return self._pgconn.get_result()

    def _fill(self, lot: list[bytes], messages_max: int, bytes_max: int, timeout_s: float) -> None:
        drain = self._drain
        drain.size_bytes = 0
        now_s = time.monotonic()
        deadline = now_s + timeout_s
        first_s: float | None = None
        while True:
            before = len(lot)
            found = drain.into(lot, messages_max, bytes_max)
            self.ended = found == ENDED
            if found != DRY:
                return
            now_s = time.monotonic()
            if lot and first_s is None:
                first_s = now_s
            if (
                len(lot) - before >= _FLOWING_MESSAGES
                and first_s is not None
                and now_s - first_s < _PILE_UP_MAX_S
            ):
                time.sleep(self._pile_up_s)
            elif lot or not self._wait(deadline):
                return

    def _wait(self, deadline: float) -> bool:
        """Whether there is something to read before `deadline`."""
        remaining_s = deadline - time.monotonic()
        return remaining_s >= 0 and bool(self._poll.poll(max(0.0, remaining_s) * 1000))


def next_result(pgconn: PGconn, timeout_s: float | None) -> PGresult | None:
    """The next result of a command that was sent; None after the last one, or after `timeout_s`.

    Waits as `CopyStream` does. Raises psycopg.Error for a lost connection.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    poll = select.poll()
    while True:
        unsent = pgconn.flush()
        pgconn.consume_input()
        if not unsent and not pgconn.is_busy():
            return pgconn.get_result()
        wait_s = None if deadline is None else deadline - time.monotonic()
        if wait_s is not None and wait_s <= 0:
            return None
        poll.register(pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
        poll.poll(None if wait_s is None else wait_s * 1000)
