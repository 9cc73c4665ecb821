"""Whatever is wrong: one clear line with the remedy, no traceback, nothing lost."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.integration.command_line import ROOT, Folder
from tests.lab.ports import free_ports
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(postgres_database: PostgresDatabase) -> PostgresDatabase:
    postgres_database.execute(
        "CREATE TABLE products (id int PRIMARY KEY, name text)",
        "INSERT INTO products VALUES (1, 'one'), (2, 'unwanted'), (3, 'three')",
    )
    return postgres_database


PRODUCTS = "    tables: [public.products]\n"
BLACKHOLE = "  out: {type: blackhole, from: [public.products]}\n"


def pipeline(
    folder: Path, url: str, more: str = PRODUCTS, sinks: str = BLACKHOLE, top: str = ""
) -> Folder:
    made = Folder(folder)
    made.write(
        f"name: shop\nsources:\n  shop:\n    type: postgres\n    url: '{url}'\n{more}"
        f"sinks:\n{sinks}{top}"
    )
    return made


def until_current_fails(folder: Folder, code: int = 1, **environment: str) -> str:
    result = folder.cdc("run", "--until-current", **environment)
    assert result.code == code, result.err
    return result.error()


# --- the source -----------------------------------------------------------------------------------


def test_an_unreachable_database_is_tried_again_and_check_says_so(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    folder = pipeline(tmp_path, f"postgresql://u@127.0.0.1:{port}/shop")

    check = folder.cdc("check")
    with folder.start() as daemon:
        worker = daemon.until_phase("shop", "retrying")
        daemon.stop()

    assert check.code == 1
    assert str(port) in check.out
    assert worker["last_error"]["retriable"]
    assert str(port) in worker["last_error"]["message"]
    assert "Traceback" not in check.out + check.err + daemon.journal.read_text()


def test_until_current_gives_up_on_a_worker_that_only_retries(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    folder = pipeline(tmp_path, f"postgresql://u@127.0.0.1:{port}/shop")

    result = folder.cdc("run", "--until-current", "--patience-s", "6")

    assert result.code == 1, result.err
    assert 'source "shop" made no progress for 6 s (--patience-s gives it longer)' in result.error()
    assert f"port {port} failed: Connection refused" in result.error()


def test_an_url_that_is_none_says_how_to_write_one(tmp_path: Path) -> None:
    folder = pipeline(tmp_path, "not an url")

    error = until_current_fails(folder)

    assert "`url` of the source is no Postgres address" in error
    assert "postgresql://" in error


def test_a_wrong_password_is_named_and_not_shown(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    user, _ = database.create_role()
    folder = pipeline(tmp_path, database.url_of(user, "hunter2"))

    error = until_current_fails(folder)

    assert 'source "shop" failed' in error
    assert "password" in error
    assert "hunter2" not in error


def test_a_wrong_database_is_named(database: PostgresDatabase, tmp_path: Path) -> None:
    folder = pipeline(tmp_path, database.server.url("no_such_database"))

    assert "no_such_database" in until_current_fails(folder)


def test_a_role_without_rights_is_told_the_sql(database: PostgresDatabase, tmp_path: Path) -> None:
    user, password = database.create_role("LOGIN")
    folder = pipeline(tmp_path, database.url_of(user, password))

    error = until_current_fails(folder)
    check = folder.cdc("check")

    assert 'source "shop" failed' in error
    assert check.code == 1
    assert "REPLICATION" in check.out
    assert password not in error + check.out


def test_a_table_that_does_not_exist_is_named(database: PostgresDatabase, tmp_path: Path) -> None:
    folder = pipeline(
        tmp_path,
        database.url,
        "    tables: [public.products, public.productz]\n",
    )

    error = until_current_fails(folder)
    check = folder.cdc("check")

    assert "public.productz" in error
    assert check.code == 1
    assert "public.productz" in check.out


def test_a_sink_of_a_table_that_no_source_captures_is_refused(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    folder = pipeline(tmp_path, database.url, "    tables: [public.orders]\n")

    error = until_current_fails(folder, code=2)

    assert "cdc.yaml:8: sinks.out.from[0]" in error
    assert "does not capture public.products" in error


@pytest.fixture
def held_slot(database: PostgresDatabase) -> Iterator[str]:
    """A slot that somebody else reads from."""
    with database.connect() as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('held', 'pgoutput')")
        connection.execute("CREATE PUBLICATION cdc_shop_shop FOR TABLE products")
    with closing(psycopg.connect(f"{database.url}?replication=database", autocommit=True)) as other:
        other.pgconn.send_query(
            b"START_REPLICATION SLOT held LOGICAL 0/0 "
            b"(proto_version '1', publication_names 'cdc_shop_shop')"
        )
        other.pgconn.flush()
        assert other.pgconn.get_result() is not None
        yield "held"


def test_a_slot_in_use_by_another_is_named(
    database: PostgresDatabase, held_slot: str, tmp_path: Path
) -> None:
    folder = pipeline(tmp_path, database.url, f"{PRODUCTS}    slot: {held_slot}\n")

    with folder.start() as daemon:
        problem = daemon.until_problem("shop")
        worker = daemon.until_phase("shop", "retrying", "failed")
        daemon.stop()

    assert held_slot in problem["message"]
    assert worker["pid"] is None or worker["phase"] == "retrying"
    assert "Traceback" not in daemon.journal.read_text()


def test_a_dropped_publication_is_named(database: PostgresDatabase, tmp_path: Path) -> None:
    folder = pipeline(tmp_path, database.url)
    assert folder.cdc("run", "--until-current").code == 0
    with database.connect() as connection:
        (name,) = connection.execute("SELECT pubname FROM pg_publication").fetchone() or ("",)
        connection.execute(f'DROP PUBLICATION "{name}"'.encode())
        connection.execute("INSERT INTO products VALUES (4, 'four')")

    error = until_current_fails(folder)

    assert name in error


# --- this machine ---------------------------------------------------------------------------------


def test_a_port_in_use_is_named_before_anything_starts(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        folder = pipeline(tmp_path, database.url, top=f"admin: {{listen: '127.0.0.1:{port}'}}\n")

        error = until_current_fails(folder, code=2)

    assert f"127.0.0.1:{port}" in error
    assert "Choose another port" in error
    assert not (tmp_path / "state" / "log").exists()


def test_a_state_dir_that_is_too_long_for_a_socket_says_so(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    folder = pipeline(tmp_path, database.url, top=f"state_dir: {'x' * 100}\n")

    assert "Choose a shorter state_dir" in until_current_fails(folder, code=2)


def test_a_state_dir_that_is_a_file_says_so(database: PostgresDatabase, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    folder = pipeline(tmp_path, database.url)

    error = until_current_fails(folder, code=2)

    assert str(tmp_path / "state") in error
    assert "Set state_dir" in error


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount: run the tests as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_shown_as_failed_and_nothing_is_lost(
    database: PostgresDatabase, tmp_path: Path, small_disk: Path
) -> None:
    database.execute(
        "INSERT INTO products SELECT n, repeat(md5(n::text), 50) FROM generate_series(10, 3000) n"
    )
    folder = pipeline(
        tmp_path,
        database.url,
        sinks=f"  out: {{type: stdout, from: [public.products], path: {tmp_path}/out}}\n",
        top="state_dir: disk/state\n",
    )

    error = until_current_fails(folder)
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    again = folder.cdc("run", "--until-current")

    assert 'source "shop" failed' in error
    assert "Free space" in error
    assert again.code == 0, again.err
    ids = {json.loads(line)["id"] for line in (tmp_path / "out").read_text().splitlines()}
    assert ids == {"1", "2", "3", *map(str, range(10, 3001))}


def test_a_missing_client_library_names_the_extra(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "redis.py").write_text("raise ImportError('absent', name='redis')")
    folder = pipeline(
        tmp_path,
        database.url,
        sinks="  cache: {type: redis, from: [public.products], url: 'redis://localhost'}\n",
    )

    error = until_current_fails(folder, code=2, PYTHONPATH=f"{absent}{os.pathsep}{ROOT}")

    assert "pip install 'tidewire[redis]'" in error


# --- the file -------------------------------------------------------------------------------------


def test_a_broken_file_is_refused_with_its_line(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("name: shop\nsources: {shop: {type: postgres\n")

    for command in ("check", "run", "status", "topics"):
        result = folder.cdc(command)

        assert result.code == 2
        assert "cdc.yaml:3: not valid YAML" in result.error()


def test_several_problems_come_at_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("name: shop\nsinc: {}\nlogging: {level: loud}\n")

    result = folder.cdc("check")

    assert result.code == 2
    assert [line.split(":")[2] for line in result.err.splitlines()] == ["2", "3"]


# --- the sink -------------------------------------------------------------------------------------


def test_a_refused_document_becomes_a_dead_letter_and_the_others_go_on(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    folder = pipeline(
        tmp_path,
        database.url,
        sinks="  out: {type: tests.integration.refusing_sink, from: [public.products]}\n",
    )

    result = folder.cdc("run", "--until-current")

    assert result.code == 0, result.err
    assert "sink out: 2 changes, 1 dead letter\n" in result.err


def test_an_unexpected_mistake_is_one_line_and_debug_shows_the_traceback(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "orjson.py").write_text("raise ZeroDivisionError")
    folder = pipeline(tmp_path, "postgresql://u@127.0.0.1/shop")
    path = f"{broken}{os.pathsep}{ROOT}"

    plain = folder.cdc("check", PYTHONPATH=path)
    debug = folder.cdc("check", "--debug", PYTHONPATH=path)

    assert plain.code == 1
    assert "unexpected ZeroDivisionError at orjson.py:1" in plain.error()
    assert "--debug" in plain.error()
    assert "Traceback" in debug.err
