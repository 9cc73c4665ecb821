"""Logical decoding messages, origins and prepared transactions, on a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.event import Batch, ChangeEvent
from connectors.postgres.emission import HEARTBEAT_PREFIX
from tests.integration.postgres_capture import Capture
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

TABLES = (
    "CREATE TABLE t (id int PRIMARY KEY, v text)",
    "CREATE TABLE u (id int PRIMARY KEY, v text)",
)
# More than the lab's servers keep in memory for decoding, so that they stream it.
LARGE = "INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 12000) g"


@pytest.fixture
def capture(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[Capture]:
    """A source of two tables that streams."""
    postgres_database.execute(*TABLES)
    made = Capture(postgres_database.url, tmp_path)
    made.start()
    made.until_streaming()
    yield made
    made.close()


def emit(prefix: str, content: str, *, transactional: bool) -> str:
    """The statement that writes a message."""
    return f"SELECT pg_logical_emit_message({transactional}, '{prefix}', '{content}')"


def told(events: list[ChangeEvent]) -> list[tuple[object, ...]]:
    """What an event says: prefix and content of a message, table and key of a row."""
    return [
        (*(event.after or ()),)
        if event.op == "m"
        else (event.table.table, (event.after or (0,))[0])
        for event in events
    ]


def unacknowledged(capture: Capture, count: int) -> list[Batch]:
    """Batches with so many events, which the server keeps for whoever asks again."""
    batches: list[Batch] = []
    while sum(len(batch.events) for batch in batches) < count:
        batch = capture.source.poll(5.0)
        assert batch is not None
        batches.append(batch)
    return batches


def test_messages_come_in_the_order_of_the_log(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    """One outside of its transaction comes before it, and also when that is rolled back."""
    with postgres_database.connect() as writer:
        with writer.transaction():
            writer.execute("INSERT INTO t VALUES (1, 'a')")
            writer.execute(emit("inside", "a", transactional=True).encode())
            writer.execute(emit("outside", "b", transactional=False).encode())
            writer.execute("INSERT INTO t VALUES (2, 'a')")
        with writer.transaction(force_rollback=True):
            writer.execute(emit("inside", "never", transactional=True).encode())
            writer.execute(emit("outside", "c", transactional=False).encode())
        writer.execute(emit("inside", "alone", transactional=True).encode())
    capture.until_current()

    assert told(capture.events) == [
        ("outside", b"b"),
        ("t", 1),
        ("inside", b"a"),
        ("t", 2),
        ("outside", b"c"),
        ("inside", b"alone"),
    ]
    assert [event.ordinal for event in capture.events] == [0, 0, 1, 2, 0, 0]
    assert [event.transaction is None for event in capture.events] == [
        True,
        False,
        False,
        False,
        True,
        False,
    ]


def test_only_wanted_messages_come_and_our_own_never_do(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(*TABLES)
    with Capture(
        postgres_database.url,
        tmp_path,
        messages=["app.*", "job"],
        exclude_messages=["app.debug"],
    ) as capture:
        capture.until_streaming()
        for prefix in ("app.a", "app.debug", "job", "jobs", HEARTBEAT_PREFIX):
            for transactional in (True, False):
                postgres_database.execute(emit(prefix, "x", transactional=transactional))
        capture.until_current()

        assert told(capture.events) == [("app.a", b"x")] * 2 + [("job", b"x")] * 2


def test_heartbeat_message_moves_the_position(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    before = capture.source.progress().position

    postgres_database.execute(emit(HEARTBEAT_PREFIX, "", transactional=True))
    capture.until_current()

    assert before != capture.source.progress().position
    assert capture.events == []


def test_resume_behind_every_batch_gives_every_message_once(
    postgres_database: PostgresDatabase, capture: Capture, tmp_path: Path
) -> None:
    """Between transactions, inside, before the begin of the one around, and beside a large one."""
    checkpoint = capture.checkpoint
    assert checkpoint is not None
    with postgres_database.connect() as writer:
        for number in range(3):
            with writer.transaction():
                writer.execute("INSERT INTO u VALUES (%s, 'a')", (number,))
                writer.execute(emit("outside", f"a{number}", transactional=False).encode())
                writer.execute(emit("inside", f"b{number}", transactional=True).encode())
            # So that what is written is also flushed, and comes in a batch of its own.
            capture.source.keepalive()
        with writer.transaction():
            writer.execute(LARGE.encode())
            postgres_database.execute(emit("outside", "c", transactional=False))
            writer.execute(emit("inside", "d", transactional=True).encode())
        postgres_database.execute(emit("outside", "e", transactional=False))
        writer.execute("INSERT INTO u VALUES (3, 'a')")
    batches = unacknowledged(capture, 12_013)
    expected = told([event for batch in batches for event in batch.events])
    capture.crash()

    before = 0
    for batch in batches:
        checkpoint = checkpoint.merged(batch.checkpoint)
        before += len(batch.events)
        again = Capture(postgres_database.url, tmp_path)
        again.checkpoint = checkpoint
        with again:
            rest = unacknowledged(again, len(expected) - before)
        assert expected[before:] == told([event for one in rest for event in one.events])


# --- origins --------------------------------------------------------------------------------------


def test_origin_is_told_of_transactions_of_any_size(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    """The place at the origin is written at the commit: a streamed transaction does not have it."""
    with postgres_database.connect() as writer:
        writer.execute("SELECT pg_replication_origin_create('upstream')")
        try:
            writer.execute("SELECT pg_replication_origin_session_setup('upstream')")
            for statement in ("INSERT INTO u VALUES (1, 'a')", LARGE):
                with writer.transaction():
                    writer.execute(statement.encode())
                    writer.execute("SELECT pg_replication_origin_xact_setup('0/ABCDEF', now())")
            writer.execute("SELECT pg_replication_origin_session_reset()")
            writer.execute("INSERT INTO u VALUES (2, 'a')")
            capture.until_current()
        finally:
            writer.execute("SELECT pg_replication_origin_drop('upstream')")

    origins = {
        (event.table.table, event.transaction.origin, event.transaction.origin_position)
        for event in capture.events
        if event.transaction is not None
    }
    assert {("u", "upstream", 0xABCDEF), ("t", "upstream", None), ("u", None, None)} == origins


# --- prepared transactions ------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", ["nothing", "source", "server"])
def test_prepared_transactions_come_whole_at_their_commit_and_never_when_rolled_back(
    tmp_path: Path, restarted: str
) -> None:
    with PostgresServer.start() as server, PostgresDatabase(server) as database:
        database.execute(*TABLES)
        with Capture(database.url, tmp_path) as capture:
            capture.until_streaming()
            with database.connect() as writer:
                for name, statement in (
                    ("small", "INSERT INTO u VALUES (1, 'a'), (2, 'b')"),
                    ("large", LARGE),
                    ("never", "INSERT INTO u SELECT g, 'x' FROM generate_series(10, 12000) g"),
                ):
                    writer.execute("BEGIN")
                    writer.execute(statement.encode())
                    writer.execute(f"PREPARE TRANSACTION '{name}'".encode())
            database.execute("INSERT INTO u VALUES (3, 'meanwhile')")
            capture.until_current()
            assert told(capture.events) == [("u", 3)]

            if restarted == "server":
                server.stop("immediate")
                server.start_again()
            if restarted != "nothing":
                capture.restart()
            database.execute(
                "COMMIT PREPARED 'large'", "ROLLBACK PREPARED 'never'", "COMMIT PREPARED 'small'"
            )
            capture.until_current()

    rows = [("t", number) for number in range(1, 12_001)]
    assert [("u", 3), *rows, ("u", 1), ("u", 2)] == told(capture.events)
