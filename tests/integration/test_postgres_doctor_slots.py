"""The doctor on what the server keeps: WAL, old transactions, snapshots, heartbeats."""

from dataclasses import replace
from pathlib import Path

import pytest

from cdc.protocols import Finding, Heartbeat
from connectors.postgres.doctor import check
from connectors.postgres.retention import WalGuard
from tests.integration.postgres_capture import Capture
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

MIB = 1 << 20
TABLE = "CREATE TABLE t (id int PRIMARY KEY)"


def findings(capture: Capture) -> dict[str, Finding]:
    return {finding.code: finding for finding in check(capture.config, capture.context)}


def test_size_and_time_of_a_snapshot_are_estimated(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "INSERT INTO t SELECT generate_series(1, 5000)", "ANALYZE t")

    found = findings(Capture(postgres_database.url, tmp_path))

    assert found["snapshot-size"].severity == "ok"
    assert "about 5,000 rows" in found["snapshot-size"].message


def test_forgotten_prepared_transaction_is_named_with_what_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"max_prepared_transactions": "2", "max_slot_wal_keep_size": "64MB"}
    with (
        PostgresServer.start(settings=settings) as server,
        PostgresDatabase(server) as database,
    ):
        database.execute(TABLE)
        capture = Capture(database.url, tmp_path)
        assert findings(capture)["old-transactions"].severity == "ok"
        database.execute("BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'it''s lost'")
        # Young ones are everyday life.
        assert findings(capture)["old-transactions"].severity == "ok"
        monkeypatch.setattr("connectors.postgres.doctor_slots._LONG_S", 0.0)

        found = findings(capture)["old-transactions"]

        assert found.severity == "warning"
        assert "WAL is kept for it, and a new slot waits for it" in found.message
        assert "ROLLBACK PREPARED 'it''s lost'" in found.fix
        database.execute("ROLLBACK PREPARED 'it''s lost'")

        guarded = Capture(
            database.url,
            tmp_path,
            wal_guard=WalGuard(warn_bytes=MIB, limit_bytes=100 * MIB, policy="pause-source"),
        )
        assert "64MB" in findings(guarded)["guard-too-late"].message


def test_what_is_kept_for_the_slot_is_told_and_warned_of(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE TABLE noise (v int)")
    with Capture(postgres_database.url, tmp_path, tables=["public.t"]) as capture:
        capture.until_streaming()
        assert findings(capture)["wal-kept"].severity == "ok"
        small = Capture(
            postgres_database.url,
            tmp_path,
            tables=["public.t"],
            wal_guard=WalGuard(warn_bytes=MIB),
        )
        postgres_database.execute("INSERT INTO noise VALUES (1)", "SELECT pg_switch_wal()")
        postgres_database.execute("INSERT INTO noise VALUES (1)", "SELECT pg_switch_wal()")

        assert findings(small)["wal-kept"].severity == "warning"


def test_heartbeat_table_is_examined(postgres_database: PostgresDatabase, tmp_path: Path) -> None:
    postgres_database.execute(TABLE, "CREATE PUBLICATION cdc_shop FOR TABLE t")
    role, password = postgres_database.create_role()
    postgres_database.execute(f"GRANT SELECT ON t TO {role}")
    capture = Capture(postgres_database.url_of(role, password), tmp_path, tables=["public.t"])

    def found(table: str | None) -> Finding:
        beat = Heartbeat(10.0, table=table, create_table=False)
        capture.context = replace(capture.context, heartbeat=beat)
        return findings(capture)["heartbeat"]

    assert found(None).severity == "ok"
    missing = found("public.beats")
    assert missing.severity == "error"
    postgres_database.execute(missing.fix)
    assert found("public.beats").severity == "ok"
    postgres_database.execute(f"REVOKE UPDATE ON beats FROM {role}")
    refused = found("public.beats")
    assert refused.severity == "error"
    postgres_database.execute(refused.fix)
    assert found("public.beats").severity == "ok"


def test_heartbeat_table_that_cannot_be_made_is_found_and_the_fix_is_enough(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(TABLE, "CREATE PUBLICATION cdc_shop FOR TABLE t")
    role, password = postgres_database.create_role()
    postgres_database.execute(f"GRANT SELECT ON t TO {role}", "CREATE SCHEMA closed")
    capture = Capture(postgres_database.url_of(role, password), tmp_path, tables=["public.t"])

    def found(table: str) -> Finding:
        beat = Heartbeat(10.0, table=table, create_table=True)
        capture.context = replace(capture.context, heartbeat=beat)
        return findings(capture)["heartbeat"]

    for table, why in (
        ("ops.beats", "no schema ops to make it in"),
        ("closed.beats", "the role may not make it in schema closed"),
    ):
        refused = found(table)
        assert refused.severity == "error"
        assert refused.message == f"there is no heartbeat table {table}, and {why}"
        postgres_database.execute(refused.fix)
        assert found(table).severity == "ok"


@pytest.mark.longer
def test_idle_timeout_of_the_server_is_warned_of(tmp_path: Path) -> None:
    settings = {"idle_replication_slot_timeout": "30min"}
    with PostgresServer.start("18", settings=settings) as server, PostgresDatabase(server) as own:
        own.execute(TABLE)

        found = findings(Capture(own.url, tmp_path))["slot-idle-timeout"]

        assert "30min" in found.message
