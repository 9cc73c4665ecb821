"""A snapshot read by several processes on a real server: the same rows, once each, in one view."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.errors import SourceRefused, TransientError
from cdc.event import Record
from connectors.postgres.resume import resume_of
from tests.integration.postgres_capture import Capture, rows_in
from tests.integration.test_postgres_source_snapshot import SEQUENCE, Writer
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

PAGE_BYTES = 8192
# Small chunks and lots: everything happens often.
SMALL: dict[str, Any] = {"snapshot_chunk_bytes_max": 4 * PAGE_BYTES, "snapshot_lot_rows_max": 100}
THREE: dict[str, Any] = {"snapshot_readers": 3, **SMALL}

WAITING = (
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE 'ALTER TABLE%'"
)

TABLES = (
    "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(12,4), j jsonb)",
    """INSERT INTO t SELECT g, repeat('v' || g, g % 50), g / 7.0, jsonb_build_object('g', g)
    FROM generate_series(1, 5000) g""",
    "DELETE FROM t WHERE id % 11 = 0 OR id BETWEEN 2000 AND 2600",
    "VACUUM t",
    "CREATE TABLE empty (id int PRIMARY KEY)",
    "CREATE TABLE one (id int PRIMARY KEY)",
    "INSERT INTO one VALUES (1)",
    "CREATE TABLE keyless (v text)",
    "INSERT INTO keyless SELECT 'same' FROM generate_series(1, 700)",
    "CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
    "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (500)",
    "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (500) TO (2000)",
    "INSERT INTO parts SELECT g, 'part ' || g FROM generate_series(1, 1500) g",
    "CREATE TABLE parent (id int PRIMARY KEY)",
    "INSERT INTO parent SELECT * FROM generate_series(1, 300)",
    "CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent)",
    "INSERT INTO child SELECT g, 'x' FROM generate_series(1000, 1400) g",
    "CREATE TABLE nothing ()",
    "INSERT INTO nothing SELECT FROM generate_series(1, 3)",
    "ALTER TABLE keyless REPLICA IDENTITY FULL",
    "ALTER TABLE nothing REPLICA IDENTITY FULL",
)


def without_clocks(record: Record) -> tuple[str, bytes | None, bytes, bytes | None]:
    """Everything that does not depend on when and in what order rows were read."""
    value = orjson.loads(record.value or b"null")
    for content in (value, value["source"]):
        for name in ("ts_ms", "ts_us", "ts_ns", "snapshot", "txId", "lsn", "sequence"):
            content.pop(name, None)
    return record.topic.name, record.key, orjson.dumps(value), record.mark


def snapshot_of(database: PostgresDatabase, folder: Path, **options: Any) -> Capture:
    """A capture that has read everything in a slot of its own."""
    capture = Capture(database.url, folder, **options)
    with capture:
        capture.until_streaming()
    return capture


def test_one_and_three_readers_give_the_same_records(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(*TABLES)

    one = snapshot_of(postgres_database, tmp_path, slot="one", publication="one", **SMALL)
    three = snapshot_of(postgres_database, tmp_path, slot="three", publication="three", **THREE)

    assert not one.pools
    assert len(three.pools) == 1
    assert Counter(map(without_clocks, one.records)) == Counter(map(without_clocks, three.records))
    assert len(one.records) == len(three.records) > 5000
    assert (
        rows_in(postgres_database, "SELECT id, v, n::text, j::text FROM t")
        == three.state()["public.t"]
    )
    done = {table.table: table for table in three.source.progress().tables}
    assert {table.rows_done for table in done.values() if not table.done} == set()
    assert done["public.keyless"].rows_done == 700
    assert done["public.parent"].rows_done == 300


@pytest.mark.parametrize("options", [SMALL, THREE])
def test_markers_are_each_at_their_place_whoever_reads(
    postgres_database: PostgresDatabase, tmp_path: Path, options: dict[str, Any]
) -> None:
    postgres_database.execute(*TABLES)

    events = snapshot_of(postgres_database, tmp_path, **options).events

    markers = [event.snapshot for event in events]
    assert (markers[0], markers[-1]) == ("first", "last")
    assert 1 == markers.count("first") == markers.count("last")
    tables: dict[str, list[str | None]] = {}
    for event in events:
        tables.setdefault(event.table.table, []).append(event.snapshot)
    assert set(tables) == {
        *("child", "keyless", "nothing", "one", "parent", "parts_high", "parts_low", "t"),
    }
    for name, marked in tables.items():
        if name == "one":
            continue
        assert marked[0] in {"first", "first_in_data_collection"}
        assert marked[-1] in {"last", "last_in_data_collection"}
        assert set(marked[1:-1]) <= {"true"}
    assert tables["one"][0] in {"first", "last", "last_in_data_collection"}


def test_three_readers_and_the_stream_equal_the_table_under_writes(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        SEQUENCE,
        "CREATE TABLE t (id int PRIMARY KEY, v text, n int)",
        "INSERT INTO t SELECT g, 'row ' || g, 0 FROM generate_series(1, 8000) g",
    )
    capture = Capture(postgres_database.url, tmp_path, **THREE)
    with Writer(postgres_database.url) as writer, capture:
        capture.until_streaming()
        seen = writer.rounds
        capture.until(lambda: writer.rounds > seen + 20)
        writer.__exit__()
        capture.until_current()

    assert capture.pools
    assert rows_in(postgres_database, "SELECT * FROM t") == capture.state()["public.t"]
    inserted = [event.after[0] for event in capture.events if event.op in "rc" and event.after]
    assert len(inserted) == len(set(inserted))


def test_killed_reader_ends_the_session_and_the_next_one_reads_what_is_missing(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE a (id int PRIMARY KEY)",
        "INSERT INTO a SELECT * FROM generate_series(1, 100)",
        SEQUENCE,
        "CREATE TABLE t (id int PRIMARY KEY, v text, n int)",
        "INSERT INTO t SELECT g, 'row', 0 FROM generate_series(1, 8000) g",
    )
    capture = Capture(postgres_database.url, tmp_path, **THREE).start()
    with Writer(postgres_database.url) as writer:
        capture.until(lambda: any(event.table.table == "t" for event in capture.events))
        first = resume_of(capture.checkpoint)
        victim = capture.pools[0]._readers[1].process
        os.kill(victim.pid, signal.SIGKILL)

        with pytest.raises(TransientError, match="signal SIGKILL"):
            capture.until_streaming()
        begun = writer.rounds
        capture.restart()
        capture.until_streaming()
        capture.until(lambda: writer.rounds > begun + 10)
        writer.__exit__()
        capture.until_current()
    second = resume_of(capture.checkpoint)
    capture.close()

    assert len(capture.pools) == 2
    assert all(not pool._readers for pool in capture.pools)
    assert first is not None
    assert second is not None
    assert first.origin == second.origin
    reads = [event for event in capture.events if event.op == "r" and event.table.table == "a"]
    assert len(reads) == 100
    assert rows_in(postgres_database, "SELECT * FROM t") == capture.state()["public.t"]


def test_table_rewritten_between_two_chunks_is_noticed(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g",
    )
    capture = Capture(postgres_database.url, tmp_path, snapshot_readers=2, **SMALL).start()
    capture.until(lambda: bool(capture.events))
    # It waits for the ranges that are being read, and the next ranges wait for it.
    rewrite = threading.Thread(
        target=postgres_database.execute, args=["ALTER TABLE t ALTER id TYPE bigint"]
    )
    rewrite.start()
    with postgres_database.connect() as judge:
        while rewrite.is_alive() and not judge.execute(WAITING).fetchone():
            pass

    with pytest.raises(TransientError, match=r"public\.t was dropped, rewritten or altered"):
        capture.until_streaming()
    rewrite.join()
    capture.restart()
    capture.until_current()
    capture.close()

    assert len(capture.state()["public.t"]) == 20000


def test_names_of_columns_that_were_swapped_are_noticed(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    """No file changes, no column is missing, and each value would be another column's."""
    postgres_database.execute(
        "CREATE TABLE a (id int PRIMARY KEY)",
        "INSERT INTO a SELECT * FROM generate_series(1, 500)",
        "CREATE TABLE b (id int PRIMARY KEY, x int, y int)",
        "INSERT INTO b VALUES (1, 10, 20)",
    )
    capture = Capture(postgres_database.url, tmp_path, snapshot_lot_rows_max=10).start()
    capture.until(lambda: bool(capture.events))
    postgres_database.execute(
        "ALTER TABLE b RENAME x TO z",
        "ALTER TABLE b RENAME y TO x",
        "ALTER TABLE b RENAME z TO y",
    )

    with pytest.raises(TransientError, match=r"public\.b was dropped, rewritten or altered"):
        capture.until_streaming()
    capture.restart()
    capture.until_current()
    capture.close()

    assert capture.state()["public.b"] == {(1,): (1, 10, 20)} or {
        column.name: value
        for event in capture.events
        if event.table.table == "b" and event.after
        for column, value in zip(event.table.columns, event.after, strict=True)
    } == {"id": 1, "y": 10, "x": 20}


