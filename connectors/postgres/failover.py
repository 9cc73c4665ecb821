"""Slots that survive a failover: asked for, and what they wait for.

Source: PostgreSQL 17 manual, Logical Decoding Concepts, Replication Slot Synchronization;
src/backend/replication/slot.c, WaitForStandbyConfirmation.
"""

from typing import Any, Final, LiteralString

import psycopg

from cdc.errors import SourceRefused, TransientError
from connectors.postgres.connection import rows_of
from connectors.postgres.home import Home
from connectors.postgres.replication import ReplicationConnection
from connectors.postgres.slots import SlotState

VERSION_MIN: Final = 170_000
"""The first server that has failover slots."""

STANDBY_VERSION_MIN: Final = 160_000
"""The first server whose standbys can be read changes from."""

_WAITED_FOR: Final[LiteralString] = """
SELECT a.wait_event, pg_catalog.current_setting('synchronized_standby_slots', true)
FROM pg_catalog.pg_replication_slots s
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = %s
"""
_PHYSICAL: Final[LiteralString] = """
SELECT s.slot_name::pg_catalog.text, s.active
FROM pg_catalog.pg_replication_slots s WHERE s.slot_type = 'physical'
"""
_WAIT_EVENT: Final = "WaitForStandbyConfirmation"
_INTERVAL_S: Final = 5.0
# A standby that restarts is waited for in silence; one that is gone is not.
_PATIENCE_S: Final = 30.0


def ensure_failover(
    replication: ReplicationConnection,
    home: Home,
    slot: SlotState | None,
    name: str,
    *,
    wanted: bool,
) -> None:
    """See that a slot `wanted` for failover is (or can be made) one; alters one that is not.

    Raises SourceRefused where there can be none.
    """
    if not wanted:
        return
    if home.version < VERSION_MIN:
        raise SourceRefused(
            "`failover: true` needs PostgreSQL 17 or later, and the server is "
            f"{home.version // 10_000}",
            hint="Set `failover: false`; after a failover the slot is then lost.",
        )
    if home.standby:
        raise SourceRefused(
            f"the server is a standby, where replication slot {name} cannot be a failover slot",
            hint="Let `url` name the primary, or set `failover: false`.",
        )
    if slot is not None and not slot.failover:
        replication.alter_slot_failover(slot.name)


def refuse_unreadable_standby(slot: SlotState | None, home: Home) -> None:
    """Raise SourceRefused where a standby gives no changes: an old one, a copy of a slot."""
    if not home.standby:
        return
    if home.version < STANDBY_VERSION_MIN:
        raise SourceRefused(
            "the server is a standby, and only PostgreSQL 16 and later can read changes from one; "
            f"it is {home.version // 10_000}",
            hint="Let `url` name the primary.",
        )
    if slot is not None and slot.synced:
        raise SourceRefused(
            f"replication slot {slot.name} of this standby is the copy of the primary's",
            hint="Let `url` name the primary (target_session_attrs=read-write), or configure "
            "another `slot` to read from the standby.",
        )


def absent_standbys(connection: psycopg.Connection[tuple[Any, ...]], names: str) -> list[str]:
    """What is wrong with the physical slots in synchronized_standby_slots, one sentence each."""
    active = dict(rows_of(connection, "looking for standbys", _PHYSICAL))
    wanted = [name.strip().strip('"') for name in names.split(",") if name.strip()]
    return [
        f"slot {name} is not read by a standby" if name in active else f"there is no slot {name}"
        for name in wanted
        if not active.get(name)
    ]


class StandbyWatch:
    """Notices that the stream stands still because the server waits for a standby that is gone.

    A failover slot is sent nothing that the standbys in synchronized_standby_slots have not got.
    The setting is copied with a standby's other files: after its promotion it may name slots that
    only the former primary had, and the stream would stand still without a word.
    """

    interval_s: Final = _INTERVAL_S
    while_waiting: Final = False

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._looks = 0

    def look(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Raises TransientError when the wait has lasted."""
        rows = rows_of(connection, "looking at the stream", _WAITED_FOR, (self._slot,))
        if not rows or rows[0][0] != _WAIT_EVENT:
            self._looks = 0
            return
        self._looks += 1
        absent = absent_standbys(connection, rows[0][1] or "")
        # A slot that is not there does not come by itself.
        lasting = any(sentence.startswith("there is no") for sentence in absent)
        if self._looks < 2 or not (lasting or self._looks * _INTERVAL_S >= _PATIENCE_S):
            return
        raise TransientError(
            f"replication slot {self._slot} is sent nothing: the server waits for the standbys in "
            f"synchronized_standby_slots ({rows[0][1]}; {', '.join(absent) or 'all are slow'})",
            hint="If they are gone, as after a promotion, run: "
            "ALTER SYSTEM RESET synchronized_standby_slots; SELECT pg_reload_conf();",
        )
