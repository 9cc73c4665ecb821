"""The commands on a real database with the embedded log: the way of a new user."""

import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.integration.command_line import Folder, until
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

ROWS = 300


@pytest.fixture
def shop(postgres_database: PostgresDatabase, tmp_path: Path) -> Folder:
    postgres_database.execute(
        "CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL)",
        f"INSERT INTO products SELECT n, 'product ' || n FROM generate_series(1, {ROWS}) n",
    )
    folder = Folder(tmp_path)
    folder.write(
        f"""
name: shop
sources:
  shop: {{type: postgres, url: "{postgres_database.url}", tables: [public.products]}}
sinks:
  products: {{type: sqlite, from: [public.products], path: products.sqlite}}
"""
    )
    return folder


def documents(folder: Folder) -> dict[str, str]:
    with closing(sqlite3.connect(folder.path / "products.sqlite")) as file:
        rows = file.execute(
            "SELECT id, json_extract(document, '$.name') FROM documents WHERE deleted_at_us IS NULL"
        ).fetchall()
    return dict(rows)


def test_until_current_ends_when_every_row_is_in_the_sink(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    first = shop.cdc("run", "--until-current")
    after_snapshot = documents(shop)
    postgres_database.execute(
        "UPDATE products SET name = 'changed' WHERE id = 1", "DELETE FROM products WHERE id = 2"
    )

    second = shop.cdc("run", "--until-current")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert after_snapshot == {str(n): f"product {n}" for n in range(1, ROWS + 1)}
    expected = {**after_snapshot, "1": "changed"}
    del expected["2"]
    assert documents(shop) == expected
    assert "everything that was committed before the start is in every sink" in second.err


def test_a_column_that_is_added_reaches_the_store(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    first = shop.cdc("run", "--until-current")
    postgres_database.execute(
        "ALTER TABLE products ADD COLUMN price int NOT NULL DEFAULT 7",
        "UPDATE products SET price = 9 WHERE id = 1",
    )

    second = shop.cdc("run", "--until-current")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    with closing(sqlite3.connect(shop.path / "products.sqlite")) as file:
        stored = file.execute("SELECT document FROM documents WHERE id = '1'").fetchone()
    assert json.loads(stored[0]) == {"id": 1, "name": "product 1", "price": 9}


def test_check_says_ready_and_exits_0(shop: Folder) -> None:
    result = shop.cdc("check")

    assert result.code == 0, result.out
    assert "source shop (postgres)" in result.out
    assert "1 table with a key, and changes carry it" in result.out
    assert "\x1b[" not in result.out


def test_check_as_json_lists_findings(shop: Folder) -> None:
    result = shop.cdc("check", "--json")

    findings = json.loads(result.out)
    assert {"part", "severity", "code", "subject", "message", "fix"} == set(findings[0])


def test_a_daemon_tells_its_status_and_stops_within_ten_seconds(shop: Folder) -> None:
    with shop.start() as daemon:
        daemon.until_phase("shop", "streaming")
        worker = daemon.until_phase("products", "delivering")
        text = shop.cdc("status")
        content = json.loads(shop.cdc("status", "--json").out)
        code, took_s = daemon.stop()
    gone = shop.cdc("status")

    assert text.code == 0
    assert "streaming" in text.out
    assert "delivering" in text.out
    assert content["pipeline"] == "shop"
    assert not psutil.pid_exists(worker["pid"])
    assert code == 0
    assert took_s < 10
    assert gone.code == 1
    assert gone.error().startswith('the pipeline "shop" does not run')
    assert not shop.socket_path.exists()


def test_a_second_daemon_of_the_same_pipeline_is_refused(shop: Folder) -> None:
    with shop.start() as daemon:
        daemon.until_phase("shop", "streaming")

        result = shop.cdc("run")
        reset = shop.cdc("reset", "shop", "--yes")

        assert result.code == 1
        assert f"is already running as pid {daemon.process.pid}" in result.error()
        assert reset.code == 1
        assert f"is already running as pid {daemon.process.pid}" in reset.err


def test_a_daemon_elsewhere_waits_and_takes_over(shop: Folder, tmp_path: Path) -> None:
    elsewhere = Folder(tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    elsewhere.write((shop.path / "cdc.yaml").read_text())
    with shop.start() as first:
        first.until_phase("shop", "streaming")
        with elsewhere.start() as second:
            second.until_phase("shop", "waiting")
            written = list((elsewhere.path / "state" / "log").rglob("*.segment"))

            first.process.kill()

            second.until_phase("shop", "streaming", "snapshot", "failed")
    assert written == []


def test_a_source_and_a_sink_run_as_two_daemons_of_one_folder(shop: Folder) -> None:
    with shop.start("--source", "shop") as source:
        until("the source listens", (shop.path / "state/cdc.shop.sock").exists)

        result = shop.cdc("run", "--sink", "products", "--until-current")

        assert result.code == 0, result.err
        until(
            "every row is there",
            lambda: (
                shop.cdc("run", "--sink", "products", "--until-current").code == 0
                and len(documents(shop)) == ROWS
            ),
        )
        assert source.stop()[0] == 0


def test_a_killed_worker_is_started_again_and_says_why(shop: Folder) -> None:
    with shop.start() as daemon:
        first = daemon.until_phase("shop", "streaming")

        os.kill(first["pid"], signal.SIGKILL)

        problem = daemon.until_problem("shop")
        second = daemon.until_phase("shop", "streaming")
        assert problem["message"] == 'the source "shop" ended with signal SIGKILL'
        assert second["restarts"] == 1
        assert second["pid"] != first["pid"]


def test_workers_die_with_their_supervisor(shop: Folder) -> None:
    with shop.start() as daemon:
        source = daemon.until_phase("shop", "streaming")
        sink = daemon.until_phase("products", "delivering")

        daemon.process.kill()
        daemon.process.wait()

        for worker in (source, sink):
            until("the worker is gone", lambda pid=worker["pid"]: not psutil.pid_exists(pid))  # type: ignore[misc]

    # The socket of the dead daemon is in nobody's way.
    assert shop.cdc("run", "--until-current").code == 0


def test_a_stop_under_load_repeats_nothing(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    with shop.start() as daemon:
        daemon.until_phase("shop", "streaming")
        for n in range(ROWS + 1, ROWS + 200):
            postgres_database.execute(f"INSERT INTO products VALUES ({n}, 'late')")
            if n == ROWS + 100:
                daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(timeout=10) == 0

    assert shop.cdc("run", "--until-current").code == 0

    tailed = shop.cdc(
        "tail", "shop.public.products", "--from-start", "--json", "--limit", str(ROWS + 199)
    )
    keys = [json.loads(line)["key"]["id"] for line in tailed.out.splitlines()]
    assert keys == list(range(1, ROWS + 200))
    assert len(documents(shop)) == ROWS + 199


def test_topics_and_tail_show_what_is_in_the_log(shop: Folder) -> None:
    assert shop.cdc("run", "--until-current").code == 0

    topics = json.loads(shop.cdc("topics", "--json").out)
    internal = shop.cdc("topics", "--internal").out
    tail = shop.cdc("tail", "shop.public.products", "--from-start", "--limit", "2").out

    assert [(topic["name"], topic["records"], topic["columns"]) for topic in topics] == [
        ("shop.public.products", ROWS, ["id", "name"])
    ]
    assert "__cdc.shop.schemas" in internal
    assert tail.splitlines() == [
        'shop.public.products/0/0 r {"id":1} {"id":1,"name":"product 1"}',
        'shop.public.products/0/1 r {"id":2} {"id":2,"name":"product 2"}',
    ]


def test_tail_of_no_topic_names_the_nearest(shop: Folder) -> None:
    assert shop.cdc("run", "--until-current").code == 0

    result = shop.cdc("tail", "shop.public.product")

    assert result.code == 1
    assert result.error().endswith('did you mean "shop.public.products"?')


def test_reset_of_a_source_takes_a_new_snapshot_that_wins(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    assert shop.cdc("run", "--until-current").code == 0
    with closing(sqlite3.connect(shop.path / "products.sqlite")) as file:
        (before,) = file.execute("SELECT max(version) FROM documents").fetchone()

    result = shop.cdc("reset", "shop", "--yes")

    assert result.code == 0, result.err
    assert "takes a new snapshot" in result.err
    assert shop.cdc("run", "--until-current").code == 0
    with closing(sqlite3.connect(shop.path / "products.sqlite")) as file:
        (after,) = file.execute("SELECT min(version) FROM documents").fetchone()
    assert after > before
    assert len(documents(shop)) == ROWS


def test_reset_of_a_sink_reads_everything_again(shop: Folder) -> None:
    assert shop.cdc("run", "--until-current").code == 0
    (shop.path / "products.sqlite").unlink()

    result = shop.cdc("reset", "products", "--yes")

    assert result.code == 0, result.err
    assert shop.cdc("run", "--until-current").code == 0
    assert len(documents(shop)) == ROWS


def test_reset_without_a_terminal_must_be_agreed_to(shop: Folder) -> None:
    result = shop.cdc("reset", "products")

    assert result.code == 2
    assert "Add --yes to agree" in result.error()


def test_drop_leaves_nothing_at_the_source(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    assert shop.cdc("run", "--until-current").code == 0

    result = shop.cdc("drop", "shop", "--yes")

    assert result.code == 0, result.err
    with postgres_database.connect() as connection:
        slots = connection.execute(
            "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
        ).fetchone()
        publications = connection.execute("SELECT count(*) FROM pg_publication").fetchone()
    assert (slots, publications) == ((0,), (0,))


def test_init_writes_a_configuration_that_runs(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    made = shop.cdc("init", postgres_database.url, "-c", "made.yaml")
    again = shop.cdc("init", postgres_database.url, "-c", "made.yaml")

    assert made.code == 0, made.err
    assert "then: cdc check -c made.yaml && cdc run -c made.yaml" in made.out
    assert again.code == 2
    assert "made.yaml exists. Add --force" in again.error()
    assert (shop.path / "made.yaml").stat().st_mode & 0o777 == 0o600
    assert shop.cdc("run", "--until-current", "-c", "made.yaml").code == 0


def test_state_is_private_at_every_level(shop: Folder) -> None:
    assert shop.cdc("run", "--until-current").code == 0

    state = shop.path / "state"
    assert state.stat().st_mode & 0o777 == 0o700
    open_to_others = [
        path
        for path in state.rglob("*")
        if path.stat().st_mode & 0o077 and path.parent.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_the_working_directory_cannot_shadow_a_library(shop: Folder) -> None:
    (shop.path / "sqlite3.py").write_text("raise RuntimeError('the wrong module')")
    (shop.path / "cdc").mkdir()

    assert shop.cdc("run", "--until-current").code == 0


def test_ctrl_c_stops_gracefully_and_a_second_one_at_once(shop: Folder) -> None:
    with shop.start() as daemon:
        worker = daemon.until_phase("shop", "streaming")
        os.kill(worker["pid"], signal.SIGSTOP)

        daemon.process.send_signal(signal.SIGINT)
        until("it is stopping", lambda: (daemon.status() or {}).get("state") == "stopping")
        began_s = time.monotonic()
        daemon.process.send_signal(signal.SIGINT)
        daemon.process.wait(timeout=10)

        assert time.monotonic() - began_s < 5
        assert not psutil.pid_exists(worker["pid"])