@pytest.mark.parametrize("options", [SMALL, {"snapshot_readers": 2, **SMALL}])
def test_locked_table_is_read_when_the_lock_is_gone(
    postgres_database: PostgresDatabase, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Other tables are read meanwhile; the lock that readers take is the weakest there is."""
    postgres_database.execute(
        "CREATE TABLE a (id int PRIMARY KEY)",
        "INSERT INTO a SELECT * FROM generate_series(1, 3000)",
        "CREATE TABLE b (id int PRIMARY KEY)",
        "INSERT INTO b SELECT * FROM generate_series(1, 3000)",
    )
    capture = Capture(postgres_database.url, tmp_path, **options)
    with postgres_database.connect() as other, capture, other.transaction():
        capture.until(lambda: capture.source.progress().phase == "snapshot")
        with postgres_database.connect() as locker:
            locker.execute("BEGIN")
            locker.execute("LOCK TABLE a IN ACCESS EXCLUSIVE MODE")
            capture.until(lambda: any(event.table.table == "b" for event in capture.events))
            locker.execute("ROLLBACK")
        capture.until_streaming()

    assert len(capture.state()["public.a"]) == 3000
    assert len(capture.state()["public.b"]) == 3000


def test_where_and_columns_narrow_what_is_read(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text, big text)",
        "INSERT INTO t SELECT g, 'row ' || g, repeat('x', 500) FROM generate_series(1, 2000) g",
    )
    wish = {"where": "id % 2 = 0 -- even ones", "columns": ["id", "v"]}
    capture = Capture(postgres_database.url, tmp_path, snapshot_tables={"public.t*": wish}, **THREE)
    with capture:
        capture.until_streaming()
        postgres_database.execute("UPDATE t SET v = 'changed' WHERE id = 2")
        capture.until_current()

    reads = [event for event in capture.events if event.op == "r"]
    assert {event.after[0] for event in reads if event.after} == set(range(2, 2001, 2))
    assert {repr(event.after[2]) for event in reads if event.after} == {"UNCHANGED"}
    (update,) = [event for event in capture.events if event.op == "u"]
    assert update.after is not None
    assert tuple(update.after) == (2, "changed", "x" * 500)


@pytest.mark.parametrize(
    ("option", "wish"),
    [
        ("snapshot_tables", {"public.tt": {"where": "id > 1"}}),
        ("snapshot_order", ["public.tt"]),
    ],
)
def test_wish_for_a_table_that_is_not_captured_is_named(
    postgres_database: PostgresDatabase, tmp_path: Path, option: str, wish: Any
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    capture = Capture(postgres_database.url, tmp_path, **{option: wish})

    with pytest.raises(Exception, match=f"`{option}` names public.tt") as caught:
        capture.start()
    capture.close()

    assert type(caught.value).__name__ == "ConfigError"
    assert "did you mean public.t?" in str(caught.value)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"where": "nothere = 1"}, r'column "nothere" does not exist'),
        ({"where": "id = 1) OR (true"}, "syntax error"),
        ({"where": "id"}, "must be type boolean|to type boolean|boolean"),
        ({"columns": ["id", "nothere"]}, "names nothere"),
        ({"columns": ["v"]}, "leaves out id of the key"),
    ],
)
def test_wish_that_makes_no_sense_is_named_before_anything_is_made(
    postgres_database: PostgresDatabase, tmp_path: Path, wish: dict[str, Any], message: str
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    capture = Capture(postgres_database.url, tmp_path, snapshot_tables={"public.t": wish})

    with pytest.raises(Exception, match=message) as caught:
        capture.start()
    capture.close()

    assert type(caught.value).__name__ == "ConfigError"
    with postgres_database.connect() as judge:
        assert (
            judge.execute(
                "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
            ).fetchall()
            == []
        )


def test_order_is_the_one_that_is_asked_for(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    for name in ("a", "b", "c", "d"):
        postgres_database.execute(
            f"CREATE TABLE {name} (id int PRIMARY KEY)", f"INSERT INTO {name} VALUES (1)"
        )

    events = snapshot_of(
        postgres_database, tmp_path, snapshot_order=["public.c", "public.[!a]", "public.d"]
    ).events

    assert [event.table.table for event in events] == ["c", "d", "a", "b"]


@pytest.mark.parametrize("options", [SMALL, THREE])
def test_snapshot_has_the_columns_and_rows_that_the_publication_lets_the_stream_have(
    postgres_database: PostgresDatabase, tmp_path: Path, options: dict[str, Any]
) -> None:
    if int(postgres_database.server.version.split(".")[0]) < 15:
        pytest.skip("column lists and row filters came with version 15")
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, secret text, v text)",
        "INSERT INTO t SELECT g, 'secret', 'row ' || g FROM generate_series(1, 2000) g",
        "CREATE PUBLICATION cdc_shop FOR TABLE t (id, v) WHERE (id % 10 = 0)",
    )
    with Capture(postgres_database.url, tmp_path, **options) as capture:
        capture.until_streaming()
        postgres_database.execute(
            "INSERT INTO t VALUES (5000, 'secret', 'new'), (5001, 'secret', 'never')",
            "UPDATE t SET v = 'changed' WHERE id = 20",
        )
        capture.until_current()

    judge = rows_in(postgres_database, "SELECT id, v FROM t WHERE id % 10 = 0")
    assert judge == capture.state()["public.t"]
    assert len({event.table.id for event in capture.events}) == 1
    assert {event.op for event in capture.events} == {"r", "c", "u"}


def test_publication_that_was_narrowed_while_nobody_looked_is_noticed(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    """Rows that were read would never change or go any more."""
    if int(postgres_database.server.version.split(".")[0]) < 15:
        pytest.skip("column lists and row filters came with version 15")
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    capture = Capture(postgres_database.url, tmp_path).start()
    capture.until_streaming()
    capture.crash()
    postgres_database.execute("ALTER PUBLICATION cdc_shop SET TABLE t WHERE (id > 5)")

    with pytest.raises(SourceRefused, match=r"another column list .* of public\.t were read"):
        capture.start()
    capture.crash()
    postgres_database.execute("ALTER PUBLICATION cdc_shop SET TABLE t")
    capture.start()
    capture.until_current()
    capture.close()


@pytest.mark.longer
def test_values_of_fifty_megabytes_pass_between_processes(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    """Larger than every buffer between them, at the begin, in the middle and at the end."""
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "ALTER TABLE t ALTER v SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT g, CASE WHEN g % 4 = 1 THEN repeat('x', 50000000) ELSE 'small' END"
        " FROM generate_series(1, 13) g",
        "CREATE TABLE u (id int PRIMARY KEY)",
        "INSERT INTO u VALUES (1)",
    )
    capture = Capture(
        postgres_database.url, tmp_path, snapshot_readers=2, snapshot_chunk_bytes_max=PAGE_BYTES
    )
    sizes: dict[object, int] = {}
    with capture:
        while capture.source.progress().phase != "streaming":
            capture.poll()
            for event in capture.events:
                if event.after is not None and event.table.table == "t":
                    sizes[event.after[0]] = len(str(event.after[1]))
            # The test itself need not keep them.
            capture.events.clear()
            capture.records.clear()
            capture.batches.clear()

    assert capture.pools
    assert sizes == {g: 50_000_000 if g % 4 == 1 else 5 for g in range(1, 14)}


@pytest.mark.longer
def test_thousands_of_tables_take_seconds_and_no_more_locks_than_one(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    """More than the server has room for in its table of locks, were they kept."""
    tables = 8000
    with postgres_database.connect() as connection:
        for first in range(0, tables, 500):
            connection.execute(
                f"DO $$ BEGIN FOR n IN {first}..{first + 499} LOOP EXECUTE "
                "'CREATE TABLE many_' || n || ' (id int PRIMARY KEY)'; END LOOP; END $$".encode()
            )
    capture = Capture(postgres_database.url, tmp_path, snapshot="only", snapshot_readers=1)
    most, took_s = 0, 0.0
    with capture, postgres_database.connect() as judge:
        capture.until(lambda: capture.source.progress().snapshot is not None)
        began_s = time.monotonic()
        while (whole := capture.source.progress().snapshot) and whole.tables_done < tables:
            capture.poll()
            row = judge.execute(
                "SELECT count(*) FROM pg_locks WHERE mode = 'AccessShareLock'"
                " AND relation >= 16384 AND pid <> pg_backend_pid()"
            ).fetchone()
            most = max(most, row[0] if row else 0)
        took_s = time.monotonic() - began_s

    assert most <= 2
    assert took_s < 60
    assert len(capture.source.progress().tables) < tables


def test_generated_columns_come_where_the_publication_sends_them(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    if int(postgres_database.server.version.split(".")[0]) < 18:
        pytest.skip("generated columns are published since version 18")
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)",
        "INSERT INTO t SELECT * FROM generate_series(1, 3000)",
        "CREATE PUBLICATION cdc_shop FOR TABLE t WITH (publish_generated_columns = stored)",
    )
    with Capture(postgres_database.url, tmp_path, **THREE) as capture:
        capture.until_streaming()
        postgres_database.execute("INSERT INTO t VALUES (5000)")
        capture.until_current()

    assert rows_in(postgres_database, "SELECT * FROM t") == capture.state()["public.t"]
    assert len({event.table.id for event in capture.events}) == 1


@pytest.mark.parametrize(
    ("where", "in_ranges"), [("v = 'row 7'", False), ("length(v) > 2", True), ("true", True)]
)
def test_condition_that_an_index_answers_is_not_asked_for_each_range(
    postgres_database: PostgresDatabase, tmp_path: Path, where: str, in_ranges: bool
) -> None:
    """Going over the whole table for a few rows would be slower than the index."""
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 5000) g",
        "CREATE INDEX ON t (v)",
        "ANALYZE t",
    )
    capture = Capture(
        postgres_database.url, tmp_path, snapshot_tables={"public.t": {"where": where}}, **THREE
    )
    with capture:
        capture.until_streaming()

    judge = rows_in(postgres_database, f"SELECT * FROM t WHERE {where}")
    assert judge == capture.state()["public.t"]
    assert bool(capture.pools) is in_ranges


@pytest.mark.parametrize("options", [{"snapshot_readers": 1}, THREE])
def test_condition_that_fails_for_a_row_does_not_tell_its_value(
    postgres_database: PostgresDatabase, tmp_path: Path, options: dict[str, Any]
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT g, g::text || repeat(' ', 500) FROM generate_series(1, 2000) g",
        "UPDATE t SET v = 'secret' WHERE id = 1700",
    )
    wish = {"where": "v::int > 0"}
    capture = Capture(
        postgres_database.url, tmp_path, snapshot_tables={"public.t": wish}, **options
    )

    with pytest.raises(SourceRefused, match=r"public\.t.*invalid input syntax") as caught, capture:
        capture.until_streaming()

    assert "secret" not in str(caught.value)
