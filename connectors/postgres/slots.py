"""Replication slots: their state, and whether a checkpoint can be resumed from one."""

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from cdc.errors import SlotLost, SourceRefused
from connectors.postgres.connection import rows_of, translated
from connectors.postgres.lsn import Lsn
from connectors.postgres.names import Names

# As JSON, because servers differ in which of these columns they have.
_READ: Final[LiteralString] = """
SELECT pg_catalog.to_jsonb(s) FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s
"""

# Source: PostgreSQL src/backend/replication/slot.c, SlotInvalidationCauses.
_REMOVED: Final = "the write-ahead log that it needs was removed (max_slot_wal_keep_size)"
_REASONS: Final = {
    "wal_removed": _REMOVED,
    "rows_removed": "rows of the catalog that it needs were vacuumed away at the primary "
    "(hot_standby_feedback)",
    "wal_level_insufficient": "wal_level of the primary was not logical",
    "idle_timeout": "nobody read from it for too long (idle_replication_slot_timeout)",
}


@dataclass(frozen=True, slots=True)
class SlotState:
    """A logical or physical slot as pg_replication_slots shows it.

    `confirmed` is how far its reader confirmed, None for a physical slot. `lost` says why the
    server cannot decode from it any more, empty when it can. `failover`: standbys follow it;
    `synced`: it follows (or followed, before a promotion) one on the primary.
    """

    name: str
    plugin: str | None
    database: str | None
    confirmed: Lsn | None
    active_pid: int | None
    two_phase: bool
    lost: str
    failover: bool = False
    synced: bool = False


def read_slot(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> SlotState | None:
    """The slot's state now, None when there is none of that name."""
    rows = rows_of(connection, f"looking for replication slot {name}", _READ, (name,))
    return slot_of(rows[0][0]) if rows else None


def drop_slot(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    """Drop a slot that nobody reads from."""
    with translated(f"dropping replication slot {name}"):
        connection.execute("SELECT pg_catalog.pg_drop_replication_slot(%s)", (name,))


def slot_of(row: dict[str, Any]) -> SlotState:
    """The state in one row of pg_replication_slots, as JSON."""
    confirmed = row.get("confirmed_flush_lsn")
    # The reason is told from 17 on, a conflict from 16 on.
    reason = row.get("invalidation_reason") or ""
    lost = _REASONS.get(reason, reason)
    if not lost and row.get("wal_status") == "lost":
        lost = _REMOVED
    if not lost and row.get("conflicting"):
        lost = (
            "it conflicted with recovery: rows were vacuumed away at the primary, or its "
            "wal_level was not logical"
        )
    return SlotState(
        name=row["slot_name"],
        plugin=row["plugin"],
        database=row["database"],
        confirmed=None if confirmed is None else Lsn.parse(confirmed),
        active_pid=row["active_pid"],
        two_phase=bool(row.get("two_phase")),
        lost=lost,
        failover=bool(row.get("failover")),
        synced=bool(row.get("synced")),
    )


def require_ours(slot: SlotState, database: str) -> None:
    """Raise SourceRefused when the slot cannot serve this source at all."""
    other = "Configure another `slot`, or drop this one: SELECT pg_drop_replication_slot(...);"
    if slot.plugin != "pgoutput":
        raise SourceRefused(
            f"replication slot {slot.name} has the plugin {slot.plugin or 'of a physical slot'}, "
            "not pgoutput",
            hint=other,
        )
    if slot.database != database:
        raise SourceRefused(
            f"replication slot {slot.name} belongs to database {slot.database}, not {database}",
            hint=other,
        )
    if slot.two_phase:
        raise SourceRefused(
            f"replication slot {slot.name} decodes prepared transactions (two_phase), which "
            "Tidewire does not read",
            hint=other,
        )


def require_resumable(slot: SlotState | None, names: Names, lsn: Lsn) -> None:
    """Raise SlotLost when the server cannot send everything that was committed behind `lsn`."""
    if slot is None:
        raise slot_lost(names, f"which held the changes behind {lsn}, is gone")
    if slot.lost:
        raise slot_lost(names, f"is invalidated: {slot.lost}")
    if slot.confirmed is None or slot.confirmed > lsn:
        # The server would go on at the later place without a word.
        raise slot_lost(
            names,
            f"begins at {slot.confirmed}, behind the stored position {lsn}: it was made again, or "
            "something else read from it",
        )


def slot_lost(names: Names, how: str) -> SlotLost:
    """The error for a slot that cannot give what was committed behind our position."""
    comma = "," if how.startswith("which") else ""
    return SlotLost(
        f"replication slot {names.slot}{comma} {how}",
        hint=f"Run `cdc heal {names.source}`: it makes a new slot and reads every row again, and "
        "says first what that costs.",
    )
