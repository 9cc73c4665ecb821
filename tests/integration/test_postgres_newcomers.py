"""Tables that come while the source runs are found, published and captured with all their rows."""

import logging
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.postgres_capture import Capture, rows_in
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres


def started(database: PostgresDatabase, folder: Path, **options: Any) -> Capture:
    database.execute("CREATE TABLE a (id int PRIMARY KEY)")
    capture = Capture(database.url, folder, **options).start()
    capture.until_streaming()
    capture.until_current()
    return capture


def test_new_table_is_published_and_its_rows_are_read_without_a_restart(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = started(postgres_database, tmp_path)

    postgres_database.execute(
        "CREATE TABLE b (id int PRIMARY KEY, v text)",
        "INSERT INTO b VALUES (1, 'before')",
    )
    capture.until_current()
    postgres_database.execute("INSERT INTO b VALUES (2, 'after')", "UPDATE b SET v = v || '!'")
    capture.until_current()
    capture.restart()
    capture.until_current()
    capture.close()

    assert rows_in(postgres_database, "SELECT * FROM b") == capture.state()["public.b"]
    ops = [event.op for event in capture.events if event.table.table == "b"]
    assert ops == ["r", "c", "u", "u"]


def test_row_of_a_transaction_that_is_older_than_the_publication_is_not_lost(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = started(postgres_database, tmp_path)
    postgres_database.execute("CREATE TABLE b (id int PRIMARY KEY)")

    with psycopg.connect(postgres_database.url) as writer:
        writer.execute("INSERT INTO b VALUES (1)")
        capture.until(lambda: "b" in published(postgres_database))
        postgres_database.execute("INSERT INTO a VALUES (7)")
        capture.until(lambda: any(event.table.table == "a" for event in capture.events))
        writer.execute("INSERT INTO b VALUES (2)")
        writer.commit()
    capture.until_current()
    capture.close()

    assert capture.state()["public.b"] == {(1,): (1,), (2,): (2,)}


def published(database: PostgresDatabase) -> set[str]:
    rows = rows_in(database, "SELECT tablename FROM pg_publication_tables")
    return {str(name) for (name,) in rows}


def test_rows_of_a_table_that_is_made_again_come_behind_the_changes_of_the_old_one(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = started(postgres_database, tmp_path)
    capture.crash()
    postgres_database.execute(
        "INSERT INTO a VALUES (1), (2)",
        "UPDATE a SET id = 3 WHERE id = 1",
        "DROP TABLE a",
        "CREATE TABLE a (id int PRIMARY KEY, v text)",
        "INSERT INTO a VALUES (2, 'new')",
    )

    capture.start()
    capture.until_current()
    capture.close()

    assert [event.op for event in capture.events] == ["c", "c", "u", "r"]
    assert capture.state()["public.a"][2,] == (2, "new")


def test_renamed_table_is_read_again_under_its_new_name(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = started(postgres_database, tmp_path)
    postgres_database.execute("INSERT INTO a VALUES (1)")
    capture.until_current()

    postgres_database.execute("ALTER TABLE a RENAME TO b", "INSERT INTO b VALUES (2)")
    capture.until_current()
    capture.close()

    assert capture.state() == {"public.a": {(1,): (1,)}, "public.b": {(1,): (1,), (2,): (2,)}}


def test_partition_that_is_made_or_attached_is_captured_with_its_rows(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE p3 (id int PRIMARY KEY)",
        "INSERT INTO p3 VALUES (25)",
    )
    capture = started(postgres_database, tmp_path, tables=["public.p"])

    postgres_database.execute(
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)",
        "INSERT INTO p VALUES (1), (11)",
        "ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30)",
    )
    capture.until_current()
    postgres_database.execute("INSERT INTO p VALUES (2), (12), (22)")
    capture.until_current()
    capture.close()

    assert {name: sorted(rows) for name, rows in capture.state().items()} == {
        "public.p1": [(1,), (2,)],
        "public.p2": [(11,), (12,)],
        "public.p3": [(22,), (25,)],
    }


def test_table_that_a_publication_of_all_tables_has_from_its_beginning_is_not_read_again(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute("CREATE PUBLICATION given FOR ALL TABLES")
    capture = started(postgres_database, tmp_path, publication="given", create_publication=False)

    postgres_database.execute("CREATE TABLE b (id int PRIMARY KEY)", "INSERT INTO b VALUES (1)")
    capture.until_current()
    capture.restart()
    capture.until_current()
    capture.close()

    assert [(event.op, event.table.table) for event in capture.events] == [("c", "b")]


@pytest.mark.parametrize(
    ("ddl", "options", "warning"),
    [
        ("CREATE TABLE b (id int)", {}, 'ALTER TABLE "public"."b" REPLICA IDENTITY FULL'),
        ("CREATE TABLE b (id int)", {"keyless_tables": "refuse"}, "it has no key"),
    ],
)
def test_new_table_that_cannot_be_captured_is_named_and_holds_nothing_up(
    postgres_database: PostgresDatabase,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    ddl: str,
    options: dict[str, Any],
    warning: str,
) -> None:
    capture = started(postgres_database, tmp_path, **options)

    with caplog.at_level(logging.WARNING):
        postgres_database.execute(ddl, "INSERT INTO a VALUES (1)")
        capture.until_current()
    assert "new-table" in [note.code for note in capture.source.progress().notes]
    capture.close()

    assert [event.table.table for event in capture.events] == ["a"]
    assert "b" not in published(postgres_database)
    assert warning in caplog.text


def test_new_table_that_may_not_be_published_is_named_with_the_statement(
    postgres_database: PostgresDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    postgres_database.execute(
        "CREATE TABLE z (id int PRIMARY KEY)", "CREATE PUBLICATION given FOR TABLE z"
    )
    capture = Capture(
        postgres_database.url, tmp_path, publication="given", create_publication=False
    ).start()
    capture.until_streaming()
    capture.until_current()

    with caplog.at_level(logging.WARNING):
        postgres_database.execute("CREATE TABLE b (id int PRIMARY KEY)", "INSERT INTO b VALUES (1)")
        capture.until_current()
        assert 'Run: ALTER PUBLICATION "given" ADD TABLE "public"."b"' in caplog.text
        postgres_database.execute("ALTER PUBLICATION given ADD TABLE b", "INSERT INTO b VALUES (2)")
        capture.until_current()
    capture.close()

    assert capture.state()["public.b"] == {(1,): (1,), (2,): (2,)}


def test_rows_of_a_table_that_is_too_large_to_wait_for_are_read_at_the_next_start(
    postgres_database: PostgresDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    capture = started(postgres_database, tmp_path, new_table_bytes_max=0)

    with caplog.at_level(logging.WARNING):
        postgres_database.execute("CREATE TABLE b (id int PRIMARY KEY)", "INSERT INTO b VALUES (1)")
        capture.until_current()
        postgres_database.execute("INSERT INTO b VALUES (2)")
        capture.until_current()
    assert capture.state()["public.b"] == {(2,): (2,)}
    assert "table public.b is captured from now on" in caplog.text
    assert [note.code for note in capture.source.progress().notes] == ["new-table-rows"]
    capture.restart()
    capture.until_current()
    capture.close()

    assert capture.state()["public.b"] == {(1,): (1,), (2,): (2,)}


def test_facts_of_a_dropped_table_are_forgotten_once_the_stream_is_behind_it(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    capture = started(postgres_database, tmp_path)
    postgres_database.execute(
        "CREATE TYPE mood AS ENUM ('x')", "CREATE TABLE b (id int PRIMARY KEY, m mood)"
    )
    capture.until_current()
    assert fact_parts(capture) == 3
    capture.crash()

    postgres_database.execute(
        "INSERT INTO b VALUES (1, 'x')",
        "DROP TABLE b",
        "DROP TYPE mood",
        "INSERT INTO a VALUES (1)",
    )
    capture.start()
    capture.until_current()
    assert [event.table.table for event in capture.events] == ["b", "a"]
    capture.until(lambda: fact_parts(capture) == 1)
    capture.close()


def fact_parts(capture: Capture) -> int:
    assert capture.checkpoint is not None
    return sum(name.startswith(("facts:", "type:")) for name in capture.checkpoint.parts)
