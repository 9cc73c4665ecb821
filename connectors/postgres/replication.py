"""The replication connection: its commands, the stream, and what we tell the server about it.

Source: PostgreSQL manual, Streaming Replication Protocol.
"""

import contextlib
import re
import struct
import time
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.errors import Diagnostic
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from cdc.errors import CdcError, ConfigError, TransientError
from connectors.postgres.connection import translated
from connectors.postgres.copy_stream import CopyStream, next_result
from connectors.postgres.lsn import Lsn
from connectors.postgres.pgoutput import EPOCH_US
from connectors.postgres.refusals import publication_gone, result_error

# A lot is what one batch is made of.
LOT_MESSAGES_MAX: Final = 1000
LOT_BYTES_MAX: Final = 1 << 20

# Protocol 2, with transactions in progress, and messages; what came later is not asked for.
# Source: PostgreSQL src/include/replication/logicalproto.h.
_PROTOCOL_2_SERVER: Final = 140_000

_CANCEL_TIMEOUT_S: Final = 2.0

# Standby status update: type, written, flushed, applied, clock, whether to reply.
_STATUS: Final = struct.Struct("!cQQQqB")


@dataclass(frozen=True, slots=True)
class System:
    """Who the server is, and how far its log is flushed."""

    identifier: str
    timeline: int
    flushed: Lsn
    database: str


@dataclass(frozen=True, slots=True)
class CreatedSlot:
    """A new slot: changes committed behind `start` are in it, `snapshot` shows all before."""

    start: Lsn
    snapshot: str


