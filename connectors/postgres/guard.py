"""The WAL guard: how much the server keeps for our slot, and whether the slot is still ours.

It is asked also while the log takes nothing, since that is when the server keeps most.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final, LiteralString

import psycopg

from cdc.errors import SourcePaused, TransientError
from cdc.notes import Note, Retention
from connectors.postgres.connection import rows_of, translated
from connectors.postgres.names import Names
from connectors.postgres.retention import WalGuard, size_text
from connectors.postgres.slots import slot_lost, slot_of

Connection = psycopg.Connection[tuple[Any, ...]]

INTERVAL_S: Final = 5.0
# The server's process ends soon after its connection; then the slot is free.
_DROP_S: Final = 1.5
_DROP_PAUSE_S: Final = 0.05

_READ: Final[LiteralString] = """
SELECT pg_catalog.to_jsonb(s),
       pg_catalog.pg_wal_lsn_diff(w.lsn, s.restart_lsn)::pg_catalog.int8,
       pg_catalog.pg_wal_lsn_diff(w.lsn, s.confirmed_flush_lsn)::pg_catalog.int8
FROM pg_catalog.pg_replication_slots s,
     LATERAL (SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                     THEN pg_catalog.pg_last_wal_replay_lsn()
                     ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) w
WHERE s.slot_name = %s
"""
_DROP: Final[LiteralString] = "SELECT pg_catalog.pg_drop_replication_slot(%s)"
_END_READER: Final[LiteralString] = """
SELECT pg_catalog.pg_terminate_backend(s.active_pid)
FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s AND s.active_pid IS NOT NULL
"""


class Guard:
    """A watch over one slot. `expecting`: the slot must be there, or changes are lost."""

    interval_s: Final = INTERVAL_S
    while_waiting: Final = True

    def __init__(self, names: Names, limits: WalGuard, release: Callable[[], None]) -> None:
        """`release` ends what reads from the slot, before it is dropped."""
        self.expecting = False
        self.retention: Retention | None = None
        self.notes: tuple[Note, ...] = ()
        self._names = names
        self._limits = limits
        self._release = release
        self._ignoring = False

    def ignore_limits(self) -> None:
        """Do not apply the policy before the limits have been kept once."""
        self._ignoring = True

    def look(self, connection: Connection) -> None:
        """Measure and judge.

        Raises SlotLost when the slot is gone or cannot be read any more, SourcePaused when the
        policy says so, and TransientError when it said to drop the slot, which is done then.
        """
        slot = self._names.slot
        rows = rows_of(connection, f"looking at replication slot {slot}", _READ, (slot,))
        lost = slot_of(rows[0][0]).lost if rows else ""
        if lost or not rows:
            self.retention, self.notes = None, ()
            if self.expecting:
                how = f"is invalidated: {lost}" if lost else "is gone"
                raise slot_lost(self._names, how)
            return
        row, kept, unread = rows[0]
        if kept is None:
            # It is being made.
            return
        self._judge(connection, row, max(0, kept), max(0, unread or 0))

    def _judge(self, connection: Connection, row: dict[str, Any], kept: int, unread: int) -> None:
        limits = self._limits
        state = _state(kept, limits)
        self.retention = Retention(kept, state)
        if state == "ok":
            self._ignoring = False
        said = f"the server keeps {size_text(kept)} of write-ahead log for slot {self._names.slot}"
        why = _reason(kept, unread)
        notes = []
        if row.get("wal_status") == "unreserved":
            notes.append(
                Note(
                    "alert",
                    "wal-about-to-be-lost",
                    f"{said}, more than max_slot_wal_keep_size: the next checkpoint takes it away",
                    "Raise max_slot_wal_keep_size and reload the server, at once.",
                )
            )
        if state == "limit":
            limit = f"{said}, and wal_guard.limit_bytes is {size_text(limits.limit_bytes or 0)}"
            self._apply(connection, limit, why)
            notes.append(Note("alert", "wal-limit", limit, why))
        elif state == "warning":
            over = f"{said}, more than wal_guard.warn_bytes ({size_text(limits.warn_bytes)})"
            notes.append(Note("warning", "wal-warning", over, why))
        self.notes = tuple(notes)

    def _apply(self, connection: Connection, said: str, why: str) -> None:
        """What the policy wants, unless a person wanted otherwise."""
        if self._ignoring:
            return
        source = self._names.source
        if self._limits.policy == "pause-source":
            raise SourcePaused(
                said,
                hint=f"{why} Then run `cdc resume {source}`, or `cdc heal {source}` to give the "
                "slot up and begin anew; the server keeps its log until then.",
            )
        if self._limits.policy == "drop-slot-and-resnapshot":
            self._release()
            self._drop(connection)
            raise TransientError(
                f"{said}: the slot was dropped",
                hint="A new slot and a new snapshot follow as soon as the log takes records; rows "
                "that are deleted until then are not noticed.",
            )

    def _drop(self, connection: Connection) -> None:
        slot = self._names.slot
        until_s = time.monotonic() + _DROP_S
        with translated(f"dropping replication slot {slot}"):
            while time.monotonic() < until_s:
                with contextlib.suppress(psycopg.errors.ObjectInUse):
                    connection.execute(_DROP, (slot,))
                    return
                connection.execute(_END_READER, (slot,))
                time.sleep(_DROP_PAUSE_S)
            connection.execute(_DROP, (slot,))


def _state(kept: int, limits: WalGuard) -> Any:
    if limits.limit_bytes is not None and kept >= limits.limit_bytes:
        return "limit"
    return "warning" if kept >= limits.warn_bytes else "ok"


def _reason(kept: int, unread: int) -> str:
    """Where to look: what we have not taken yet, or what some transaction keeps open."""
    if unread >= kept // 2:
        return (
            f"{size_text(unread)} of it were not confirmed yet: see whether the log takes records "
            "and whether the source keeps up."
        )
    return "A long transaction holds it back: `cdc check` names it."
