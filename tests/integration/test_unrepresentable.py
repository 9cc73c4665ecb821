"""Values that the format has no encoding for, from a database to a store, by each policy."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.integration.command_line import Folder
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

CONFIG = """
name: odd
sources:
  shop:
    type: postgres
    url: {url}
    tables: [public.product]
    format: {{type: json, unrepresentable: {policy}}}
sinks:
  index: {{type: sqlite, from: [public.product], path: index.db}}
"""


@pytest.fixture
def database(postgres_database: PostgresDatabase) -> PostgresDatabase:
    postgres_database.execute(
        "CREATE TABLE product (id int PRIMARY KEY, price numeric(8,2), place box, tags text[])",
        "INSERT INTO product VALUES (1, 1, '(1,2),(3,4)', '{a}'), (2, 'NaN', NULL, NULL), "
        "(3, 3, NULL, '{}')",
    )
    return postgres_database


def documents(folder: Path) -> dict[str, object]:
    with sqlite3.connect(folder / "index.db") as connection:
        rows = connection.execute(
            "SELECT id, document FROM documents WHERE deleted_at_us IS NULL"
        ).fetchall()
    return {id_: json.loads(document) for id_, document in rows}


def test_dead_letters_leave_the_way_of_the_others(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    folder = Folder(tmp_path)
    folder.write(CONFIG.format(url=database.url, policy="dead_letter"))

    first = folder.cdc("run", "--until-current")
    letters = folder.cdc("tail", "shop.dead-letters", "--from-start", "--limit", "1", "--json")
    database.execute(
        "UPDATE product SET price = 9 WHERE id = 2",
        "UPDATE product SET price = 'NaN', tags = '{late}' WHERE id = 1",
        "DELETE FROM product WHERE id = 3",
    )
    second = folder.cdc("run", "--until-current")

    for result in (first, letters, second):
        assert result.code == 0, result.err
    assert "NaN" in letters.out
    # The store keeps what it had of the row that was changed to what cannot be written.
    assert documents(tmp_path) == {
        "1": {"id": 1, "price": "1.00", "place": "(3,4),(1,2)", "tags": ["a"]},
        "2": {"id": 2, "price": "9.00", "place": None, "tags": None},
    }


def test_stop_names_the_column_and_the_remedies(database: PostgresDatabase, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(CONFIG.format(url=database.url, policy="stop"))

    stopped = folder.cdc("run", "--until-current")

    assert stopped.code != 0
    assert "column 'price' of table public.product" in stopped.err
    assert "decimal: string" in stopped.err
    assert "NaN" not in stopped.err
