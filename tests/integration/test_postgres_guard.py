"""What the server keeps for a slot, and what follows when it keeps too much or not enough."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.checkpoint import HEAL, Checkpoint, encode_part
from cdc.errors import CdcError, SlotLost, SourcePaused, TransientError
from cdc.notes import Note
from cdc.protocols import IgnoreLimits
from connectors.postgres.retention import WalGuard
from tests.integration.command_line import until
from tests.integration.postgres_capture import Capture, rows_in
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

MIB = 1 << 20
TABLE = "CREATE TABLE t (id int PRIMARY KEY)"
FREE = "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'cdc_shop'"


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server whose settings the tests may change; its WAL is nobody else's."""
    with PostgresServer.start() as server:
        yield server


@pytest.fixture
def database(own_server: PostgresServer) -> Iterator[PostgresDatabase]:
    with PostgresDatabase(own_server) as database:
        yield database


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.postgres.guard.Guard.interval_s", 0.05)
    monkeypatch.setattr("connectors.postgres.blockers.BlockersWatch.interval_s", 0.05)


def one(database: PostgresDatabase, query: str) -> Any:
    with database.connect() as connection:
        row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]


def fill_segments(database: PostgresDatabase, count: int) -> None:
    """Use up segments of 16 MiB, with hardly any writing."""
    database.execute("CREATE TABLE IF NOT EXISTS noise (v int)")
    for _ in range(count):
        database.execute("INSERT INTO noise VALUES (1)", "SELECT pg_switch_wal()")


def keep(capture: Capture, what: str, done: Any) -> None:
    """Only keep alive, as the loop does while the log takes nothing."""

    def ask() -> bool:
        capture.source.keepalive()
        return bool(done())

    until(what, ask, 20.0)


def codes(capture: Capture) -> dict[str, Note]:
    return {note.code: note for note in capture.source.progress().notes}


def failure(capture: Capture) -> CdcError:
    try:
        capture.start()
        capture.until_current()
    except CdcError as error:
        return error
    finally:
        capture.close()
    pytest.fail("nothing was refused")


def stopped_once(database: PostgresDatabase, folder: Path, **options: Any) -> Capture:
    """A source that has streamed a table of two rows, and was closed."""
    database.execute(TABLE, "INSERT INTO t VALUES (1), (2)")
    capture = Capture(database.url, folder, tables=["public.t"], **options).start()
    capture.until_current()
    capture.crash()
    until("the slot is free", lambda: one(database, FREE))
    return capture


def invalidate(database: PostgresDatabase) -> None:
    """Let the server take the slot's WAL away."""
    database.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
    lost = "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = 'cdc_shop'"

    def ask() -> Any:
        fill_segments(database, 3)
        database.execute("CHECKPOINT")
        return one(database, lost)

    try:
        until("the slot is lost", ask)
    finally:
        database.execute("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")


# --- the guard ------------------------------------------------------------------------------------


