"""The Postgres source when something is wrong: each case is named, with its remedy."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.errors import (
    CdcError,
    ConfigError,
    LeaseLost,
    PositionLost,
    SourceRefused,
    TransientError,
)
from cdc.protocols import MarkCurrent
from cdc.secret import Secret
from connectors.postgres.connection import Dialer
from connectors.postgres.lsn import Lsn
from connectors.postgres.replication import ReplicationConnection
from tests.integration.postgres_capture import Capture
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

TABLE = "CREATE TABLE t (id int PRIMARY KEY)"


def failure(capture: Capture) -> CdcError:
    """The error that a start, or the polls behind it, end with."""
    try:
        capture.start()
        capture.until_current()
    except CdcError as error:
        return error
    finally:
        capture.close()
    pytest.fail("nothing was refused")


def one(database: PostgresDatabase, query: str) -> Any:
    """The only value that a query gives: the judge."""
    with database.connect() as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def major(database: PostgresDatabase) -> int:
    """The server's version."""
    return int(database.server.version.partition(".")[0])


def wait_for(database: PostgresDatabase, condition: str) -> None:
    """Until the server says so."""
    deadline = time.monotonic() + 20
    with database.connect() as connection:
        while connection.execute(f"SELECT {condition}".encode()).fetchone() != (True,):
            assert time.monotonic() < deadline, condition
            connection.execute("SELECT pg_sleep(0.02)")


FREE = "NOT EXISTS (SELECT FROM pg_replication_slots WHERE active AND slot_name = 'cdc_shop')"


# --- connections ----------------------------------------------------------------------------------


