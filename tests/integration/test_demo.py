"""`make demo`, as it is: whole, interrupted, and its judge on documents that are wrong."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest

from demo import comparison, shop
from demo.pipeline import Pipeline
from demo.screen import Screen
from demo.story import Pace, Story
from tests.lab import watchdog
from tests.lab.identity import Account
from tests.lab.postgres_database import PostgresDatabase
from tests.lab.process import RunFolder

ROOT = Path(__file__).parents[2]
SMALL = shop.Sizes(products=40, customers=20, orders=30, reviews=25)


@contextmanager
def demo_process(log: Path) -> Iterator[subprocess.Popen[str]]:
    """A running demo whose standard error goes to `log`; killed at the end if it still runs."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=ROOT,
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    # Not the file itself: leaving a loop over it early would close it.
    return iter(process.stdout.readline, "")


def state_folder(text: str) -> Path:
    found = re.search(r"State: (\S+);", text)
    assert found, text
    return Path(found[1])


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_demo_ends_with_stores_that_equal_the_source_and_leaves_nothing(tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"

    with demo_process(errors) as process:
        said = "".join(lines(process))
        code = process.wait()

    assert code == 0, said
    assert errors.read_text() == ""
    assert "every row and every field" in said
    assert re.search(r"kill -9 of the daemon and its workers \(\d+ processes\)", said), said
    assert re.search(r"^ +order_lines +search index +[\d,]{6,} +0 +0 +0", said, re.MULTILINE), said
    assert "\x1b" not in said
    folder = state_folder(said)
    assert not folder.exists()
    assert watchdog.of_folder(str(folder)) == set()


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_interrupted_demo_stops_and_removes_what_it_started(tmp_path: Path) -> None:
    said = ""

    with demo_process(tmp_path / "errors.txt") as process:
        for line in lines(process):
            said += line
            if line.strip() == "$ cdc run":
                break
        # What is started just then must not remain either; a second Ctrl-C changes nothing.
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        said += "".join(lines(process))
        code = process.wait()

    assert code == 130, said
    assert "Interrupted" in said
    assert (tmp_path / "errors.txt").read_text() == ""
    folder = state_folder(said)
    assert not folder.exists()
    assert watchdog.of_folder(str(folder)) == set()


@pytest.mark.postgres
@pytest.mark.slow
def test_demo_without_a_cache_names_the_document_that_differs(
    postgres_database: PostgresDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Pipeline.run

    def run_and_spoil(pipeline: Pipeline, *arguments: str) -> str:
        said = run(pipeline, *arguments)
        if "--until-current" in arguments:
            with closing(sqlite3.connect(pipeline.index)) as file, file:
                file.execute(
                    "UPDATE documents SET document = json_set(document, '$.name', 'Nobody')"
                    " WHERE target = 'public.customers' AND id = '7'"
                )
        return said

    monkeypatch.setattr(Pipeline, "run", run_and_spoil)
    pace = Pace(probes=2, sizes=SMALL)
    folder = RunFolder("demo", Account())
    with closing(folder), closing(Pipeline(folder, postgres_database.url, None)) as pipeline:
        equal = Story(Screen(), postgres_database.url, pipeline, None, pace).tell()

    said = capsys.readouterr().out
    assert not equal
    assert "search index: customers: 1 stale: 7\n" in said
    assert "every row and every field" not in said
    assert "cache" not in said


@pytest.fixture
def small_shop(postgres_database: PostgresDatabase) -> Iterator[shop.Connection]:
    with psycopg.connect(postgres_database.url, autocommit=True) as connection:
        shop.load(connection, Random(1), SMALL)
        yield connection


@pytest.mark.postgres
def test_judge_writes_values_as_documents_hold_them(small_shop: shop.Connection) -> None:
    small_shop.execute(
        "INSERT INTO customers VALUES (900, 'Ana', 'ana@example.com', NULL, '2024-02-29')"
    )
    small_shop.execute(
        "INSERT INTO orders VALUES (900, 900, 'paid', '2026-11-23 12:30:00.500+02', 10)"
    )
    small_shop.execute("INSERT INTO order_lines SELECT 900, 1, min(sku), 2, 5, 0 FROM products")

    documents = comparison.expected(small_shop, "salt")

    # printf 'saltana@example.com' | sha256sum
    hashed = "cf4f4850c663088f794408ad621b6e8b91ee01940f6d286ee082d3bd8c3970d9"
    assert {
        "id": 900, "name": "Ana", "email": hashed, "city": None, "customer_since": "2024-02-29",
    } == documents["customers"]["900"]  # fmt: skip
    assert documents["orders"]["900"] == {
        "id": 900, "customer_id": 900, "status": "paid", "placed_at": "2026-11-23T10:30:00.5Z",
        "total": "10.00",
    }  # fmt: skip
    assert "900:1" in documents["order_lines"]
    assert isinstance(next(iter(documents["products"].values()))["tags"], list)


@pytest.mark.postgres
def test_judge_finds_one_wrong_field_among_all_rows(
    small_shop: shop.Connection, tmp_path: Path
) -> None:
    must = comparison.expected(small_shop, "salt")
    index = tmp_path / "index.db"
    with closing(sqlite3.connect(index)) as file, file:
        file.execute("CREATE TABLE documents (target TEXT, id TEXT, document TEXT)")
        file.executemany(
            "INSERT INTO documents VALUES (?, ?, ?)",
            [
                (f"public.{table}", id_, json.dumps(document))
                for table, documents in must.items()
                for id_, document in documents.items()
            ],
        )
    before = comparison.in_index(index)
    small_shop.execute("UPDATE orders SET status = 'returned', total = total + 1 WHERE id = 3")

    after = comparison.expected(small_shop, "salt")

    assert all(comparison.compare(table, must[table], before[table]).equal for table in must)
    assert comparison.compare("orders", after["orders"], before["orders"]).stale == ["3"]
