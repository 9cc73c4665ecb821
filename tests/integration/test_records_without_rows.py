"""Messages, transactions and heartbeats through the daemon: written, counted, passed over."""

import sqlite3
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.config import load
from cdc.event import Stored
from cdc.registry import Parts
from tests.integration.command_line import Folder, until
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

MANY = 25_000


@pytest.fixture
def shop(postgres_database: PostgresDatabase, tmp_path: Path) -> Folder:
    postgres_database.execute(
        "CREATE TABLE products (id int PRIMARY KEY, name text)",
        "CREATE TABLE notes (id int PRIMARY KEY)",
        "INSERT INTO products VALUES (1, 'lamp')",
    )
    folder = Folder(tmp_path)
    folder.write(
        f"""
name: shop
sources:
  shop:
    type: postgres
    url: "{postgres_database.url}"
    tables: [public.products, public.notes]
    transaction_metadata: true
    heartbeat: {{interval_s: 0.3}}
sinks:
  all: {{type: sqlite, topics: ["shop.*", "__debezium-heartbeat.shop"], path: all.sqlite}}
"""
    )
    return folder


def stored(folder: Folder, topic: str) -> list[Stored]:
    """Every record of a topic."""
    found: list[Stored] = []
    with closing(Parts(load(folder.path / "cdc.yaml", only=()))) as parts:
        reader = parts.log().reader([topic], None)
        with closing(reader):
            while lot := reader.poll(10_000, 0.2):
                found += lot
    return found


def until_stored(folder: Folder, topic: str, count: int) -> None:
    """Return when a topic has so many records, early enough to meet what follows them."""
    with (
        closing(Parts(load(folder.path / "cdc.yaml", only=()))) as parts,
        closing(parts.log().reader([topic], None)) as reader,
    ):
        for _ in range(count):
            until(f"{count} records of {topic}", lambda: reader.poll(1, 1.0))


def values(folder: Folder, topic: str) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in stored(folder, topic) if record.value]


def documents(folder: Folder) -> int:
    with closing(sqlite3.connect(folder.path / "all.sqlite")) as file:
        tables = file.execute("SELECT name FROM sqlite_master WHERE name = 'documents'").fetchall()
        return file.execute("SELECT count(*) FROM documents").fetchone()[0] if tables else 0


def test_records_without_rows_are_on_their_topics_and_sinks_pass_over_them(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    with shop.start() as daemon:
        daemon.until_phase("shop", "streaming")
        postgres_database.execute(
            "SELECT pg_logical_emit_message(false, 'audit', 'outside')",
            "DO $$ BEGIN INSERT INTO products VALUES (2, 'chair'); INSERT INTO notes VALUES (1);"
            " PERFORM pg_logical_emit_message(true, 'audit', 'inside'); END $$",
        )
        until("three documents", lambda: documents(shop) == 3)
        until("two heartbeats", lambda: len(values(shop, "__debezium-heartbeat.shop")) > 1)
    listed = shop.cdc("topics").out

    assert [
        b64decode(each["message"]["content"]).decode() for each in values(shop, "shop.message")
    ] == ["outside", "inside"]
    (end,) = [each for each in values(shop, "shop.transaction") if each["event_count"]]
    assert (end["status"], end["event_count"]) == ("END", 3)
    assert documents(shop) == 3
    assert all(
        topic in listed for topic in ("shop.message", "shop.transaction", "__debezium-heartbeat")
    )


@pytest.mark.longer
def test_places_go_on_after_a_kill_in_the_middle_of_a_transaction(
    shop: Folder, postgres_database: PostgresDatabase
) -> None:
    with shop.start() as daemon:
        daemon.until_phase("shop", "streaming")
        postgres_database.execute(
            f"INSERT INTO products SELECT n, 'x' FROM generate_series(10, {MANY + 9}) n"
        )
        until_stored(shop, "shop.public.products", 2)
        daemon.kill_all()
    killed_at = len(stored(shop, "shop.public.products")) - 1

    again = shop.cdc("run", "--until-current")

    assert again.code == 0, again.err
    assert killed_at < MANY
    rows = [each for each in values(shop, "shop.public.products") if each["op"] == "c"]
    places = [each["transaction"]["total_order"] for each in rows]
    assert list(range(1, MANY + 1)) == places
    marks = values(shop, "shop.transaction")
    assert [each["status"] for each in marks] == ["BEGIN", "END"]
    assert marks[1]["event_count"] == MANY
