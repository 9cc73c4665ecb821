"""Whether a checkpoint can be resumed from a slot and a server."""

import pytest

from cdc.errors import PositionLost, SourceRefused
from connectors.postgres.lsn import Lsn
from connectors.postgres.names import Names
from connectors.postgres.slots import (
    require_ours,
    require_resumable,
    slot_of,
)

# A row of pg_replication_slots of PostgreSQL 15.18.
NAMES = Names("shop", "shop", "cdc_shop", "cdc_shop")

ROW: dict[str, object] = {
    "slot_name": "cdc_shop",
    "plugin": "pgoutput",
    "slot_type": "logical",
    "database": "shop",
    "temporary": False,
    "active": False,
    "active_pid": None,
    "restart_lsn": "0/1500DA0",
    "confirmed_flush_lsn": "0/1500DD8",
    "wal_status": "reserved",
    "two_phase": False,
}


def test_slot_that_confirmed_no_more_than_the_checkpoint_is_resumable() -> None:
    slot = slot_of(ROW)

    require_resumable(slot, NAMES, Lsn.parse("0/1500DD8"))
    require_ours(slot, "shop")


@pytest.mark.parametrize(
    ("change", "lsn", "reason"),
    [
        ({}, "0/1500DD7", "begins at 0/1500DD8, behind the stored position 0/1500DD7"),
        ({"wal_status": "lost"}, "0/1600000", "the write-ahead log that it needs was removed"),
        ({"invalidation_reason": "wal_removed"}, "0/1600000", "max_slot_wal_keep_size"),
        ({"conflicting": True}, "0/1600000", "conflicted with recovery"),
        ({"confirmed_flush_lsn": None}, "0/1600000", "begins at None"),
    ],
)
def test_slot_that_lacks_what_follows_is_a_lost_position(
    change: dict[str, object], lsn: str, reason: str
) -> None:
    with pytest.raises(PositionLost, match=reason):
        require_resumable(slot_of(ROW | change), NAMES, Lsn.parse(lsn))


def test_missing_slot_is_a_lost_position() -> None:
    with pytest.raises(PositionLost, match="cdc_shop, which held the changes behind 0/5, is gone"):
        require_resumable(None, NAMES, Lsn(5))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"plugin": "test_decoding"}, "has the plugin test_decoding, not pgoutput"),
        ({"plugin": None, "database": None}, "of a physical slot"),
        ({"database": "other"}, "belongs to database other, not shop"),
        ({"two_phase": True}, "decodes prepared transactions"),
    ],
)
def test_slot_of_another_kind_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(SourceRefused, match=reason):
        require_ours(slot_of(ROW | change), "shop")
