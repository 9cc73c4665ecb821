"""`cdc heal`, `pause` and `resume`, with and without a daemon that runs."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.command_line import Folder, until
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

DROP = "SELECT pg_drop_replication_slot('cdc_shop')"
FREE = b"SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'cdc_shop'"


@pytest.fixture
def shop(postgres_database: PostgresDatabase, tmp_path: Path) -> Folder:
    postgres_database.execute(
        "CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL)",
        "INSERT INTO products VALUES (1, 'one'), (2, 'two')",
        "ANALYZE products",
    )
    folder = Folder(tmp_path)
    write(folder, postgres_database)
    return folder


def write(folder: Folder, database: PostgresDatabase, guard: str = "") -> None:
    folder.write(
        f"""
name: shop
sources:
  shop: {{type: postgres, url: "{database.url}", tables: [public.products]{guard}}}
sinks:
  products: {{type: sqlite, from: [public.products], path: products.sqlite}}
"""
    )


def documents(folder: Folder) -> dict[str, str]:
    with closing(sqlite3.connect(folder.path / "products.sqlite")) as file:
        rows = file.execute(
            "SELECT id, json_extract(document, '$.name') FROM documents WHERE deleted_at_us IS NULL"
        ).fetchall()
    return dict(rows)


def is_free(database: PostgresDatabase) -> bool:
    with database.connect() as connection:
        return connection.execute(FREE).fetchone() == (True,)


def test_heal_without_a_daemon_says_what_it_will_do_and_the_next_run_does_it(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    assert shop.cdc("run", "--until-current").code == 0
    until("the slot is free", lambda: is_free(postgres_database))
    postgres_database.execute(
        DROP, "UPDATE products SET name = 'new' WHERE id = 1", "DELETE FROM products WHERE id = 2"
    )
    failed = shop.cdc("run", "--until-current")
    unasked = shop.cdc("heal", "shop")

    healed = shop.cdc("heal", "shop", "--yes")
    again = shop.cdc("run", "--until-current")

    assert failed.code == 1
    assert "cdc heal shop" in failed.err
    assert unasked.code == 2
    assert healed.code == 0
    for words in (
        "Replication slot cdc_shop is gone",
        "public.products: about 2 rows",
        "NOT found",
    ):
        assert words in healed.err
    assert "begins anew at the next `cdc run`" in healed.out
    assert again.code == 0, again.err
    # The rows are newer than what the store had; the delete was not found, as was said.
    assert documents(shop) == {"1": "new", "2": "two"}


def test_heal_as_json_has_figures(shop: Folder) -> None:
    assert shop.cdc("run", "--until-current").code == 0

    content = json.loads(shop.cdc("heal", "shop", "--yes", "--json").out)

    assert content["slot"] == "cdc_shop"
    # After a failover a good slot does not mean that nothing is lost.
    assert "the server can send what was committed behind" in content["found"]
    assert "says nothing about what the log holds and the server no longer has" in content["found"]
    assert content["deletes_found"] is False
    assert [table["table"] for table in content["tables"]] == ["public.products"]


def test_heal_of_a_running_daemon_begins_at_once(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    assert shop.cdc("run", "--until-current").code == 0
    until("the slot is free", lambda: is_free(postgres_database))
    postgres_database.execute(DROP, "INSERT INTO products VALUES (3, 'three')")
    with shop.start() as daemon:
        daemon.until_phase("shop", "failed")
        problem = daemon.until_problem("shop")

        healed = shop.cdc("heal", "shop", "--yes")

        assert problem["kind"] == "SlotLost"
        assert healed.code == 0, healed.err
        daemon.until_phase("shop", "streaming")
        until("the new row is there", lambda: documents(shop).get("3"))
        assert (
            "is streaming, and may not have lost anything"
            in shop.cdc("heal", "shop", "--yes").error()
        )
        assert "begun-anew" in daemon.journal.read_text()


def test_pause_and_resume_need_no_restart(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    with shop.start() as daemon:
        pid = daemon.until_phase("shop", "streaming")["pid"]

        paused = shop.cdc("pause", "shop")
        daemon.until_phase("shop", "paused")
        until("the slot is free", lambda: is_free(postgres_database))
        postgres_database.execute("INSERT INTO products VALUES (3, 'three')")
        status = shop.cdc("status", "--json")
        refused = shop.cdc("pause", "products")
        unknown = shop.cdc("pause", "shoop")
        resumed = shop.cdc("resume", "shop")

        assert (paused.code, resumed.code) == (0, 0)
        assert json.loads(status.out)["state"] == "degraded"
        assert "only sources can pause" in refused.error()
        assert unknown.code == 2
        assert unknown.error() == 'cdc.yaml has no source "shoop"; did you mean "shop"?'
        assert daemon.until_phase("shop", "streaming")["pid"] == pid
        until("the new row is there", lambda: documents(shop).get("3"))
        assert "is not paused" in shop.cdc("resume", "shop").error()


@pytest.mark.longer
def test_guard_that_pauses_names_itself_and_resume_overrules_it(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    guard = "{warn_bytes: 1048576, limit_bytes: 1048576, policy: pause-source}"
    write(shop, postgres_database, f", wal_guard: {guard}")
    assert shop.cdc("run", "--until-current").code == 0
    until("the slot is free", lambda: is_free(postgres_database))
    postgres_database.execute(
        "CREATE TABLE noise (v int)",
        *("INSERT INTO noise VALUES (1)", "SELECT pg_switch_wal()") * 2,
        "INSERT INTO products VALUES (3, 'three')",
    )
    with shop.start() as daemon:
        worker = daemon.until_phase("shop", "paused")
        assert worker["last_error"]["kind"] == "SourcePaused"
        assert "cdc resume shop" in shop.cdc("status").out

        shop.cdc("resume", "shop")

        daemon.until_phase("shop", "streaming")
        until("the new row is there", lambda: documents(shop).get("3"))
