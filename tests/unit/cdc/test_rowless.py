"""Events that are no rows, and what they say."""

from cdc.event import Transaction
from cdc.rowless import (
    begin_event,
    end_event,
    heartbeat_event,
    is_rowless,
    message_event,
    rowless_table,
    structure_event,
)
from cdc.schema import Column, Int64, TableSchema

TABLE = TableSchema("shop", "public", "products", (Column("id", Int64()),), (0,))


def test_events_that_are_no_rows_say_where_they_are() -> None:
    standing_in = rowless_table("depot")
    transaction = Transaction("9", 1_000, xid=9)

    made = [
        message_event(standing_in, "audit", b"text", transaction, 3, 77),
        message_event(standing_in, "", b"", None, 0, 78),
        begin_event(standing_in, transaction, 70),
        end_event(standing_in, transaction, 4, 90),
        structure_event(standing_in, None, TABLE, transaction, 60),
        structure_event(standing_in, TABLE, None, None, 61),
        heartbeat_event(standing_in),
    ]

    assert [
        ("m", None, ("audit", b"text"), transaction, 3, 77),
        ("m", None, ("", b""), None, 0, 78),
        ("b", None, None, transaction, 0, 70),
        ("e", None, None, transaction, 4, 90),
        ("s", None, (TABLE,), transaction, 0, 60),
        ("s", (TABLE,), None, None, 0, 61),
        ("h", None, None, None, 0, 0),
    ] == [(e.op, e.before, e.after, e.transaction, e.ordinal, e.position) for e in made]
    assert all(is_rowless(e.table) and e.snapshot is None for e in made)
    assert not is_rowless(TABLE)
