"""One attempt to connect to one address, and why it failed, whatever language the server speaks.

libpq tells the SQLSTATE of a refused connection in its trace only, so each attempt is traced into
memory that no file system holds. Without a trace (an older libpq, not Linux) the text must do.
Source: libpq manual, PQtrace; PostgreSQL src/interfaces/libpq/fe-trace.c.
"""

import contextlib
import os
import re
import select
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, PGconn, PollingStatus, Trace
from psycopg.pq.abc import PGconn as Session

_ERROR: Final = re.compile(rb'ErrorResponse\t.* C "([0-9A-Z]{5})" M ".*" R "(\w+)"', re.DOTALL)
_TRACE_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one address gave no connection.

    `state` and `function` are the server's SQLSTATE and the name of the function in its source that
    refused; empty when the server said nothing or cannot be understood. `text` may be in any
    language; it holds names, no secrets.
    """

    host: str
    port: str
    text: str
    state: str = ""
    function: str = ""

    @property
    def place(self) -> str:
        """Where that was, such as `db1:5432`."""
        return f"{self.host}:{self.port}"


class Refused(Exception):
    """An attempt failed."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


def open_session(
    parameters: Mapping[str, Any], timeout_s: float
) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection in autocommit mode to the one address in `parameters`. Raises Refused."""
    pgconn = PGconn.connect_start(make_conninfo("", **parameters).encode())
    with _traced(pgconn) as trace:
        reason = _finish(pgconn, time.monotonic() + timeout_s, timeout_s)
    if reason is not None:
        refusal = Refusal(
            # libpq does not know where it would have gone when it did not get so far.
            str(parameters.get("host") or _text(pgconn, "host")),
            str(parameters.get("port") or _text(pgconn, "port")),
            reason,
            *_told(b"".join(trace)),
        )
        pgconn.finish()
        raise Refused(refusal)
    pgconn.nonblocking = 1
    connection = psycopg.Connection[tuple[Any, ...]](pgconn)
    connection.autocommit = True
    return connection


def _finish(pgconn: Session, deadline: float, timeout_s: float) -> str | None:
    """Drive the connection until it stands (None), or the reason why it does not."""
    poll = select.poll()
    if pgconn.status == ConnStatus.BAD:
        return pgconn.get_error_message()
    while True:
        status = pgconn.connect_poll()
        if status == PollingStatus.OK:
            return None
        if status == PollingStatus.FAILED:
            return pgconn.get_error_message()
        remaining_s = deadline - time.monotonic()
        # libpq changes its socket between the steps.
        waits_for = select.POLLIN if status == PollingStatus.READING else select.POLLOUT
        socket = pgconn.socket
        poll.register(socket, waits_for)
        ready = remaining_s > 0 and poll.poll(remaining_s * 1000)
        poll.unregister(socket)
        if not ready:
            return f"no answer in {timeout_s:g} s"


@contextlib.contextmanager
def _traced(pgconn: Session) -> Iterator[list[bytes]]:
    """What goes over the connection meanwhile: filled at the end, empty where nothing traces."""
    written: list[bytes] = []
    if not hasattr(os, "memfd_create") or pgconn.status == ConnStatus.BAD:
        yield written
        return
    trace = os.memfd_create("trace")
    try:
        # libpq closes the descriptor that it is given, and writes it out when it ends the trace.
        pgconn.trace(os.dup(trace))
        pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield written
        finally:
            pgconn.untrace()
        written.append(os.pread(trace, _TRACE_BYTES_MAX, 0))
    finally:
        os.close(trace)


def _told(written: bytes) -> tuple[str, str]:
    """SQLSTATE and function of the error in a trace, both empty when there is none."""
    # The last one: before it, libpq may have been refused one kind of encryption.
    start = written.rfind(b"ErrorResponse\t")
    found = _ERROR.match(written, start) if start >= 0 else None
    return ("", "") if found is None else (found[1].decode(), found[2].decode())


def _text(pgconn: Session, name: str) -> str:
    with contextlib.suppress(psycopg.OperationalError):
        value: bytes = getattr(pgconn, name)
        return value.decode(errors="replace")
    return "?"
