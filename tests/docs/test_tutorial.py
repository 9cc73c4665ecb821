"""The tutorial's steps are the demo's, and what it tells the reader to write and run works."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from cdc.config import read
from tests.integration.command_line import Folder
from tests.lab import PostgresServer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
PASSWORD = {"SHOP_DB_PASSWORD": "choose-your-own"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def pipeline() -> str:
    return blocks("yaml")[0]


@pytest.fixture
def shop_server() -> Iterator[PostgresServer]:
    """A server of this test's own, prepared as the page says."""
    setting, prepare, _ = blocks("sql")
    with PostgresServer.start(settings={"wal_level": "replica"}) as server:
        with server.connect() as connection:
            connection.execute(setting)
            connection.execute("CREATE DATABASE shop")
        # What the lab gives on the command line would win over ALTER SYSTEM.
        server.restart(settings={"wal_level": "logical"})
        with server.connect("shop") as connection:
            connection.execute("CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL)")
            connection.execute("INSERT INTO products VALUES (1, 'Desk lamp'), (2, 'Stool')")
            connection.execute(prepare)
        yield server


def test_steps_are_those_that_the_demo_tells() -> None:
    told = re.findall(r'heading\(\s*f?"([^:,"]+)', (ROOT / "demo" / "story.py").read_text())
    table = PAGE.partition("| step |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([A-Z][^|]+) \|", table, re.MULTILINE)

    assert told == rows


def test_the_file_has_ten_lines() -> None:
    assert len(pipeline().splitlines()) == 10


def test_the_kafka_log_fits_into_the_file(tmp_path: Path) -> None:
    config = read(pipeline() + blocks("yaml")[1], tmp_path / "cdc.yaml", environment=PASSWORD)

    assert config.log.component.name == "kafka"


@pytest.mark.postgres
def test_a_reader_gets_from_the_statements_to_a_hit(
    shop_server: PostgresServer, tmp_path: Path
) -> None:
    text = pipeline().replace("localhost:5432", f"127.0.0.1:{shop_server.port}")
    folder = Folder(tmp_path)
    # The page's port may be in use on this machine.
    folder.write(text.replace("127.0.0.1:8470", "127.0.0.1:0"))

    checked = folder.cdc("check", **PASSWORD)
    ran = folder.cdc("run", "--until-current", **PASSWORD)
    with psycopg.connect(shop_server.url("shop")) as connection:
        connection.execute("UPDATE products SET name = 'Floor lamp' WHERE id = 2")
    again = folder.cdc("run", "--until-current", **PASSWORD)
    topics = folder.cdc("topics")
    tailed = folder.cdc("tail", "shop.public.products", "--from-start", "--limit", "3")
    with closing(sqlite3.connect(tmp_path / "products.sqlite")) as file:
        hits = file.execute(blocks("sql")[2]).fetchall()

    assert checked.code == 0, checked.out + checked.err
    assert ran.code == 0, ran.err
    assert again.code == 0, again.err
    assert "shop.public.products" in topics.out, topics.err
    assert len(tailed.out.splitlines()) == 3, tailed.out + tailed.err
    assert sorted(hits) == [
        ("1", '{"id":1,"name":"Desk lamp"}'),
        ("2", '{"id":2,"name":"Floor lamp"}'),
    ]
