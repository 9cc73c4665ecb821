"""Transactions that the server sends while they are in progress, on a real server."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.errors import StorageFull
from cdc.event import Batch, ChangeEvent
from cdc.protocols import OpenTransactions
from cdc.schema import Enum
from tests.integration.postgres_capture import Capture
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

TABLES = (
    "CREATE TABLE t (id int PRIMARY KEY, v text)",
    "CREATE TABLE u (id int PRIMARY KEY, v text)",
)
MEMORY_BYTES = 1 << 16
# More than the lab's servers keep in memory for decoding, so that they stream it.
ROWS = 12_000


def rows(table: str, first: int = 1, last: int = ROWS) -> bytes:
    """A statement that inserts them."""
    return (
        f"INSERT INTO {table} SELECT g, repeat('x', 100) FROM generate_series({first}, {last}) g"
    ).encode()


@pytest.fixture
def capture(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[Capture]:
    """A source of two tables that streams, and keeps next to nothing in memory."""
    postgres_database.execute(*TABLES)
    made = Capture(postgres_database.url, tmp_path, transaction_memory_bytes=MEMORY_BYTES)
    made.start()
    made.until_streaming()
    yield made
    made.close()


def files(capture: Capture) -> list[Path]:
    """What is spilled now."""
    return sorted((capture.context.state_dir / "in-progress").glob("*"))


def kept(capture: Capture) -> OpenTransactions:
    """What the source says that it keeps."""
    return capture.source.progress().open_transactions or OpenTransactions(0, 0, 0)


def until_events(capture: Capture, count: int) -> None:
    """Poll until so many events have come."""
    capture.until(lambda: len(capture.events) == count)


def places(events: list[ChangeEvent]) -> list[tuple[str, str, object, int]]:
    """Operation, table, key and ordinal of each change."""
    return [
        (event.op, event.table.table, event.after[0] if event.after else None, event.ordinal)
        for event in events
    ]


def inserts(table: str, last: int = ROWS) -> list[tuple[str, str, object, int]]:
    """The places of rows 1 to `last`, inserted by one transaction and nothing else in it."""
    return [("c", table, number, number - 1) for number in range(1, last + 1)]


def statistics(database: PostgresDatabase) -> tuple[int, int]:
    """How many transactions the server spilled, and how many it streamed, for our slot."""
    with database.connect() as connection:
        found = connection.execute(
            "SELECT spill_txns, stream_txns FROM pg_stat_replication_slots s"
            " JOIN pg_replication_slots USING (slot_name) WHERE database = current_database()"
        ).fetchone()
    assert found is not None
    return found[0], found[1]


def test_transaction_in_progress_comes_whole_at_its_commit_and_leaves_no_file(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    with postgres_database.connect() as writer, writer.transaction():
        writer.execute(rows("t"))
        capture.until(lambda: kept(capture).spilled_bytes > 0)
        assert [file.stat().st_mode & 0o777 for file in files(capture)] == [0o600]
        assert files(capture)[0].parent.stat().st_mode & 0o777 == 0o700
        postgres_database.execute("INSERT INTO u VALUES (1, 'meanwhile')")
        capture.until(lambda: len(capture.events) == 1)
        assert kept(capture).count == 1
    capture.until_current()

    assert [("c", "u", 1, 0), *inserts("t")] == places(capture.events)
    assert OpenTransactions(0, 0, 0) == kept(capture)
    assert files(capture) == []


@pytest.mark.parametrize("streams", [True, False])
def test_server_does_not_spill_what_it_may_stream(
    postgres_database: PostgresDatabase, tmp_path: Path, streams: bool
) -> None:
    postgres_database.execute(*TABLES)
    with Capture(postgres_database.url, tmp_path, stream_transactions=streams) as capture:
        capture.until_streaming()
        postgres_database.execute(rows("t").decode())
        capture.until_current()

        assert inserts("t") == places(capture.events)
        # Statistics are sent after the transaction that they are about.
        capture.until(lambda: sum(statistics(postgres_database)) > 0)
        assert ((0, 1) if streams else (1, 0)) == statistics(postgres_database)


def test_rolled_back_transaction_leaves_nothing(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    with postgres_database.connect() as writer:
        with writer.transaction(force_rollback=True):
            writer.execute(rows("t"))
            capture.until(lambda: kept(capture).spilled_bytes > 0)
        # The server notices while it reads on.
        postgres_database.execute("INSERT INTO u VALUES (1, 'behind')")
        capture.until_current()

    assert places(capture.events) == [("c", "u", 1, 0)]
    assert (kept(capture).count, files(capture)) == (0, [])


def test_rolled_back_savepoints_are_cut_out(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    """Judge: test_decoding on a slot of its own."""
    postgres_database.execute("SELECT pg_create_logical_replication_slot('judge', 'test_decoding')")
    with postgres_database.connect() as writer, writer.transaction():
        writer.execute(rows("t", 1, 9_000))
        with writer.transaction(force_rollback=True):
            writer.execute(rows("u", 1, 9_000))
            with writer.transaction():
                writer.execute(rows("t", 9_001, 18_000))
            writer.execute(rows("u", 9_001, 9_010))
        with writer.transaction():
            writer.execute(rows("u", 1, 9_000))
            with writer.transaction(force_rollback=True):
                writer.execute("DELETE FROM u")
            writer.execute("UPDATE u SET v = 'y' WHERE id <= 10")
        capture.until(lambda: kept(capture).spilled_bytes > 0)
        writer.execute(rows("t", 20_001, 20_010))
    capture.until_current()

    with postgres_database.connect() as judge:
        lines = judge.execute(
            "SELECT data FROM pg_logical_slot_get_changes('judge', NULL, NULL)"
            " WHERE data LIKE 'table public.%'"
        ).fetchall()
    seen = [line.partition(" v[text]")[0] for (line,) in lines]
    letters = {"c": "INSERT", "u": "UPDATE"}
    assert seen == [
        f"table public.{table}: {letters[op]}: id[integer]:{key}"
        for op, table, key, _ in places(capture.events)
    ]
    assert list(range(len(seen))) == [event.ordinal for event in capture.events]


def test_memory_is_bounded_over_all_transactions(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    """What one read brings comes on top of the bound: it is kept before it is written to a file."""
    most = 0
    writers = [postgres_database.connect() for _ in range(4)]
    try:
        for turn in range(4):
            for number, writer in enumerate(writers):
                writer.execute("BEGIN" if turn == 0 else "SELECT")
                first = 1 + 100_000 * number + 5_000 * turn
                writer.execute(rows("t", first, first + 4_999))
                for _ in range(20):
                    capture.poll(0.01)
                    most = max(most, kept(capture).memory_bytes)
        assert (kept(capture).count, len(files(capture))) == (4, 4)
        for writer in reversed(writers):
            writer.execute("COMMIT")
        capture.until_current()
    finally:
        for writer in writers:
            writer.close()

    assert 0 < most <= MEMORY_BYTES
    assert [number for number in (3, 2, 1, 0) for _ in range(20_000)] == [
        key // 100_000 for _, _, key, _ in places(capture.events) if isinstance(key, int)
    ]


# --- restarts -------------------------------------------------------------------------------------


def test_restart_while_a_transaction_is_in_progress_repeats_and_loses_nothing(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    with postgres_database.connect() as writer, writer.transaction():
        for part in range(4):
            writer.execute(rows("t", 1 + 6_000 * part, 6_000 * (part + 1)))
            capture.until(lambda: kept(capture).spilled_bytes > 0)
            postgres_database.execute(f"INSERT INTO u VALUES ({part}, 'meanwhile')")
            until_events(capture, part + 1)
            capture.restart()
            assert files(capture) == []
    capture.until_current()

    assert [("c", "u", part, 0) for part in range(4)] == places(capture.events[:4])
    assert inserts("t", 24_000) == places(capture.events[4:])


def test_restart_while_a_large_transaction_is_written_repeats_and_loses_nothing(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute(rows("t").decode(), "INSERT INTO u VALUES (1, 'behind')")

    crashes = 0
    while len(capture.events) < ROWS + 1:
        batch = capture.poll(5.0)
        if batch is not None and batch.events and crashes < 5:
            lost = capture.source.poll(5.0)
            assert lost is not None
            capture.restart()
            crashes += 1

    assert crashes == 5
    assert [*inserts("t"), ("c", "u", 1, 0)] == places(capture.events)
    assert files(capture) == []


def test_savepoint_whose_rollback_the_server_does_not_tell_is_left_out(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    """Changes that the server has in a file of its own are streamed and then never aborted."""
    with postgres_database.connect() as writer, writer.transaction():
        writer.execute("INSERT INTO u VALUES (1, 'a')")
        with writer.transaction(force_rollback=True):
            writer.execute(rows("t"))
            # The place to resume from is behind these rows, but their transaction is not done.
            postgres_database.execute("INSERT INTO u VALUES (2, 'a')")
            until_events(capture, 1)
            capture.restart()
            writer.execute(rows("t", ROWS + 1, ROWS + 1000))
            postgres_database.execute("INSERT INTO u VALUES (3, 'a')")
            until_events(capture, 2)
        writer.execute("INSERT INTO t VALUES (4, 'a')")
    capture.until_current()

    assert places(capture.events) == [
        ("c", "u", 2, 0),
        ("c", "u", 3, 0),
        ("c", "u", 1, 0),
        ("c", "t", 4, 1),
    ]


def test_transaction_begun_as_streamed_goes_on_as_plain_and_back(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    """The count of what is in the log must mean the same in both forms."""
    postgres_database.execute(
        "BEGIN; INSERT INTO u VALUES (1, 'a');"
        f"{rows('t').decode()}; SELECT pg_logical_emit_message(true, 'p', 'inside');"
        "SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; TRUNCATE u; COMMIT"
    )

    def change_form(streams: bool) -> None:
        capture.config = capture.config.model_copy(update={"stream_transactions": streams})
        capture.restart()

    capture.until(lambda: len(capture.events) > 0)
    change_form(streams=False)
    capture.until(lambda: len(capture.events) > ROWS // 2)
    change_form(streams=True)
    capture.until_current()

    expected: list[tuple[str, str, object, int]] = [("c", "u", 1, 0)]
    expected += [("c", "t", number, number) for number in range(1, ROWS + 1)]
    expected += [("m", "", "p", ROWS + 1), ("t", "u", None, ROWS + 2)]
    assert expected == places(capture.events)


def test_files_of_a_killed_process_are_removed_at_the_next_start(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    capture.crash()
    folder = capture.context.state_dir / "in-progress"
    folder.mkdir(exist_ok=True)
    (folder / "731.transaction").write_bytes(b"left behind")

    capture.start()
    capture.until_current()

    assert files(capture) == []


# --- room -----------------------------------------------------------------------------------------


def full(capture: Capture) -> StorageFull:
    """The error with which the source says that there is no room."""
    with pytest.raises(StorageFull) as refused:
        capture.until(lambda: False)
    return refused.value


def test_bound_of_the_files_is_named_and_nothing_is_lost(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(*TABLES)
    capture = Capture(
        postgres_database.url,
        tmp_path,
        transaction_memory_bytes=MEMORY_BYTES,
        spill_bytes_max=1 << 20,
    ).start()
    capture.until_streaming()
    with postgres_database.connect() as writer:
        with writer.transaction(force_rollback=True):
            writer.execute(rows("t"))

            error = full(capture)
            capture.crash()
            left = files(capture)
        with writer.transaction():
            writer.execute(rows("u", 1, 2))
    capture.start()
    capture.until_current()
    capture.close()

    assert "more than 1048576 bytes of files" in str(error)
    assert "spill_bytes_max" in error.hint
    assert error.retriable
    assert left == []
    assert inserts("u", 2) == places(capture.events)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount: run the tests as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_is_named_and_the_transaction_is_read_again(
    postgres_database: PostgresDatabase, small_disk: Path
) -> None:
    postgres_database.execute(*TABLES)
    capture = Capture(
        postgres_database.url, small_disk, transaction_memory_bytes=MEMORY_BYTES
    ).start()
    capture.until_streaming()
    postgres_database.execute(rows("t").decode())

    error = full(capture)
    capture.crash()
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    capture.start()
    capture.until_current()
    capture.close()

    assert "no room for a transaction in progress" in str(error)
    assert "Free space under state_dir" in error.hint
    assert inserts("t") == places(capture.events)


# --- time -----------------------------------------------------------------------------------------


def test_log_that_stalls_in_a_large_transaction_does_not_lose_the_connection(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    """The server gives up whoever says nothing for two seconds; the log takes nothing for six."""
    postgres_database.execute(
        *TABLES,
        f"ALTER DATABASE {postgres_database.name} SET wal_sender_timeout = '2s'",
    )
    with Capture(
        postgres_database.url,
        tmp_path,
        transaction_memory_bytes=MEMORY_BYTES,
        status_interval_s=0.5,
    ) as capture:
        capture.until_streaming()
        walsender = (
            "SELECT active_pid FROM pg_replication_slots WHERE database = current_database()"
        )
        with postgres_database.connect() as judge:
            before = judge.execute(walsender).fetchone()
            # More than the sockets between us hold.
            judge.execute(rows("t"))
            judge.execute(rows("u", 1, 60_000))
            capture.until(lambda: len(capture.events) > 0)
            for _ in range(60):
                capture.source.keepalive()
                judge.execute("SELECT pg_sleep(0.1)")
            capture.until_current()

            assert before == judge.execute(walsender).fetchone()
    assert [*inserts("t"), *inserts("u", 60_000)] == places(capture.events)


def batches_of(capture: Capture, events: int) -> list[Batch]:
    """Batches that are neither acknowledged nor committed, up to so many events."""
    batches: list[Batch] = []
    while sum(len(batch.events) for batch in batches) < events:
        batch = capture.source.poll(5.0)
        assert batch is not None
        batches.append(batch)
    return batches


def test_resume_behind_every_batch_of_a_large_transaction(
    postgres_database: PostgresDatabase, capture: Capture, tmp_path: Path
) -> None:
    first = capture.checkpoint
    assert first is not None
    postgres_database.execute(rows("t").decode(), "INSERT INTO u VALUES (1, 'behind')")
    batches = batches_of(capture, ROWS + 1)
    expected = places([event for batch in batches for event in batch.events])
    capture.crash()

    checkpoint, before = first, 0
    for batch in batches:
        checkpoint = checkpoint.merged(batch.checkpoint)
        before += len(batch.events)
        again = Capture(postgres_database.url, tmp_path)
        again.checkpoint = checkpoint
        with again:
            rest = batches_of(again, len(expected) - before)
        assert expected[before:] == places([event for one in rest for event in one.events])


def test_label_that_is_added_behind_a_streamed_transaction_is_known_from_its_first_row_on(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    """The description of the table that holds afterwards is not the one that was read last."""
    postgres_database.execute(
        "CREATE TYPE mood AS ENUM ('a', 'b')",
        "CREATE TABLE e (id int PRIMARY KEY, m mood, v text)",
    )
    capture.until_current()

    with postgres_database.connect() as writer, writer.transaction():
        writer.execute(
            f"INSERT INTO e SELECT g, 'a', repeat('x', 100) FROM generate_series(1, {ROWS}) g"
        )
        capture.until(lambda: kept(capture).spilled_bytes > 0)
        postgres_database.execute("INSERT INTO e VALUES (0, 'a')")
        capture.until(lambda: bool(capture.events))
    capture.until_current()
    postgres_database.execute("ALTER TYPE mood ADD VALUE 'c'")
    for number in (1, 2):
        postgres_database.execute(f"INSERT INTO e VALUES ({-number}, 'c')")
        capture.until_current()

    kinds = [event.table.columns[1].type for event in capture.events]
    labels = [kind.labels for kind in kinds if isinstance(kind, Enum)]
    assert labels == [("a", "b")] * (ROWS + 1) + [("a", "b", "c")] * 2
