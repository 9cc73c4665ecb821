"""Columns that show the server's types in their schemas: the same by snapshot and by stream."""

from pathlib import Path

import pytest

from tests.integration.postgres_capture import Capture
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("readers", [1, 2])
def test_described_columns_are_those_that_are_named_by_snapshot_and_stream(
    postgres_database: PostgresDatabase, tmp_path: Path, readers: int
) -> None:
    postgres_database.execute(
        "CREATE DOMAIN amount AS numeric(12,2)",
        "CREATE TABLE t (id int PRIMARY KEY, price amount, note varchar(40))",
        "CREATE TABLE u (id int PRIMARY KEY)",
        "INSERT INTO t VALUES (1, 5, 'x')",
        "INSERT INTO u VALUES (1)",
    )
    with Capture(
        postgres_database.url,
        tmp_path,
        described_columns=("public.t.price", "*.note"),
        snapshot_readers=readers,
    ) as capture:
        capture.until_streaming()
        postgres_database.execute("INSERT INTO t VALUES (2, 5, 'x')", "INSERT INTO u VALUES (2)")
        capture.until_current()
        postgres_database.execute(
            "ALTER TABLE t ALTER note TYPE varchar(50)", "INSERT INTO t VALUES (3, 5, 'x')"
        )
        capture.until_current()

    price = (("type_name", "amount"), ("length", "12"), ("scale", "2"))
    before = [(), price, (("type_name", "varchar"), ("length", "40"), ("scale", "0"))]
    after = [(), price, (("type_name", "varchar"), ("length", "50"), ("scale", "0"))]
    found = {
        table: [
            [column.attributes for column in event.table.columns]
            for event in capture.events
            if event.table.table == table
        ]
        for table in ("t", "u")
    }
    assert found == {"t": [before, before, after], "u": [[()], [()]]}


def test_restart_without_the_option_takes_the_types_away(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with Capture(postgres_database.url, tmp_path, described_columns=("*",)) as described:
        described.until_streaming()
        postgres_database.execute("INSERT INTO t VALUES (1)")
        described.until_current()
        checkpoint = described.checkpoint
    plain = Capture(postgres_database.url, tmp_path)
    plain.checkpoint = checkpoint

    with plain:
        postgres_database.execute("INSERT INTO t VALUES (2)")
        plain.until_current()

    attributes = (("type_name", "int4"), ("length", "10"), ("scale", "0"))
    assert [attributes] == [event.table.columns[0].attributes for event in described.events]
    assert [event.table.columns[0].attributes for event in plain.events] == [()]