def test_retained_log_is_measured_warned_of_and_alerted_while_the_log_takes_nothing(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    database.execute(TABLE)
    guard = WalGuard(warn_bytes=20 * MIB, limit_bytes=70 * MIB)
    with Capture(database.url, tmp_path, tables=["public.t"], wal_guard=guard) as capture:
        capture.until_current()
        keep(capture, "it is measured", lambda: capture.source.progress().retention)
        assert codes(capture) == {}

        fill_segments(database, 3)
        keep(capture, "a warning", lambda: "wal-warning" in codes(capture))
        retention = capture.source.progress().retention
        assert retention is not None
        judged = one(
            database,
            "SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots"
            " WHERE slot_name = 'cdc_shop'",
        )
        assert abs(retention.size_bytes - judged) < MIB

        fill_segments(database, 3)
        keep(capture, "an alert", lambda: "wal-limit" in codes(capture))
        assert codes(capture)["wal-limit"].severity == "alert"
        assert "were not confirmed yet" in codes(capture)["wal-limit"].hint

        # The log takes records again: the database forgets, and all is well.
        database.execute("CHECKPOINT")
        capture.until_current()
        capture.until(lambda: not codes(capture))


def test_old_transaction_that_holds_the_log_is_named_as_the_reason(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    database.execute(TABLE)
    guard = WalGuard(warn_bytes=20 * MIB)
    options: Any = {"status_interval_s": 0.1, "wal_guard": guard}
    with Capture(database.url, tmp_path, tables=["public.t"], **options) as capture:
        capture.until_current()
        with database.connect() as writer:
            writer.execute("BEGIN")
            writer.execute("INSERT INTO t VALUES (1)")
            fill_segments(database, 4)
            database.execute("CHECKPOINT")

            capture.until(lambda: "wal-warning" in codes(capture))
            capture.until(lambda: "long transaction" in codes(capture)["wal-warning"].hint)


def test_guard_pauses_the_source_and_a_person_lets_it_go_on(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    database.execute(TABLE)
    guard = WalGuard(warn_bytes=20 * MIB, limit_bytes=20 * MIB, policy="pause-source")
    with Capture(database.url, tmp_path, tables=["public.t"], wal_guard=guard) as capture:
        capture.until_current()
        fill_segments(database, 3)

        with pytest.raises(SourcePaused, match=r"limit_bytes is 20\.0 MiB") as paused:
            keep(capture, "it pauses", lambda: False)

        assert "cdc resume shop" in paused.value.hint
        capture.crash()
        until("the slot is free", lambda: one(database, FREE))
        # Still too much: it pauses before anything is opened, unless a person says to go on.
        assert capture.source.acquire(5.0)
        with pytest.raises(SourcePaused):
            capture.source.keepalive()
        capture.crash()
        database.execute("INSERT INTO t VALUES (7)")
        capture.source.command(IgnoreLimits())
        capture.start()
        capture.until_current()
        assert capture.state()["public.t"] == {(7,): (7,)}


def test_guard_drops_the_slot_and_a_new_snapshot_follows(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    database.execute(TABLE, "INSERT INTO t VALUES (1), (2)")
    policy: Any = "drop-slot-and-resnapshot"
    guard = WalGuard(warn_bytes=20 * MIB, limit_bytes=20 * MIB, policy=policy)
    with Capture(database.url, tmp_path, tables=["public.t"], wal_guard=guard) as capture:
        capture.until_current()
        database.execute("INSERT INTO t VALUES (3)")
        fill_segments(database, 3)

        with pytest.raises(TransientError, match="the slot was dropped"):
            keep(capture, "it drops the slot", lambda: False)

        assert one(database, "SELECT count(*) FROM pg_replication_slots") == 0
        database.execute("DELETE FROM t WHERE id = 1")
        before = len(capture.events)
        capture.restart()
        capture.until_current()
        again = [(event.op, event.after[0]) for event in capture.events[before:] if event.after]
        assert sorted(again) == [("r", 2), ("r", 3)]
        note = codes(capture)["begun-anew"]
        assert "is gone" in note.message
        assert "deleted meanwhile are not noticed" in note.hint


# --- lost slots -----------------------------------------------------------------------------------


def test_slot_whose_log_was_removed_is_lost_with_reason_and_remedy(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = stopped_once(database, tmp_path)
    invalidate(database)

    error = failure(capture)

    assert isinstance(error, SlotLost)
    assert "write-ahead log that it needs was removed" in error.message
    assert "cdc heal shop" in error.hint


def test_slot_that_is_lost_while_the_log_takes_nothing_is_noticed_at_once(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    database.execute(TABLE)
    with Capture(database.url, tmp_path, tables=["public.t"]) as capture:
        capture.until_current()
        capture.source.keepalive()
        invalidate(database)

        with pytest.raises(CdcError) as lost:
            keep(capture, "it is noticed", lambda: False)
        # The server ends the stream as well; whichever is noticed first, the next start says why.
        assert isinstance(lost.value, SlotLost | TransientError)
        capture.crash()
        assert isinstance(failure(capture), SlotLost)


@pytest.mark.parametrize("loss", ["removed", "dropped", "made again"])
def test_lost_slot_is_made_up_for_when_that_is_wanted(
    database: PostgresDatabase, tmp_path: Path, loss: str
) -> None:
    capture = stopped_once(database, tmp_path, on_lost_slot="resnapshot")
    database.execute("UPDATE t SET id = 5 WHERE id = 2")
    if loss == "removed":
        invalidate(database)
    else:
        database.execute("SELECT pg_drop_replication_slot('cdc_shop')")
    if loss == "made again":
        database.execute("SELECT pg_create_logical_replication_slot('cdc_shop', 'pgoutput')")
    before = len(capture.events)

    capture.start()
    capture.until_current()

    database.execute("INSERT INTO t VALUES (6)")
    capture.until_current()
    again = [(event.op, event.after[0]) for event in capture.events[before:] if event.after]
    assert again == [("r", 1), ("r", 5), ("c", 6)]
    assert "begun-anew" in codes(capture)
    # Found again from what was stored: the new beginning has replaced the old one.
    capture.restart()
    capture.until_current()
    assert "begun-anew" not in codes(capture)
    assert len(capture.events) == before + 3
    capture.close()


def test_slot_made_again_by_somebody_is_named_and_never_jumped_over(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = stopped_once(database, tmp_path)
    database.execute(
        "SELECT pg_drop_replication_slot('cdc_shop')",
        "INSERT INTO t VALUES (3)",
        "SELECT pg_create_logical_replication_slot('cdc_shop', 'pgoutput')",
    )

    error = failure(capture)

    assert isinstance(error, SlotLost)
    assert "it was made again, or something else read from it" in error.message


def test_heal_replaces_a_slot_that_is_well_and_reads_all_again(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = stopped_once(database, tmp_path)
    assert capture.checkpoint is not None
    capture.checkpoint = capture.checkpoint.merged(Checkpoint({HEAL: encode_part({})}))
    before = len(capture.events)

    capture.start()
    first = capture.poll()
    while first is None:
        first = capture.poll()
    capture.until_current()

    # One change replaces all: nothing of the old state is left, nothing is missing in between.
    assert first.checkpoint.parts[HEAL] is None
    assert first.checkpoint.parts["position"] is not None
    assert HEAL not in capture.checkpoint.parts
    assert [event.op for event in capture.events[before:]] == ["r", "r"]
    assert "cdc heal shop" in codes(capture)["begun-anew"].message
    capture.close()


@pytest.mark.longer
def test_slot_that_was_idle_for_too_long_is_lost_with_reason(tmp_path: Path) -> None:
    settings = {"idle_replication_slot_timeout": "1s"}
    with PostgresServer.start("18", settings=settings) as server, PostgresDatabase(server) as own:
        capture = stopped_once(own, tmp_path)

        def ask() -> Any:
            own.execute("CHECKPOINT")
            return one(own, "SELECT invalidation_reason = 'idle_timeout' FROM pg_replication_slots")

        until("the slot is lost", ask)

        error = failure(capture)

        assert isinstance(error, SlotLost)
        assert "idle_replication_slot_timeout" in error.message


# --- waits ----------------------------------------------------------------------------------------


def test_waiting_for_an_old_transaction_names_it_and_ends_with_it(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    database.execute(TABLE, "CREATE TABLE other (secret text)")
    with database.connect() as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO other VALUES ('hidden')")
        pid = writer.info.backend_pid
        with Capture(database.url, tmp_path, tables=["public.t"]) as capture:
            capture.until(lambda: "waiting-for-transactions" in codes(capture))
            note = codes(capture)["waiting-for-transactions"]
            assert f"server process {pid}" in note.message
            assert "making replication slot cdc_shop" in note.message
            assert f"pg_terminate_backend({pid})" in note.hint
            assert "hidden" not in str(note)

            writer.execute("COMMIT")
            capture.until_streaming()
            capture.until(lambda: not codes(capture))


def test_waiting_for_a_prepared_transaction_says_how_to_end_it(tmp_path: Path) -> None:
    settings = {"max_prepared_transactions": "2"}
    with (
        PostgresServer.start(settings=settings) as server,
        PostgresDatabase(server) as database,
    ):
        database.execute(TABLE, "BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'lost'")
        with Capture(database.url, tmp_path, tables=["public.t"]) as capture:
            capture.until(lambda: "waiting-for-transactions" in codes(capture))
            note = codes(capture)["waiting-for-transactions"]
            assert "prepared transaction 'lost'" in note.message
            assert "ROLLBACK PREPARED 'lost'" in note.hint

            database.execute("ROLLBACK PREPARED 'lost'")
            capture.until_streaming()
        assert rows_in(database, "SELECT id FROM t") == {}


def test_a_stop_does_not_wait_for_old_transactions(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    database.execute(TABLE)
    with database.connect() as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO t VALUES (1)")
        capture = Capture(database.url, tmp_path, tables=["public.t"]).start()
        capture.until(lambda: "waiting-for-transactions" in codes(capture))

        capture.close()

        gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'walsender'"
        until("nobody waits any more", lambda: one(database, gone), 5.0)
        assert isinstance(writer, psycopg.Connection)
