"""The doctor on primaries, standbys and lists of them: what would spoil a failover, and its fix."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdc.protocols import Finding, SourceContext
from cdc.secret import Secret
from connectors.postgres.config import Config
from connectors.postgres.doctor import check
from tests.integration.postgres_capture import Capture
from tests.integration.postgres_pair import Pair, execute, wait_for, wait_replayed, wait_synced
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_standby import start_standby

pytestmark = pytest.mark.postgres

PUBLISH = "CREATE PUBLICATION cdc_shop FOR TABLE t"


def findings(url: str, **options: Any) -> dict[str, Finding]:
    """By code; those that are no more than `ok` only where nothing else has the code."""
    given = {"url": Secret(url), "tables": ("public.*",), "connect_timeout_s": 2.0, **options}
    found = check(Config.model_validate(given), SourceContext("shop", "shop", "shop", Path()))
    assert all(finding.fix for finding in found if finding.severity != "ok")
    severities = ("ok", "warning", "error")
    return {
        finding.code: finding
        for finding in sorted(found, key=lambda finding: severities.index(finding.severity))
    }


def statements(finding: Finding) -> list[str]:
    """The SQL of a fix."""
    return re.findall(r"(?:ALTER|SELECT) [^;]*", finding.fix)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        execute(pair.servers[0], PUBLISH)
        wait_replayed(*pair.servers)
        yield pair


def test_failover_that_would_not_work_is_found_step_by_step(pair: Pair, tmp_path: Path) -> None:
    primary, standby = pair.servers
    url = pair.url()
    standby.restart(settings={"sync_replication_slots": "off", "hot_standby_feedback": "on"})

    found = findings(url, failover=True)
    assert "sync_replication_slots" in found["failover-unready"].message
    assert "synchronized_standby_slots = 'standby'" in found["failover-unprotected"].fix
    execute(primary, *statements(found["failover-unprotected"]))
    standby.restart(settings={"sync_replication_slots": "on", "hot_standby_feedback": "off"})
    found = findings(url, failover=True)
    assert "hot_standby_feedback" in found["failover-unready"].message
    assert found["failover-protected"].severity == "ok"
    standby.restart(settings={"hot_standby_feedback": "on"})
    assert "has no copy of slot" in findings(url, failover=True)["failover-unready"].message
    capture = Capture(url, tmp_path, failover=True, status_interval_s=0.1)
    with capture:
        capture.until_streaming()
        wait_for(
            standby,
            "EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'cdc_shop' AND temporary)"
            " OR EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'cdc_shop' AND synced)",
            lambda: None,
        )
        wait_synced(primary, standby, capture)

    found = findings(url, failover=True)

    assert "failover-unready" not in found
    assert found["failover-ready"].severity == "ok"
    execute(primary, "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")


def test_idle_failover_slot_that_standbys_do_not_keep_is_named(tmp_path: Path) -> None:
    """The copy stays temporary while the slot is older than the standby and does not move."""
    with PostgresServer.start("17") as primary:
        execute(
            primary,
            "CREATE TABLE t (id int PRIMARY KEY)",
            PUBLISH,
            "SELECT pg_create_logical_replication_slot('cdc_shop', 'pgoutput', false, false, true)",
            "SELECT pg_log_standby_snapshot()",
        )
        with start_standby(primary, settings={"sync_replication_slots": "on"}) as standby:
            wait_for(
                standby,
                "EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'cdc_shop')",
                lambda: None,
            )
            hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
            found = findings(f"postgresql://postgres@{hosts}/postgres", failover=True)

    assert "a promotion would lose it" in found["failover-unready"].message
    assert "pg_log_standby_snapshot" in found["failover-unready"].fix


def test_setting_that_was_copied_to_the_promoted_server_is_an_error(pair: Pair) -> None:
    primary = pair.servers[0]
    execute(
        primary,
        "ALTER SYSTEM SET synchronized_standby_slots = 'gone'",
        "SELECT pg_reload_conf()",
    )

    found = findings(primary.url(), failover=True)["failover-waits"]

    assert found.severity == "error"
    assert "there is no slot gone" in found.message
    execute(primary, *statements(found))
    assert "failover-waits" not in findings(primary.url(), failover=True)


def test_hosts_are_looked_at_one_by_one(pair: Pair, postgres_server: PostgresServer) -> None:
    primary = pair.servers[0]
    url = pair.url().replace(
        "/postgres?", f",127.0.0.1:{postgres_server.port},127.0.0.1:1/postgres?"
    )

    found = findings(url)

    assert "127.0.0.1:1 of the list gives no connection" in found["host"].message
    assert found["host-other-cluster"].severity == "error"
    assert str(primary.port) in found["host-other-cluster"].message


def test_standby_is_examined_as_one(pair: Pair) -> None:
    primary, standby = pair.servers
    standby.restart(settings={"hot_standby_feedback": "off"})
    execute(primary, "DROP PUBLICATION cdc_shop")
    wait_replayed(primary, standby)
    try:
        found = findings(standby.url())
        refused = findings(standby.url(), failover=True)
    finally:
        execute(primary, PUBLISH)
        standby.restart(settings={"hot_standby_feedback": "on"})

    assert found["standby"].severity == "ok"
    assert "pg_log_standby_snapshot" in found["standby"].message
    assert "hot_standby_feedback = on" in found["standby-feedback"].fix
    assert found["publication"].fix.startswith("On the primary: CREATE PUBLICATION")
    assert refused["failover"].severity == "error"


@pytest.mark.longer
def test_old_servers_are_told_what_they_cannot_do() -> None:
    with Pair("15") as pair:
        old = findings(pair.servers[1].url())
        failover = findings(pair.servers[0].url(), failover=True)

    assert old["standby"].severity == "error"
    assert "needs PostgreSQL 17" in failover["failover"].message