class ReplicationConnection:
    """One connection in replication mode; takes over `connection` and closes it."""

    def __init__(
        self, connection: psycopg.Connection[tuple[Any, ...]], status_interval_s: float
    ) -> None:
        self._connection = connection
        connection.add_notice_handler(self._on_notice)
        self._publication = ""
        self._warned_of_publication = False
        self._pgconn = connection.pgconn
        self._pgconn.nonblocking = 1
        self._status_interval_s = status_interval_s
        self._stream: CopyStream | None = None
        self._creating: str | None = None
        self._written = Lsn(0)
        self._flushed = Lsn(0)
        self._told_s = 0.0

    # --- commands -----------------------------------------------------------------------------

    def identify(self) -> System:
        """IDENTIFY_SYSTEM."""
        result = self._run("IDENTIFY_SYSTEM", "asking the server who it is")
        identifier, timeline, flushed, database = (_cell(result, index) for index in range(4))
        return System(identifier, int(timeline), Lsn.parse(flushed), database)

    def timeline_history(self, timeline: int) -> str:
        """The history file of a timeline above 1: one line for each one that it descends from."""
        return _cell(
            self._run(f"TIMELINE_HISTORY {timeline:d}", f"reading the history of {timeline}"), 1
        )

    def alter_slot_failover(self, slot: str) -> None:
        """ALTER_REPLICATION_SLOT: standbys shall follow this slot. Nobody may be reading it."""
        doing = f"making replication slot {slot} a failover slot"
        with translated(doing):
            self._pgconn.send_query(
                f"ALTER_REPLICATION_SLOT {_quoted_name(slot)} (FAILOVER true)".encode()
            )
            result = self._result(None)
        assert result is not None
        _require(result, ExecStatus.COMMAND_OK, doing)
        self._finish(doing)

    def begin_create_slot(self, slot: str, *, failover: bool = False) -> None:
        """Ask for a slot with an exported snapshot; `slot_created` tells when it is there.

        The server first waits for every transaction that is open now, which may take long.
        """
        self._creating = slot
        # The older form of the command serves every version; failover came later, with 17.
        options = "(SNAPSHOT 'export', FAILOVER true)" if failover else "EXPORT_SNAPSHOT"
        command = f"CREATE_REPLICATION_SLOT {_quoted_name(slot)} LOGICAL pgoutput {options}"
        with translated(f"creating replication slot {slot}"):
            self._pgconn.send_query(command.encode())

    def slot_created(self, timeout_s: float) -> CreatedSlot | None:
        """The slot, or None when it is not there within `timeout_s`.

        The snapshot can be imported by others until the next command on this connection.
        """
        assert self._creating is not None
        doing = f"creating replication slot {self._creating}"
        with translated(doing):
            result = self._result(timeout_s)
        if result is None:
            return None
        _require(result, ExecStatus.TUPLES_OK, doing)
        self._finish(doing)
        self._creating = None
        return CreatedSlot(Lsn.parse(_cell(result, 1)), _cell(result, 2))

    def start(
        self, slot: str, publication: str, lsn: Lsn, *, stream_transactions: bool = False
    ) -> None:
        """START_REPLICATION: everything committed behind `lsn` comes, in commit order.

        `stream_transactions` lets the server send large ones while they are in progress; servers
        before 14 cannot do that, nor send messages.
        Raises TransientError when somebody else reads the slot, PositionLost when the server does
        not have it any more.
        """
        self._publication = publication
        names = _quoted_text('"' + publication.replace('"', '""') + '"')
        command = (
            f"START_REPLICATION SLOT {_quoted_name(slot)} LOGICAL {lsn} "
            f"({self._options(stream_transactions)}, publication_names {names})"
        )
        doing = f"reading replication slot {slot} from {lsn}"
        with translated(doing):
            self._pgconn.send_query(command.encode())
            result = self._result(None)
        assert result is not None
        _require(result, ExecStatus.COPY_BOTH, doing)
        self._stream = CopyStream(self._pgconn, f"reading replication slot {slot}")
        self._written = self._flushed = lsn
        self._tell(reply=False)

    def _options(self, stream_transactions: bool) -> str:  # noqa: FBT001 - from one place
        if self._connection.info.server_version < _PROTOCOL_2_SERVER:
            return "proto_version '1'"
        # Messages are always asked for: they count as changes, whoever wants them.
        options = "proto_version '2', messages 'true'"
        return options + ", streaming 'on'" if stream_transactions else options

    # --- the stream ---------------------------------------------------------------------------

    def read(self, timeout_s: float) -> list[bytes]:
        """Copy data as it came: XLogData and keepalives; empty after `timeout_s`.

        Raises what the server says when it ends the stream.
        """
        assert self._stream is not None
        lot = self._stream.read(timeout_s, LOT_MESSAGES_MAX, LOT_BYTES_MAX)
        if self._warned_of_publication:
            # What was read with the warning may lack changes already; it is read again.
            raise publication_gone(self._publication)
        if self._stream.ended and not lot:
            raise self._end_of_stream(self._stream)
        return lot

    def confirm(self, written: Lsn, flushed: Lsn, *, at_once: bool = False) -> None:
        """Remember how far we have received and how far everything is safe; neither goes back.

        Sent `at_once`, else with the next status update. The server forgets up to `flushed`.
        """
        self._written = max(self._written, written)
        self._flushed = max(self._flushed, flushed)
        if at_once:
            self._tell(reply=False)

    def keepalive(self) -> None:
        """Send a status update when the last one is older than the interval."""
        if self._stream is not None:
            due = time.monotonic() - self._told_s >= self._status_interval_s
            with translated("telling the server that we live"):
                if due:
                    self._tell(reply=False)
                else:
                    self._pgconn.flush()

    def ask_for_position(self) -> None:
        """Make the server send a keepalive with its present position."""
        self._tell(reply=True)

    def close(self) -> None:
        """End the connection; the server frees the slot by itself. Repeatable."""
        self._stream = None
        with contextlib.suppress(psycopg.Error):
            if self._creating is not None and not self._connection.closed:
                # A server that waits for other transactions does not notice that we are gone.
                self._connection.cancel_safe(timeout=_CANCEL_TIMEOUT_S)
            self._connection.close()

    # --- below --------------------------------------------------------------------------------

    def _tell(self, *, reply: bool) -> None:
        if self._stream is not None and self._stream.ended:
            # Nobody listens any more; what the server said at the end comes with the next read.
            return
        # `applied` is what synchronous_commit = remote_apply waits for: what is safe, not more.
        clock_us = time.time_ns() // 1000 - EPOCH_US
        message = _STATUS.pack(
            b"r", self._written, self._flushed, self._flushed, clock_us, int(reply)
        )
        with translated("telling the server how far we are"):
            self._pgconn.put_copy_data(message)
            self._pgconn.flush()
        self._told_s = time.monotonic()

    def _run(self, command: str, doing: str) -> PGresult:
        """A command that answers at once with rows."""
        with translated(doing):
            self._pgconn.send_query(command.encode())
            result = self._result(None)
        assert result is not None
        _require(result, ExecStatus.TUPLES_OK, doing)
        self._finish(doing)
        return result

    def _finish(self, doing: str) -> None:
        with translated(doing):
            while self._result(None) is not None:
                pass

    def _result(self, timeout_s: float | None) -> PGresult | None:
        return next_result(self._pgconn, timeout_s)

    def _on_notice(self, notice: Diagnostic) -> None:
        """Notice that the server skips changes: from 18 on a missing publication is a warning.

        Source: PostgreSQL src/backend/replication/pgoutput/pgoutput.c, LoadPublications.
        """
        text = notice.message_primary or ""
        if notice.sqlstate == "55000" and f'"{self._publication}"' in text:
            self._warned_of_publication = True

    def _end_of_stream(self, stream: CopyStream) -> CdcError:
        doing = "reading the replication stream"
        with translated(doing):
            result = stream.result()
        if result is None or result.status in {ExecStatus.COMMAND_OK, ExecStatus.COPY_IN}:
            return TransientError("the server ended the replication stream")
        return result_error(result, doing)


def _require(result: PGresult, status: ExecStatus, doing: str) -> None:
    if result.status != status:
        raise result_error(result, doing)


def _cell(result: PGresult, column: int) -> str:
    value = result.get_value(0, column)
    return "" if value is None else value.decode()


def _quoted_name(name: str) -> str:
    # The replication grammar knows identifiers and literals, but no escape strings.
    if not re.fullmatch(r"[a-z0-9_]{1,63}", name):
        raise ConfigError(f"{name!r} is no slot name")
    return f'"{name}"'


def _quoted_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
