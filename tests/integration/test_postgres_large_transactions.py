"""Transactions that the server sends while they are in progress, on a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.event import ChangeEvent
from tests.integration.postgres_capture import Capture
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

TABLES = (
    "CREATE TABLE t (id int PRIMARY KEY, v text)",
    "CREATE TABLE u (id int PRIMARY KEY, v text)",
)
# Twice the memory that the lab's servers give to decoding, so that they stream it.
LARGE = "INSERT INTO {} SELECT g, repeat('x', 100) FROM generate_series({}, {}) g"
ROWS = 12_000


def large(table: str, first: int = 1, last: int = ROWS) -> bytes:
    """A statement whose changes are more than the server keeps in memory."""
    return LARGE.format(table, first, last).encode()


@pytest.fixture
def capture(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[Capture]:
    """A source with two tables that streams, and keeps next to nothing in memory."""
    postgres_database.execute(*TABLES)
    made = Capture(postgres_database.url, tmp_path, transaction_memory_bytes=1 << 16)
    made.start()
    made.until_streaming()
    yield made
    made.close()


def files(capture: Capture) -> list[Path]:
    """What is spilled now."""
    return sorted((capture.context.state_dir / "in-progress").glob("*"))


def places(events: list[ChangeEvent]) -> list[tuple[str, str, object, int]]:
    """Operation, table, key and ordinal of each change."""
    return [
        (event.op, event.table.table, event.after[0] if event.after else None, event.ordinal)
        for event in events
    ]


def test_transaction_in_progress_comes_whole_at_its_commit_and_leaves_no_file(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    with postgres_database.connect() as writer, writer.transaction():
        writer.execute(large("t"))
        capture.until(lambda: bool(files(capture)))
        assert (len(files(capture)), files(capture)[0].stat().st_mode & 0o777) == (1, 0o600)
        assert files(capture)[0].parent.stat().st_mode & 0o777 == 0o700
        postgres_database.execute("INSERT INTO u VALUES (1, 'meanwhile')")
        capture.until(lambda: len(capture.events) == 1)
    capture.until_current()

    assert [("c", "u", 1, 0), *(("c", "t", number + 1, number) for number in range(ROWS))] == (
        places(capture.events)
    )
    assert files(capture) == []
