"""Resume behind any single change: recorded from a real server once, decoded from every point.

A restart for each of hundreds of points would take minutes. What the server sends depends only on
where it is asked to start, which the handful of real restarts shows.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from cdc.event import ChangeEvent
from connectors.postgres import copy_stream
from connectors.postgres.lsn import Lsn
from connectors.postgres.position import StreamPosition
from tests.integration.postgres_capture import Capture
from tests.lab.postgres_database import PostgresDatabase
from tests.unit.connectors.postgres import replies

pytestmark = pytest.mark.postgres

ROWS = 500


def write(database: PostgresDatabase) -> None:
    """One COPY of rows that share places in the log, and everything that may be around it."""
    with database.connect() as writer, writer.transaction():
        writer.execute("SELECT pg_logical_emit_message(true, 'p', 'first')")
        writer.execute("SELECT pg_logical_emit_message(false, 'p', 'before its begin')")
        with writer.cursor().copy("COPY t FROM STDIN") as copy:
            for number in range(ROWS):
                copy.write_row((number, f"row {number}"))
        writer.execute("UPDATE t SET v = 'x' WHERE id = 7")
        writer.execute("TRUNCATE u, t")
    database.execute("INSERT INTO u VALUES (1, 'behind')")


def until_events(capture: Capture, count: int) -> None:
    """Poll until at least so many events have come."""
    capture.until(lambda: len(capture.events) >= count)


def facts(events: Sequence[ChangeEvent]) -> list[tuple[object, ...]]:
    return [
        (
            event.op,
            event.table.table,
            tuple(event.after or ()),
            event.ordinal,
            event.position,
            None if event.transaction is None else event.transaction.id,
        )
        for event in events
    ]


def recorded(
    database: PostgresDatabase, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[bytes]:
    """Every message that the server sent of what was written."""
    sent: list[bytes] = []
    read = copy_stream.CopyStream.read

    def reading(
        self: copy_stream.CopyStream, timeout_s: float, messages_max: int, bytes_max: int
    ) -> list[bytes]:
        lot = read(self, timeout_s, messages_max, bytes_max)
        sent.extend(lot)
        return lot

    with Capture(database.url, folder) as capture:
        capture.until_streaming()
        monkeypatch.setattr(copy_stream.CopyStream, "read", reading)
        write(database)
        capture.until_current()
        monkeypatch.undo()
    # Where the server is in between depends on the moment, not on what is written.
    return [payload for payload in sent if payload[:1] == b"w"]


def test_resume_behind_any_row_of_a_copy_gives_each_change_once(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE TABLE u (id int PRIMARY KEY, v text)"
    )
    sent = recorded(postgres_database, tmp_path, monkeypatch)
    start = StreamPosition(Lsn(1))
    whole = facts(replies.fed(replies.assembler(start), sent))
    assert len(whole) == ROWS + 6
    assert len({place for _, _, _, _, place, _ in whole}) < ROWS

    first, before = replies.assembler(start), list[tuple[object, ...]]()
    for payload in sent:
        before += facts(replies.fed(first, [payload]))
        stored = StreamPosition.of(first.position.content())
        behind = replies.fed(replies.assembler(stored), sent)

        assert whole == before + facts(behind), f"behind {len(before)} changes"


def test_real_restarts_inside_a_copy_give_each_change_once(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lots of one message: between Begin and the first row, behind rows, and on the Commit."""
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE TABLE u (id int PRIMARY KEY, v text)"
    )
    monkeypatch.setattr("connectors.postgres.replication.LOT_MESSAGES_MAX", 1)
    with Capture(postgres_database.url, tmp_path) as capture:
        capture.until_streaming()
        write(postgres_database)
        for events in (1, 2, 3, 150, ROWS + 2, ROWS + 5):
            until_events(capture, events)
            capture.restart()
        capture.until_current()

        assert [
            ("m", b"before its begin"),
            ("m", b"first"),
            *(("c", f"row {number}") for number in range(ROWS)),
            ("u", "x"),
            ("t", None),
            ("t", None),
            ("c", "behind"),
        ] == [(event.op, event.after[1] if event.after else None) for event in capture.events]
