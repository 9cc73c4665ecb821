"""Heartbeats at the source, and what the server forgets with and without them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc.errors import SourceRefused
from cdc.protocols import Heartbeat
from connectors.postgres import create
from connectors.postgres.lsn import Lsn
from connectors.postgres.scaffold import drop
from tests.integration.command_line import until
from tests.integration.postgres_capture import Capture
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

TABLE = "CREATE TABLE t (id int PRIMARY KEY)"


def one(database: PostgresDatabase, query: str) -> Any:
    with database.connect() as connection:
        row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]


def beating(database: PostgresDatabase, folder: Path, beat: Heartbeat, **options: Any) -> Capture:
    """A capture with heartbeats, not started."""
    capture = Capture(database.url, folder, status_interval_s=0.1, **options)
    capture.context = replace(capture.context, heartbeat=beat)
    capture.source = create(capture.config, capture.context)
    return capture


def slot(database: PostgresDatabase, column: str) -> Lsn:
    return Lsn.parse(
        one(
            database,
            f"SELECT {column}::text FROM pg_replication_slots WHERE database = current_database()",
        )
    )


def busy(server: PostgresServer) -> None:
    """Write a few megabytes in another database, and let the server note what is running."""
    with server.connect() as elsewhere:
        elsewhere.autocommit = True
        elsewhere.execute("CREATE TABLE IF NOT EXISTS noise (v text)")
        elsewhere.execute("INSERT INTO noise SELECT repeat('x', 100) FROM generate_series(1, 9999)")
        elsewhere.execute("CHECKPOINT")
        elsewhere.execute("TRUNCATE noise")


@pytest.mark.parametrize("beat", [None, Heartbeat(0.1, topic=False)], ids=["without", "with"])
def test_idle_database_beside_a_busy_one_does_not_hold_the_log(
    postgres_server: PostgresServer,
    postgres_database: PostgresDatabase,
    tmp_path: Path,
    beat: Heartbeat | None,
) -> None:
    """What counts is where the server could start reading again, not only what is confirmed."""
    postgres_database.execute(TABLE)
    capture = Capture(postgres_database.url, tmp_path, status_interval_s=0.1)
    if beat is not None:
        capture = beating(postgres_database, tmp_path, beat)
    with capture:
        capture.until_streaming()
        busy(postgres_server)
        written = Lsn.parse(one(postgres_database, "SELECT pg_current_wal_lsn()::text"))
        busy(postgres_server)

        capture.until(lambda: slot(postgres_database, "confirmed_flush_lsn") >= written)

        def forgotten() -> bool:
            # The place moves with the server's own records of what runs: each checkpoint has one,
            # and else the background writer every 15 s.
            postgres_database.execute("CHECKPOINT")
            return slot(postgres_database, "restart_lsn") >= written

        capture.until(forgotten)

    assert capture.events == []


def test_heartbeat_message_moves_an_idle_database_and_becomes_no_event(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    with beating(postgres_database, tmp_path, Heartbeat(0.05, topic=False)) as capture:
        capture.until_streaming()
        begun = slot(postgres_database, "confirmed_flush_lsn")

        capture.until(lambda: slot(postgres_database, "confirmed_flush_lsn") > begun)
        capture.until_current()

    assert capture.events == []


def test_heartbeat_table_is_made_written_and_captured_only_when_it_is_named(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    beat = Heartbeat(0.05, topic=False, table="public.beats")
    beats = "SELECT count(*) FROM beats WHERE source = 'shop.shop' AND at > now() - interval '1 h'"
    with beating(postgres_database, tmp_path, beat) as capture:
        capture.until(lambda: one(postgres_database, "SELECT to_regclass('public.beats')"))
        capture.until(lambda: one(postgres_database, beats) == 1)
        capture.until_current()
        assert capture.events == []
        # The catalog is looked at again; what `public.*` newly means is not this table.
        capture.restart()
        capture.until_current()
        assert capture.events == []

    named = beating(
        postgres_database, tmp_path, beat, tables=["public.t", "public.beats"], pipeline="other"
    )
    with named:
        named.until(lambda: any(event.op == "u" for event in named.events) or named.state() != {})
    assert {event.table.qualified_name for event in named.events} == {"public.beats"}


def test_drop_removes_the_heartbeat_table_that_was_made_and_no_other(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE)
    beat = Heartbeat(0.05, topic=False, table="public.beats")
    capture = beating(postgres_database, tmp_path, beat)
    with capture:
        capture.until(lambda: one(postgres_database, "SELECT to_regclass('public.beats')"))
    free = "SELECT NOT active FROM pg_replication_slots WHERE database = current_database()"
    until("the slot is free", lambda: one(postgres_database, free))

    removed = drop(capture.config, capture.context)

    assert "heartbeat table public.beats" in removed
    postgres_database.execute("CREATE TABLE beats (id int)")
    assert drop(capture.config, capture.context) == []
    assert one(postgres_database, "SELECT to_regclass('public.beats')::text") == "beats"


def test_heartbeat_table_that_may_not_be_made_or_written_is_named_with_the_sql(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE SCHEMA ops", "CREATE PUBLICATION cdc_shop FOR TABLE t")
    role, password = postgres_database.create_role()
    postgres_database.execute(
        f"GRANT SELECT ON t TO {role}", f"GRANT USAGE ON SCHEMA ops TO {role}"
    )
    beat = Heartbeat(0.05, topic=False, table="ops.beats")

    def refused() -> SourceRefused:
        capture = beating(postgres_database, tmp_path, beat, tables=["public.t"])
        url = postgres_database.url_of(role, password)
        capture.config = Capture(url, tmp_path, tables=["public.t"]).config
        capture.source = create(capture.config, capture.context)
        with capture, pytest.raises(SourceRefused) as error:
            capture.until(lambda: False)
        return error.value

    missing = refused()
    assert "there is no heartbeat table ops.beats" in missing.message
    everything = missing.hint.removeprefix("Run as an administrator: ")
    postgres_database.execute(everything, f"REVOKE UPDATE ON ops.beats FROM {role}")
    unwritable = refused()
    assert "cannot be written" in unwritable.message

    postgres_database.execute(unwritable.hint.removeprefix("Run: "))
    capture = beating(postgres_database, tmp_path, beat, tables=["public.t"])
    with capture:
        capture.until(lambda: one(postgres_database, "SELECT count(*) FROM ops.beats") == 1)
