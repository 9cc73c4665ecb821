"""Failover on real servers: a killed primary, a promoted standby, and where the source goes on."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cdc.errors import PositionLost, SourceRefused, TransientError
from connectors.postgres.failover import StandbyWatch
from tests.integration.postgres_capture import Capture
from tests.integration.postgres_pair import (
    Pair,
    begin_again,
    execute,
    go_on,
    go_on_until_told,
    ids,
    ids_in,
    one,
    promote,
    wait_replayed,
    wait_synced,
)
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

# A standby follows a slot while it moves, and it moves when its reader says how far it is.
QUICK: dict[str, Any] = {"status_interval_s": 0.1}
FOLLOWED: dict[str, Any] = {"failover": True, **QUICK}
SYNCING = {"sync_replication_slots": "on"}
RESET = "ALTER SYSTEM RESET synchronized_standby_slots"
IS_FAILOVER = "SELECT failover FROM pg_replication_slots WHERE slot_name = 'cdc_shop'"
RELOAD = "SELECT pg_reload_conf()"


def has(capture: Capture, row: int) -> bool:
    return row in ids(capture)


def rows(first: int, last: int) -> str:
    return f"INSERT INTO t SELECT i, 'v' FROM generate_series({first}, {last}) i"


@pytest.mark.parametrize("version", ["17", pytest.param("18", marks=pytest.mark.longer)])
def test_source_goes_on_from_the_synchronized_slot_of_the_promoted_standby(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StandbyWatch, "interval_s", 0.2)
    with (
        Pair(version, standby=SYNCING) as pair,
        Capture(pair.url(), tmp_path, **FOLLOWED) as capture,
    ):
        primary, standby = pair.servers
        execute(primary, "ALTER SYSTEM SET synchronized_standby_slots = 'standby'", RELOAD)
        execute(primary, rows(1, 10))
        capture.until_streaming()
        wait_synced(primary, standby, capture)
        execute(primary, rows(11, 60))
        go_on(capture, lambda: 40 in ids(capture))

        execute(primary, rows(61, 200))
        wait_replayed(primary, standby)
        primary.kill()
        promote(standby)
        # As it comes with the files of a standby that is made later: a slot of the former primary.
        execute(standby, "ALTER SYSTEM SET synchronized_standby_slots = 'standby'", RELOAD)
        execute(standby, rows(201, 300))
        told = go_on_until_told(capture, "there is no slot standby")
        assert RESET in told.hint
        begin_again(capture, float("inf"))
        execute(standby, RESET, RELOAD)
        go_on(capture, lambda: 300 in ids(capture))

        assert ids_in(standby) == ids(capture)


def test_new_primary_that_is_behind_is_named_and_nothing_is_skipped(tmp_path: Path) -> None:
    with (
        Pair(standby=SYNCING) as pair,
        Capture(pair.url(), tmp_path, **FOLLOWED) as capture,
    ):
        primary, standby = pair.servers
        capture.until_streaming()
        wait_synced(primary, standby, capture)
        wait_replayed(primary, standby)
        standby.stop()
        execute(primary, rows(1, 100))
        capture.until_current()

        primary.kill()
        standby.start_again()
        promote(standby)
        execute(standby, rows(1001, 1100))
        with pytest.raises(PositionLost, match="the new primary was behind") as caught:
            go_on(capture, lambda: False)

        assert list(range(1, 101)) == ids(capture)
        assert "cdc heal" in caught.value.hint
        # What `cdc heal` leaves to the next start: a new snapshot of what the new primary has.
        again = {**FOLLOWED, "snapshot": "when_needed"}
        capture.config = Capture(pair.url(), tmp_path, **again).config
        begin_again(capture, float("inf"))
        go_on(capture, partial(has, capture, 1100))

        assert ids_in(standby) == ids(capture)[100:]


def test_lost_tail_without_captured_changes_does_not_cost_the_position(tmp_path: Path) -> None:
    with (
        Pair(standby=SYNCING) as pair,
        Capture(pair.url(), tmp_path, **FOLLOWED) as capture,
    ):
        primary, standby = pair.servers
        execute(primary, rows(1, 10))
        capture.until_streaming()
        wait_synced(primary, standby, capture)
        wait_replayed(primary, standby)
        standby.stop()
        execute(primary, "INSERT INTO side.other SELECT generate_series(1, 5000)")
        capture.until_current()

        primary.kill()
        standby.start_again()
        promote(standby)
        execute(standby, rows(11, 20))
        go_on(capture, lambda: 20 in ids(capture))

        assert list(range(1, 21)) == ids(capture)


@pytest.mark.longer
def test_several_failovers_in_a_row_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with (
        Pair(standby=SYNCING) as pair,
        Capture(pair.url(), tmp_path, **FOLLOWED) as capture,
    ):
        capture.until_streaming()
        for hop in range(3):
            primary, standby = pair.servers[-2:]
            wait_synced(primary, standby, capture)
            execute(primary, rows(hop * 100 + 1, hop * 100 + 50))
            go_on(capture, partial(has, capture, hop * 100 + 50))
            execute(primary, rows(hop * 100 + 51, hop * 100 + 100))
            wait_replayed(primary, standby)
            primary.kill()
            promote(standby)
            pair.add_standby(**SYNCING)
            # The list grew: the configuration is read again at a new start.
            capture.config = capture.config.model_copy(
                update={"url": Capture(pair.url(), tmp_path).config.url}
            )
            go_on(capture, partial(has, capture, hop * 100 + 100))

        assert one(pair.servers[-2], "SELECT timeline_id FROM pg_control_checkpoint()") == 4
        assert ids_in(pair.servers[-2]) == ids(capture)


@pytest.mark.longer
def test_source_that_slept_through_several_failovers_goes_on(tmp_path: Path) -> None:
    with (
        Pair(standby=SYNCING) as pair,
        Capture(pair.url(), tmp_path, **FOLLOWED) as capture,
    ):
        capture.until_streaming()
        for hop in range(2):
            primary, standby = pair.servers[-2:]
            # A slot is followed only while it moves.
            wait_synced(primary, standby, capture)
            capture.source.close()
            execute(primary, rows(hop * 100 + 1, hop * 100 + 100))
            wait_replayed(primary, standby)
            primary.kill()
            promote(standby)
            pair.add_standby(**SYNCING)
            capture.config = Capture(pair.url(), tmp_path, **FOLLOWED).config
            begin_again(capture, float("inf"))
        execute(pair.servers[-2], rows(201, 210))

        go_on(capture, partial(has, capture, 210))

        assert ids_in(pair.servers[-2]) == ids(capture)


def test_wait_for_a_standby_that_does_not_exist_is_named_and_its_remedy_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a promotion: the setting was copied with the standby's files."""
    monkeypatch.setattr(StandbyWatch, "interval_s", 0.2)
    with Pair() as pair, Capture(pair.url(), tmp_path, **FOLLOWED) as capture:
        primary = pair.servers[0]
        capture.until_streaming()
        capture.until_current()
        execute(primary, "ALTER SYSTEM SET synchronized_standby_slots = 'gone'", RELOAD)
        execute(primary, rows(1, 10))

        with pytest.raises(TransientError, match="there is no slot gone") as caught:
            capture.until(lambda: False)
        assert "ALTER SYSTEM RESET synchronized_standby_slots" in caught.value.hint
        execute(primary, RESET, RELOAD)
        go_on(capture, lambda: 10 in ids(capture))

        assert list(range(1, 11)) == ids(capture)