def test_wrong_password_is_refused_with_the_setting_to_correct(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    role, password = postgres_database.create_role()

    error = failure(Capture(postgres_database.url_of(role, password + "x"), tmp_path))

    assert isinstance(error, SourceRefused)
    assert "password authentication failed" in str(error)
    assert "Correct `password`" in error.hint
    assert password not in str(error)


def test_password_comes_from_its_setting_or_its_command(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE PUBLICATION cdc_shop FOR TABLE t")
    role, password = postgres_database.create_role()
    postgres_database.execute(f"GRANT SELECT ON t TO {role}")
    url = postgres_database.url_of(role, "wrong")
    secret = tmp_path / "secret"
    secret.write_text(f"{password}\nsecond line\n")

    with Capture(url, tmp_path, password=Secret(password)) as capture:
        capture.until_streaming()
    wait_for(postgres_database, FREE)
    with Capture(url, tmp_path, password_command=("cat", str(secret))) as capture:
        capture.until_streaming()


@pytest.mark.parametrize(
    ("command", "kind", "message"),
    [
        (("false",), TransientError, "ended with exit code 1 and no password"),
        (("no-such-program",), ConfigError, "cannot be run: no-such-program"),
    ],
)
def test_password_command_that_fails_is_named(
    postgres_database: PostgresDatabase,
    tmp_path: Path,
    command: tuple[str, ...],
    kind: type[CdcError],
    message: str,
) -> None:
    error = failure(Capture(postgres_database.url, tmp_path, password_command=command))

    assert kind is type(error)
    assert message in str(error)


def test_unknown_database_is_refused(postgres_server: PostgresServer, tmp_path: Path) -> None:
    error = failure(Capture(postgres_server.url("no_such"), tmp_path))

    assert isinstance(error, SourceRefused)
    assert 'database "no_such" does not exist' in str(error)


def test_server_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    error = failure(Capture("postgresql://postgres@127.0.0.1:1/x", tmp_path))

    assert isinstance(error, TransientError)
    assert "Is the server running" in str(error)


def test_url_that_is_none_is_a_configuration_error_without_its_password(tmp_path: Path) -> None:
    error = failure(Capture("postgresql://u:s3cret@h:port:x/?=", tmp_path))

    assert isinstance(error, ConfigError)
    assert "s3cret" not in str(error)


def test_role_without_replication_is_refused_with_the_statement(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    role, password = postgres_database.create_role("LOGIN")

    error = failure(Capture(postgres_database.url_of(role, password), tmp_path))

    assert isinstance(error, SourceRefused)
    assert "ALTER ROLE" in error.hint
    assert "REPLICATION" in error.hint


def test_server_without_logical_wal_is_refused_with_the_statement(tmp_path: Path) -> None:
    with (
        PostgresServer.start(settings={"wal_level": "replica"}) as server,
        PostgresDatabase(server) as database,
    ):
        database.execute(TABLE)

        error = failure(Capture(database.url, tmp_path))

    assert isinstance(error, SourceRefused)
    assert "ALTER SYSTEM SET wal_level = logical" in error.hint


# --- tables and publications ----------------------------------------------------------------------


def test_table_that_cannot_be_read_is_refused(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE PUBLICATION cdc_shop FOR TABLE t")
    role, password = postgres_database.create_role()

    error = failure(Capture(postgres_database.url_of(role, password), tmp_path))

    assert isinstance(error, SourceRefused)
    assert "public.t" in str(error)
    assert "permission denied" in str(error)


def test_publication_that_we_may_not_make_comes_with_its_statement(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    role, password = postgres_database.create_role()

    error = failure(Capture(postgres_database.url_of(role, password), tmp_path))

    assert isinstance(error, SourceRefused)
    assert 'CREATE PUBLICATION "cdc_shop" FOR TABLE "public"."t"' in error.hint
    assert (
        one(
            postgres_database,
            "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()",
        )
        == 0
    )


@pytest.mark.parametrize(
    ("made", "options", "reason", "fix"),
    [
        (
            "CREATE PUBLICATION cdc_shop FOR TABLE u",
            {"create_publication": False},
            "publication cdc_shop lacks public.t",
            'ALTER PUBLICATION "cdc_shop" ADD TABLE "public"."t"',
        ),
        (
            "CREATE PUBLICATION cdc_shop FOR TABLE t, u WITH (publish = 'insert, update')",
            {},
            "does not publish delete, truncate",
            "SET (publish = 'insert, update, delete, truncate')",
        ),
        (
            "SELECT 1",
            {"create_publication": False},
            "there is no publication cdc_shop",
            'CREATE PUBLICATION "cdc_shop" FOR TABLE',
        ),
        (
            "SELECT 1",
            {"create_slot": False},
            "there is no replication slot cdc_shop",
            "SELECT pg_create_logical_replication_slot('cdc_shop', 'pgoutput')",
        ),
        (
            "CREATE TABLE keyless (v text)",
            {"keyless_tables": "refuse"},
            "tables without a key: public.keyless",
            "primary key",
        ),
        (
            "CREATE TABLE keyless (v text)",
            {},
            "would refuse every update and delete of public.keyless",
            'ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL',
        ),
    ],
)
def test_what_would_lose_changes_or_hurt_writers_is_refused_with_the_fix(
    postgres_database: PostgresDatabase,
    tmp_path: Path,
    made: str,
    options: dict[str, Any],
    reason: str,
    fix: str,
) -> None:
    postgres_database.execute(TABLE, "CREATE TABLE u (id int PRIMARY KEY)", made)

    error = failure(Capture(postgres_database.url, tmp_path, **options))

    assert isinstance(error, SourceRefused)
    assert reason in str(error)
    assert fix in error.hint


def test_partition_under_the_name_of_a_root_that_is_not_captured_is_refused(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE part (id int PRIMARY KEY) PARTITION BY LIST (id)",
        "CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1)",
        "CREATE PUBLICATION cdc_shop FOR TABLE part WITH (publish_via_partition_root)",
    )

    error = failure(Capture(postgres_database.url, tmp_path, tables=["public.part1"]))

    assert isinstance(error, SourceRefused)
    assert "SET (publish_via_partition_root = false)" in error.hint


def test_dropped_publication_stops_the_stream_with_its_name(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    if major(postgres_database) >= 18:
        pytest.skip("from version 18 on the server only warns, which another test is about")
    postgres_database.execute(TABLE)
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_streaming()

        postgres_database.execute(
            "INSERT INTO t VALUES (1)", "DROP PUBLICATION cdc_shop", "INSERT INTO t VALUES (2)"
        )
        # The last change and the error arrive together.
        wait_for(postgres_database, FREE)
        with pytest.raises(SourceRefused, match='publication "cdc_shop" does not exist') as caught:
            capture.until(lambda: False)

    assert [event.after[0] for event in capture.events if event.after] == [1]
    assert "Create the publication again" in caught.value.hint


def test_name_that_means_no_table_is_a_configuration_error(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute("CREATE TABLE products (id int PRIMARY KEY)")

    error = failure(Capture(postgres_database.url, tmp_path, tables=["public.product"]))

    assert isinstance(error, ConfigError)
    assert "did you mean public.products?" in str(error)


# --- slots and positions --------------------------------------------------------------------------


def streaming_once(database: PostgresDatabase, folder: Path, **options: Any) -> Capture:
    """A source that has streamed, and was closed."""
    database.execute(TABLE, "INSERT INTO t VALUES (1)")
    capture = Capture(database.url, folder, **options).start()
    capture.until_current()
    capture.crash()
    wait_for(database, FREE)
    return capture


def test_slot_in_use_names_the_process_and_is_tried_again(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    with Capture(postgres_database.url, tmp_path) as first:
        first.until_streaming()
        first.until_current()
        pid = one(
            postgres_database,
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'cdc_shop'",
        )
        second = Capture(
            postgres_database.url,
            tmp_path,
            pipeline="other",
            slot="cdc_shop",
            publication="cdc_shop",
        )

        error = failure(second)

    assert isinstance(error, TransientError)
    assert f"replication slot cdc_shop is in use by process {pid}" in str(error)


def test_dropped_slot_is_a_lost_position(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = streaming_once(postgres_database, tmp_path)
    postgres_database.execute("SELECT pg_drop_replication_slot('cdc_shop')")

    error = failure(capture)

    assert isinstance(error, PositionLost)
    assert "replication slot cdc_shop" in str(error)
    assert "cdc heal shop" in error.hint


def test_slot_that_was_made_again_is_a_lost_position(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = streaming_once(postgres_database, tmp_path)
    postgres_database.execute(
        "SELECT pg_drop_replication_slot('cdc_shop')",
        "INSERT INTO t VALUES (2)",
        "SELECT pg_create_logical_replication_slot('cdc_shop', 'pgoutput')",
    )

    error = failure(capture)

    assert isinstance(error, PositionLost)
    assert "was made again, or something else read from it" in str(error)


def test_slot_of_another_plugin_is_refused(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        TABLE, "SELECT pg_create_logical_replication_slot('cdc_shop', 'test_decoding')"
    )

    error = failure(Capture(postgres_database.url, tmp_path))

    assert isinstance(error, SourceRefused)
    assert "has the plugin test_decoding, not pgoutput" in str(error)


def test_other_server_is_a_lost_position(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = streaming_once(postgres_database, tmp_path)
    with PostgresServer.start() as other, PostgresDatabase(other) as database:
        database.execute(TABLE)
        moved = Capture(database.url, tmp_path)
        moved.checkpoint = capture.checkpoint

        error = failure(moved)
    capture.close()

    assert isinstance(error, PositionLost)
    assert "the server is another one" in str(error)


def test_slot_that_lost_its_log_is_a_lost_position_and_healed_when_needed(tmp_path: Path) -> None:
    settings = {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    with PostgresServer.start(settings=settings) as server, PostgresDatabase(server) as database:
        capture = streaming_once(database, tmp_path)
        database.execute("CREATE TABLE noise (v text)")
        while one(database, "SELECT wal_status FROM pg_replication_slots") != "lost":
            database.execute(
                "INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 20000)",
                "SELECT pg_switch_wal()",
                "CHECKPOINT",
            )
        database.execute("DROP TABLE noise", "INSERT INTO t VALUES (2)")

        error = failure(capture)
        assert isinstance(error, PositionLost)
        assert "replication slot cdc_shop is invalidated" in str(error)

        healed = Capture(database.url, tmp_path, snapshot="when_needed")
        healed.checkpoint = capture.checkpoint
        with healed:
            healed.until_current()
            assert [event.after[0] for event in healed.events if event.after] == [1, 2]


def test_ack_never_goes_back(postgres_database: PostgresDatabase, tmp_path: Path) -> None:
    postgres_database.execute(TABLE)
    with Capture(postgres_database.url, tmp_path, status_interval_s=0.1) as capture:
        capture.until_streaming()
        postgres_database.execute("INSERT INTO t VALUES (1)")
        capture.until_current()
        last = capture.batches[-1].ackable
        assert last is not None

        first = next(batch.ackable for batch in capture.batches if batch.ackable)
        capture.source.ack(first)
        confirmed = "(SELECT confirmed_flush_lsn FROM pg_replication_slots)"
        capture.until(lambda: one(postgres_database, f"SELECT {confirmed} >= '{last}'::pg_lsn"))


# --- a server that goes away ----------------------------------------------------------------------


def test_restarted_server_is_resumed_without_loss(tmp_path: Path) -> None:
    with PostgresServer.start(durable=True) as server, PostgresDatabase(server) as database:
        database.execute(TABLE)
        capture = Capture(database.url, tmp_path).start()
        capture.until_streaming()
        database.execute("INSERT INTO t VALUES (1)")
        capture.until_current()

        server.kill()
        with pytest.raises(TransientError):
            capture.until(lambda: False)
        server.start_again()
        database.execute("INSERT INTO t VALUES (2)")
        capture.restart()
        capture.until_current()
        capture.close()

        assert [event.after[0] for event in capture.events if event.after] == [1, 2]


def test_server_that_shuts_down_does_not_wait_for_us(tmp_path: Path) -> None:
    """A walsender ends only when its reader has confirmed everything it was sent."""
    with PostgresServer.start() as server, PostgresDatabase(server) as database:
        database.execute(TABLE)
        capture = Capture(database.url, tmp_path).start()
        capture.until_streaming()
        database.execute("INSERT INTO t VALUES (1)")
        capture.until(lambda: bool(capture.events))
        stopping = threading.Thread(target=server.stop)
        stopping.start()

        with pytest.raises(TransientError):
            capture.until(lambda: False)
        # As the loop does. Which of our connections hears first is the server's choice; until the
        # others are closed too, its walsender may wait for an answer.
        capture.close()
        stopping.join(timeout=30)

        assert not server.is_running
        assert [event.after[0] for event in capture.events if event.after] == [1]


# --- lease ----------------------------------------------------------------------------------------


def test_second_source_of_the_same_name_waits(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    second = Capture(postgres_database.url, tmp_path)
    with Capture(postgres_database.url, tmp_path) as first:
        first.until_streaming()
        assert not second.source.acquire(0.3)
        first.until_current()

    assert second.source.acquire(5.0)
    second.close()


def test_lost_lease_is_noticed_by_the_keepalive(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_streaming()
        postgres_database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )

        with pytest.raises(LeaseLost):
            capture.until(lambda: False)
        with pytest.raises(LeaseLost):
            capture.source.keepalive()


def test_frozen_lease_session_is_given_up(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.postgres.lease._ANSWER_TIMEOUT_S", 0.5)
    postgres_database.execute(TABLE)
    capture = Capture(postgres_database.url, tmp_path).start()
    pid = one(postgres_database, "SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(LeaseLost, match="no answer in"):
            capture.until(lambda: False)
    finally:
        os.kill(pid, signal.SIGCONT)
        capture.close()


def test_close_leaves_no_connection_and_frees_slot_and_lease(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_current()
    capture.close()

    wait_for(
        postgres_database,
        "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'tidewire%'"
        " AND datname = current_database())",
    )
    wait_for(postgres_database, FREE)


def test_slot_that_is_waited_for_does_not_stay_behind(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    """A slot is there once every transaction has ended that was open when it was asked for."""
    postgres_database.execute(TABLE)
    capture = Capture(postgres_database.url, tmp_path)
    with psycopg.connect(postgres_database.url) as open_writer:
        open_writer.execute("INSERT INTO t VALUES (1)")
        capture.start()
        assert capture.poll(0.3) is None
        assert capture.source.progress().phase == "starting"

        capture.crash()
        wait_for(
            postgres_database,
            "NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'cdc_shop')",
        )
        open_writer.commit()
    capture.start()
    capture.until_current()
    capture.close()

    assert [event.snapshot for event in capture.events] == ["last"]


# --- marks, keepalives, lag -----------------------------------------------------------------------


def test_mark_is_passed_on_an_idle_server_soon(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_streaming()
        capture.until_current()
        postgres_database.execute(
            # Log that is no commit and that nobody flushes.
            "SELECT pg_logical_emit_message(false, 'x', 'y')"
        )
        began = time.monotonic()
        for _ in range(3):
            capture.until_current()

        assert time.monotonic() - began < 10


def test_mark_is_not_passed_before_what_was_committed_without_waiting_for_the_disk(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    with (
        Capture(postgres_database.url, tmp_path) as capture,
        postgres_database.connect() as writer,
    ):
        capture.until_streaming()
        writer.execute("SET synchronous_commit = off")
        for number in range(20):
            writer.execute("INSERT INTO t VALUES (%s)", (number,))
            capture.until_current()
            assert number + 1 == len(capture.events)


def test_mark_is_passed_while_others_write(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE TABLE noise (v text)")
    stopped = threading.Event()

    def write() -> None:
        with psycopg.connect(postgres_database.url, autocommit=True) as connection:
            while not stopped.is_set():
                connection.execute("INSERT INTO noise VALUES ('x')")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with Capture(postgres_database.url, tmp_path, tables=["public.t"]) as capture:
            capture.until_streaming()
            for number in range(5):
                postgres_database.execute(f"INSERT INTO t VALUES ({number})")
                capture.until_current()
                assert number + 1 == len(capture.events)
    finally:
        stopped.set()
        writer.join()


def test_mark_given_before_the_start_is_passed_once(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "INSERT INTO t VALUES (1)")
    capture = Capture(postgres_database.url, tmp_path)
    capture.source.command(MarkCurrent("early"))
    with capture:
        capture.until(lambda: any("early" in batch.marks for batch in capture.batches))
        capture.until_current()

    assert sum(batch.marks.count("early") for batch in capture.batches) == 1
    assert len(capture.events) == 1


def test_idle_table_with_a_busy_neighbour_does_not_hold_the_log(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE TABLE noise (v text)")
    with Capture(
        postgres_database.url, tmp_path, tables=["public.t"], status_interval_s=0.2
    ) as capture:
        capture.until_streaming()
        postgres_database.execute(
            "INSERT INTO noise SELECT repeat('x', 100) FROM generate_series(1, 20000)"
        )
        written = one(postgres_database, "SELECT pg_current_wal_flush_lsn()")

        capture.until(
            lambda: one(
                postgres_database,
                f"SELECT confirmed_flush_lsn >= '{written}'::pg_lsn FROM pg_replication_slots"
                " WHERE database = current_database()",
            )
        )
        quiet = [batch for batch in capture.batches if not batch.events and batch.ackable]

        assert capture.events == []
        assert Lsn.parse(written) <= Lsn.parse(quiet[-1].ackable or "")
        capture.restart()
        postgres_database.execute("INSERT INTO t VALUES (1)")
        capture.until_current()
        assert len(capture.events) == 1


def test_busy_neighbour_does_not_make_a_batch_of_every_keepalive(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE TABLE noise (v text)")
    with Capture(postgres_database.url, tmp_path, tables=["public.t"]) as capture:
        capture.until_current()
        before, began = len(capture.batches), time.monotonic()
        with postgres_database.connect() as neighbour:
            while time.monotonic() - began < 2:
                neighbour.execute("INSERT INTO noise VALUES ('x')")
                capture.poll(0.01)

        assert len(capture.batches) - before <= 4


def test_lag_is_zero_only_when_nothing_is_left(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_current()
        capture.until(lambda: capture.source.progress().lag_bytes == 0)
        assert capture.source.progress().lag_s == 0.0

        postgres_database.execute("INSERT INTO t SELECT * FROM generate_series(1, 20000)")
        deadline = time.monotonic() + 10
        while not capture.source.progress().lag_bytes:
            assert time.monotonic() < deadline
            capture.source.keepalive()
        capture.until_current()
        capture.until(lambda: capture.source.progress().lag_bytes == 0)


def test_dropped_publication_stops_servers_that_only_warn_of_it(tmp_path: Path) -> None:
    """From 18 on the server goes on without the changes, and says so in a notice."""
    with PostgresServer.start("18") as server, PostgresDatabase(server) as database:
        database.execute(TABLE)
        with Capture(database.url, tmp_path) as capture:
            capture.until_streaming()
            capture.until_current()
            database.execute("DROP PUBLICATION cdc_shop", "INSERT INTO t VALUES (1)")
            with pytest.raises(SourceRefused, match="publication cdc_shop") as caught:
                capture.until_current()
            assert "Create the publication again" in caught.value.hint

            # It is the same after a restart, even if the publication is back: the change is not.
            database.execute("CREATE PUBLICATION cdc_shop FOR TABLE t")
            capture.crash()
            wait_for(database, FREE)
            capture.start()
            with pytest.raises(SourceRefused, match="publication cdc_shop"):
                capture.until_current()
            assert capture.events == []


def test_table_taken_out_of_the_publication_is_a_lost_position(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    """The server does not say that it left changes out."""
    postgres_database.execute("CREATE TABLE u (id int PRIMARY KEY)")
    capture = streaming_once(postgres_database, tmp_path)
    postgres_database.execute("ALTER PUBLICATION cdc_shop DROP TABLE t", "INSERT INTO t VALUES (2)")

    error = failure(capture)

    assert isinstance(error, PositionLost)
    assert "publication cdc_shop no longer has public.t" in str(error)


@pytest.mark.parametrize(
    ("statement", "kind", "message"),
    [
        ("DROP TABLE t", PositionLost, "publication cdc_shop no longer has public.t"),
        ("SET (publish = 'insert')", SourceRefused, "does not publish update, delete, truncate"),
        ("SET TABLE t (id), u", SourceRefused, r"another column list .* of public\.t were read"),
    ],
)
def test_publication_that_is_narrowed_while_streaming_is_noticed(
    postgres_database: PostgresDatabase,
    tmp_path: Path,
    statement: str,
    kind: type[CdcError],
    message: str,
) -> None:
    """The server leaves changes out without a word, and the source looks well."""
    if "(id)" in statement and major(postgres_database) < 15:
        pytest.skip("column lists came with version 15")
    postgres_database.execute(TABLE, "CREATE TABLE u (id int PRIMARY KEY)")
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_current()
        postgres_database.execute(f"ALTER PUBLICATION cdc_shop {statement}", "DELETE FROM t")

        with pytest.raises(kind, match=message):
            capture.until_current()


def test_captured_table_that_is_dropped_while_streaming_is_no_fault(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE TABLE u (id int PRIMARY KEY)")
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_current()
        postgres_database.execute("DROP TABLE u", "INSERT INTO t VALUES (5)")

        capture.until_current()

    assert capture.state()["public.t"] == {(5,): (5,)}


def test_session_that_freezes_before_the_publication_is_looked_at_is_given_up(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that waits for ever would keep everybody from looking after the lease."""
    monkeypatch.setattr("connectors.postgres.watches.PublicationWatch.interval_s", 0.1)
    monkeypatch.setattr("connectors.postgres.connection.ANSWER_TIMEOUT_S", 0.5)
    postgres_database.execute(TABLE)
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_current()
        pid = capture.source._connection().info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TransientError, match="no answer in"):
                capture.until(lambda: False)
        finally:
            os.kill(pid, signal.SIGCONT)


def test_reason_for_the_end_of_a_stream_is_not_lost_behind_its_last_changes(
    postgres_database: PostgresDatabase,
) -> None:
    postgres_database.execute(
        TABLE,
        "CREATE PUBLICATION ends FOR TABLE t",
        "SELECT pg_create_logical_replication_slot('ends_' || current_database(), 'pgoutput')",
        "INSERT INTO t SELECT i FROM generate_series(1, 20) i",
    )
    slot = f"ends_{postgres_database.name}"
    dialer = Dialer(Secret(postgres_database.url), None, None, 10.0, "test")
    stream = ReplicationConnection(dialer.connect_replication(), 10.0)
    stream.start(slot, "ends", Lsn(0))
    sender = one(
        postgres_database,
        f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{slot}'",
    )
    wait_for(
        postgres_database,
        f"(SELECT sent_lsn >= pg_current_wal_lsn() FROM pg_stat_replication WHERE pid = {sender})",
    )
    postgres_database.execute(f"SELECT pg_terminate_backend({sender})")
    wait_for(postgres_database, f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {sender})")

    lot = stream.read(5.0)
    stream.ask_for_position()
    with pytest.raises(TransientError, match="terminating connection"):
        stream.read(5.0)
    stream.close()

    assert len(lot) > 20
