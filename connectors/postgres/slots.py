"""Replication slots: their state, and whether a checkpoint can be resumed from one."""

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from cdc.errors import PositionLost, SourceRefused
from connectors.postgres.connection import rows_of
from connectors.postgres.lsn import Lsn

# As JSON, because servers differ in which of these columns they have.
_READ: Final[LiteralString] = """
SELECT pg_catalog.to_jsonb(s) FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s
"""


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


def slot_of(row: dict[str, Any]) -> SlotState:
    """The state in one row of pg_replication_slots, as JSON."""
    confirmed = row.get("confirmed_flush_lsn")
    lost = row.get("invalidation_reason") or ""
    if not lost and row.get("wal_status") == "lost":
        lost = "its write-ahead log was removed"
    if not lost and row.get("conflicting"):
        lost = "it conflicted with recovery"
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


def require_resumable(slot: SlotState | None, name: str, lsn: Lsn) -> None:
    """Raise PositionLost when the server cannot send everything that was committed behind `lsn`."""
    if slot is None:
        raise PositionLost(f"replication slot {name}, which held the changes behind {lsn}, is gone")
    if slot.lost:
        raise PositionLost(f"replication slot {name} is invalidated: {slot.lost}")
    if slot.confirmed is None or slot.confirmed > lsn:
        # The server would go on at the later place without a word.
        raise PositionLost(
            f"replication slot {name} begins at {slot.confirmed}, behind the stored position "
            f"{lsn}: it was made again, or something else read from it"
        )