@pytest.mark.longer
def test_slot_that_no_standby_followed_is_a_lost_position(tmp_path: Path) -> None:
    with Pair() as pair, Capture(pair.url(), tmp_path, **QUICK) as capture:
        primary, standby = pair.servers
        capture.until_streaming()
        capture.until_current()
        wait_replayed(primary, standby)
        primary.kill()
        promote(standby)

        with pytest.raises(PositionLost, match=r"cdc_shop, which held the changes .* is gone"):
            go_on(capture, lambda: False)


@pytest.mark.longer
def test_existing_slot_is_made_a_failover_slot_and_its_copy_is_not_read(tmp_path: Path) -> None:
    with Pair(standby=SYNCING) as pair:
        primary, standby = pair.servers
        with Capture(pair.url(), tmp_path, **QUICK) as capture:
            capture.until_streaming()
            assert not one(primary, IS_FAILOVER)
            capture.source.close()
            capture.config = Capture(pair.url(), tmp_path, **FOLLOWED).config
            begin_again(capture, float("inf"))
            assert one(primary, IS_FAILOVER)
            wait_synced(primary, standby, capture)

        reading = Capture(standby.url(), tmp_path)
        reading.checkpoint = capture.checkpoint
        with pytest.raises(SourceRefused, match="is the copy of the primary's"):
            reading.start()
        reading.close()


def test_failover_slot_is_refused_where_there_can_be_none(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    if int(postgres_database.server.version.partition(".")[0]) >= 17:
        pytest.skip("failover slots came with version 17")
    capture = Capture(postgres_database.url, tmp_path, failover=True)

    with pytest.raises(SourceRefused, match="needs PostgreSQL 17 or later"):
        capture.start()

    capture.close()
