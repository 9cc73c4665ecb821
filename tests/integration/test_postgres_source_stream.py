"""The Postgres source on a real server: what comes, in which order, and after a restart."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.checkpoint import Checkpoint
from cdc.event import UNCHANGED, Batch, ChangeEvent
from connectors.postgres.replication import LOT_MESSAGES_MAX
from tests.integration.postgres_capture import Capture, rows_in
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres


@pytest.fixture
def capture(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[Capture]:
    """A source that is not started yet."""
    made = Capture(postgres_database.url, tmp_path)
    yield made
    made.close()


def facts(event: ChangeEvent) -> tuple[object, ...]:
    assert event.transaction is not None
    return (
        event.op,
        event.table.qualified_name,
        None if event.before is None else tuple(event.before),
        None if event.after is None else tuple(event.after),
        event.transaction.id,
        event.transaction.commit_time_us,
        event.transaction.prior_position,
        event.ordinal,
        event.position,
    )


def streamed(capture: Capture) -> list[ChangeEvent]:
    return [event for event in capture.events if event.snapshot is None]


def test_changes_are_those_an_independent_decoder_sees(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    """Judge: test_decoding on a slot of its own."""
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "SELECT pg_create_logical_replication_slot('judge', 'test_decoding')",
    )
    capture.start()
    capture.until_streaming()

    with postgres_database.connect() as writer:
        for number in range(20):
            writer.execute("INSERT INTO t VALUES (%s, %s)", (number, f"row {number}"))
        with writer.transaction():
            writer.execute("UPDATE t SET v = v || '!' WHERE id % 2 = 0")
            with writer.transaction(force_rollback=True):
                writer.execute("DELETE FROM t")
            writer.execute("DELETE FROM t WHERE id > 15")
        with writer.transaction(force_rollback=True):
            writer.execute("INSERT INTO t VALUES (100, 'never')")
    capture.until_current()

    with postgres_database.connect() as judge:
        lines = judge.execute(
            "SELECT xid::text, data FROM pg_logical_slot_get_changes('judge', NULL, NULL)"
            " WHERE data LIKE 'table public.t:%'"
        ).fetchall()
    letters = {"INSERT": "c", "UPDATE": "u", "DELETE": "d"}
    seen = [
        (xid, letters[data.split()[2].rstrip(":")], data.partition("id[integer]:")[2].split()[0])
        for xid, data in lines
    ]
    assert seen == [
        (event.transaction.id, event.op, str((event.after or event.before or [None])[0]))
        for event in streamed(capture)
        if event.transaction
    ]


def test_resume_behind_every_batch_repeats_and_loses_nothing(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    with Capture(postgres_database.url, tmp_path) as whole:
        whole.until_streaming()
        first = whole.checkpoint
        assert first is not None
        with postgres_database.connect() as writer:
            for size in (1, 3, 2500, 1, 1200):
                writer.execute(
                    "INSERT INTO t SELECT (SELECT count(*) FROM t) + g, 'v' || g"
                    " FROM generate_series(1, %s) g",
                    (size,),
                )
        # Nothing is acknowledged here, so that the slot still has all of it for the others.
        batches: list[Batch] = []
        while sum(len(batch.events) for batch in batches) < 3705:
            batch = whole.source.poll(5.0)
            assert batch is not None
            batches.append(batch)
    expected = [facts(event) for batch in batches for event in batch.events]
    assert any(b"commit_lsn" in (batch.checkpoint.parts["position"] or b"") for batch in batches)

    checkpoint, before = first, 0
    for batch in batches:
        checkpoint = checkpoint.merged(batch.checkpoint)
        before += len(batch.events)
        again = Capture(postgres_database.url, tmp_path)
        again.checkpoint = checkpoint
        again.start()
        rest: list[ChangeEvent] = []
        while len(rest) < len(expected) - before:
            more = again.source.poll(5.0)
            assert more is not None
            rest.extend(more.events)
        again.close()
        assert expected[before:] == [facts(event) for event in rest]


def test_crash_inside_a_large_transaction_repeats_and_loses_nothing(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    capture.start()
    capture.until_streaming()
    rows = 20 * LOT_MESSAGES_MAX
    postgres_database.execute(
        f"INSERT INTO t SELECT g, repeat('x', 20) FROM generate_series(1, {rows}) g",
        "INSERT INTO t VALUES (0, 'behind')",
    )

    crashes = 0
    while len(capture.events) < rows + 1:
        batch = capture.poll(5.0)
        if batch is not None and batch.events and crashes < 8:
            lost = capture.source.poll(5.0)
            assert lost is not None
            capture.restart()
            crashes += 1

    assert crashes == 8
    assert [*range(1, rows + 1), 0] == [event.after[0] for event in capture.events if event.after]
    assert list(range(rows)) == [event.ordinal for event in capture.events[:rows]]
    assert len({event.transaction.id for event in capture.events[:rows] if event.transaction}) == 1


def test_checkpoint_never_runs_ahead_and_the_slot_never_of_the_checkpoint(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    capture.start()
    capture.until_streaming()
    postgres_database.execute(
        "INSERT INTO t SELECT * FROM generate_series(1, 5000)", "INSERT INTO t VALUES (0)"
    )
    kept = capture.checkpoint
    while not any(batch.events for batch in capture.batches):
        batch = capture.source.poll(5.0)
        assert batch is not None
        capture.events.extend(batch.events)
        capture.batches.append(batch)
    capture.crash()

    capture.events.clear()
    capture.checkpoint = kept
    capture.start()
    capture.until_current()

    assert [*range(1, 5001), 0] == [event.after[0] for event in capture.events if event.after]


def test_unchanged_out_of_line_value_is_kept_apart_from_null(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, o int, big text, empty text)",
        "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
    )
    capture.start()
    capture.until_streaming()

    postgres_database.execute(
        "INSERT INTO t VALUES (1, 1, repeat('x', 9000), NULL)",
        "UPDATE t SET o = 2",
        "UPDATE t SET big = NULL",
    )
    capture.until_current()

    assert [tuple(event.after) for event in streamed(capture) if event.after] == [
        (1, 1, "x" * 9000, None),
        (1, 2, UNCHANGED, None),
        (1, 2, None, None),
    ]
    assert all(event.table.partial for event in capture.events)


@pytest.mark.parametrize(
    ("identity", "update", "key_change", "delete"),
    [
        ("DEFAULT", None, (1, UNCHANGED, UNCHANGED), (2, UNCHANGED, UNCHANGED)),
        ("FULL", (1, 10, "a"), (1, 11, "a"), (2, 11, "a")),
        ("USING INDEX t_b", (UNCHANGED, 10, UNCHANGED), None, (UNCHANGED, 11, UNCHANGED)),
    ],
)
def test_old_row_is_what_the_replica_identity_gives(
    postgres_database: PostgresDatabase,
    capture: Capture,
    identity: str,
    update: object,
    key_change: object,
    delete: object,
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, b int NOT NULL, v text)",
        "CREATE UNIQUE INDEX t_b ON t (b)",
        f"ALTER TABLE t REPLICA IDENTITY {identity}",
    )
    capture.start()
    capture.until_streaming()

    postgres_database.execute(
        "INSERT INTO t VALUES (1, 10, 'a')",
        "UPDATE t SET b = 11",
        "UPDATE t SET id = 2",
        "DELETE FROM t",
    )
    capture.until_current()

    assert [
        ("c", None, (1, 10, "a")),
        ("u", update, (1, 11, "a")),
        ("u", key_change, (2, 11, "a")),
        ("d", delete, None),
    ] == [
        (
            event.op,
            None if event.before is None else tuple(event.before),
            None if event.after is None else tuple(event.after),
        )
        for event in streamed(capture)
    ]


def test_truncate_is_an_event_of_each_captured_table(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE a (id int PRIMARY KEY)",
        "CREATE TABLE b (id int PRIMARY KEY)",
        "CREATE TABLE other (id int PRIMARY KEY)",
        "CREATE PUBLICATION given FOR ALL TABLES",
    )
    tables = ["public.a", "public.b"]
    with Capture(postgres_database.url, tmp_path, tables=tables, publication="given") as capture:
        capture.until_streaming()

        postgres_database.execute("INSERT INTO other VALUES (1)", "TRUNCATE a, other, b")
        capture.until_current()

        assert [
            (event.op, event.table.qualified_name, event.ordinal) for event in capture.events
        ] == [("t", "public.a", 0), ("t", "public.b", 1)]


def test_partitions_are_captured_once_and_by_their_own_names(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE part (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k)",
        "CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1)",
        "CREATE TABLE part2 PARTITION OF part FOR VALUES IN (2)",
        "INSERT INTO part VALUES (1, 1), (2, 2)",
    )
    with Capture(postgres_database.url, tmp_path, tables=["public.part"]) as capture:
        capture.until_streaming()

        postgres_database.execute("INSERT INTO part VALUES (3, 1)", "UPDATE part SET k = 2")
        capture.until_current()

        assert {"public.part1", "public.part2"} == {
            event.table.qualified_name for event in capture.events
        }
        assert len([event for event in capture.events if event.snapshot]) == 2
        state = capture.state()
        assert state["public.part1"] == {}
        assert rows_in(postgres_database, "SELECT * FROM part2") == {
            (key[0],): row for key, row in state["public.part2"].items()
        }


def test_column_added_while_streaming_is_there_from_then_on(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    capture.start()
    capture.until_streaming()

    postgres_database.execute(
        "INSERT INTO t VALUES (2)",
        "ALTER TABLE t ADD COLUMN v text NOT NULL DEFAULT 'd'",
        "INSERT INTO t VALUES (3, 'e')",
        "ALTER TABLE t DROP COLUMN v",
        "INSERT INTO t VALUES (4)",
    )
    capture.until_current()

    assert [tuple(event.after) for event in capture.events if event.after] == [
        (1,),
        (2,),
        (3, "e"),
        (4,),
    ]
    assert [[column.name for column in event.table.columns] for event in capture.events] == [
        ["id"],
        ["id"],
        ["id", "v"],
        ["id"],
    ]


def test_rows_of_a_table_that_was_dropped_since_are_still_captured(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE TABLE u (id int PRIMARY KEY)"
    )
    capture.start()
    capture.until_streaming()
    capture.crash()

    postgres_database.execute("INSERT INTO t VALUES (1, 'a')", "DROP TABLE t")
    capture.start()
    capture.until_current()

    assert [tuple(event.after) for event in capture.events if event.after] == [(1, "a")]


def test_equal_structures_are_one_object(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    capture.start()
    capture.until_streaming()

    for number in range(3):
        # A new statistics target makes the server send the relation again.
        postgres_database.execute(
            f"INSERT INTO t VALUES ({number}, 'x')",
            f"ALTER TABLE t ALTER v SET STATISTICS {number + 10}",
        )
    capture.until_current()

    assert len(capture.events) == 3
    assert len({id(event.table) for event in capture.events}) == 1


HOSTILE_SETTINGS = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "America/New_York",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "lc_monetary": "C",
    "statement_timeout": "1ms",
    "default_transaction_read_only": "on",
    "search_path": "trap",
}


def test_settings_of_role_and_database_do_not_change_values(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    values = (
        "1, '2026-03-04', '2026-03-04 05:06:07.89+00', '2026-03-04 05:06:07',"
        " '1 year 2 days 03:04:05', 0.1::float8 + 0.2::float8, '\\x00ff61'"
    )
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, d date, tz timestamptz, ts timestamp, i interval,"
        " f float8, b bytea)",
        f"INSERT INTO t VALUES ({values})",
    )
    role, password = postgres_database.create_role("LOGIN SUPERUSER")
    # In one session, which the settings do not reach any more.
    postgres_database.execute(
        *(
            f"ALTER {whose} SET {setting} = '{value}'"
            for setting, value in HOSTILE_SETTINGS.items()
            for whose in (f"ROLE {role}", f"DATABASE {postgres_database.name}")
        )
    )
    with Capture(
        postgres_database.url_of(role, password), tmp_path, tables=["public.t"]
    ) as capture:
        capture.until_streaming()

        with postgres_database.connect() as writer:
            writer.execute("SET default_transaction_read_only = off")
            writer.execute("SET statement_timeout = 0")
            writer.execute(f"INSERT INTO public.t VALUES (2{values[1:]})".encode())
        capture.until_current()

    rows = [tuple(event.after) for event in capture.events if event.after]
    assert rows[0][1:4] == (20516, 1772600767890000, 1772600767000000)
    assert rows[0][4:] == ((12, 2, 11045000000), 0.1 + 0.2, b"\x00\xffa")
    assert rows[0][1:] == rows[1][1:]


def test_transactions_are_numbered_by_the_end_of_the_one_before(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    capture.start()
    capture.until_streaming()

    postgres_database.execute("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2), (3)")
    capture.until_current()
    ends = json.loads(position_of(capture.checkpoint))["prior_commit"]
    capture.restart()
    postgres_database.execute("INSERT INTO t VALUES (4)")
    capture.until_current()

    transactions = [event.transaction for event in capture.events]
    assert transactions[1] is transactions[2]
    prior = [transaction.prior_position for transaction in transactions if transaction]
    assert prior[0] is None
    assert capture.events[0].position < (prior[1] or 0) <= capture.events[1].position
    assert ends == f"{(prior[3] or 0) >> 32:X}/{(prior[3] or 0) & 0xFFFFFFFF:X}"


def position_of(checkpoint: Checkpoint | None) -> bytes:
    assert checkpoint is not None
    part = checkpoint.parts["position"]
    assert part is not None
    return part
