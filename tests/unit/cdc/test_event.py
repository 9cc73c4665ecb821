import pickle

import pytest

from cdc import schema
from cdc.checkpoint import Checkpoint
from cdc.event import (
    FORM_INTEGER,
    FORM_TEXT,
    UNCHANGED,
    Batch,
    ChangeEvent,
    RawRow,
    Record,
    RowLayout,
    Stored,
    Topic,
    Transaction,
)
from cdc.schema import Column, TableSchema

TABLE = TableSchema(
    "shop",
    "public",
    "products",
    (Column("id", schema.Int64()), Column("name", schema.String())),
    (0,),
)
LAYOUT = RowLayout((int, bytes.decode), (FORM_INTEGER, FORM_TEXT))


def test_raw_row_is_equal_to_the_tuple_of_its_values() -> None:
    row = RawRow(LAYOUT, [b"7", b"Lamp"])

    assert row == (7, "Lamp")
    assert row == RawRow(LAYOUT, [b"07", b"Lamp"])
    assert row != (7, "Lamp, blue")
    assert row != [7, "Lamp"]


def test_raw_row_behaves_as_a_sequence() -> None:
    row = RawRow(LAYOUT, [b"7", None])

    assert len(row) == 2
    assert row[0] == 7
    assert list(row) == [7, None]


def test_raw_row_keeps_null_apart_from_unchanged() -> None:
    row = RawRow(LAYOUT, [None, UNCHANGED])

    assert row[0] is None
    assert row[1] is UNCHANGED


def test_raw_row_cannot_be_hashed_like_the_tuple_it_equals() -> None:
    with pytest.raises(TypeError):
        hash(RawRow(LAYOUT, [b"7", None]))


def test_row_values_do_not_appear_in_a_text_form() -> None:
    event = ChangeEvent("c", TABLE, None, RawRow(LAYOUT, [b"7", b"secret"]), None, 2, 99)

    assert "secret" not in repr(event)
    assert "secret" not in repr(event.after)
    assert repr(event) == "<c of public.products at 99/2>"


def test_unchanged_is_one_object_in_every_process() -> None:
    assert pickle.loads(pickle.dumps(UNCHANGED)) is UNCHANGED
    assert repr(UNCHANGED) == "UNCHANGED"


def test_event_with_other_rows_keeps_everything_else() -> None:
    transaction = Transaction("9", 1_000, xid=9, prior_position=5, origin="o", origin_position=6)
    event = ChangeEvent("u", TABLE, (1, "a"), (1, "b"), transaction, 3, 77, "first", 12)

    changed = event.with_rows(TABLE, None, (1, "x"))

    assert (changed.before, changed.after) == (None, (1, "x"))
    assert [
        (e.op, e.table, e.transaction, e.ordinal, e.position, e.snapshot, e.sequence)
        for e in (event,)
    ] == [
        (e.op, e.table, e.transaction, e.ordinal, e.position, e.snapshot, e.sequence)
        for e in (changed,)
    ]


def test_header_holds_sequence_and_mark_before_the_others() -> None:
    record = Record(Topic("t", compacted=True), b"k", b"v", b".00ff", (("h", b"1"),))

    record.sequence = 42

    assert record.all_headers() == [("cdc", b"42.00ff"), ("h", b"1")]


def test_record_that_is_no_row_carries_no_header_of_ours() -> None:
    record = Record(Topic("schemas", compacted=True, internal=True), b"k", b"v")

    assert record.all_headers() == []


def test_batch_and_stored_hold_what_they_were_given() -> None:
    batch = Batch([], Checkpoint({}), None, 10, ("m",))
    stored = Stored("t", 1, 2, None, None, (), 3)

    assert (batch.events, batch.size_bytes, batch.marks) == ([], 10, ("m",))
    assert (stored.topic, stored.partition, stored.offset, stored.timestamp_us) == ("t", 1, 2, 3)
