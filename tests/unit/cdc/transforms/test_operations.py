"""Which changes are left out by their operation, or because they change nothing."""

import pytest

from cdc.event import (
    FORM_INTEGER,
    FORM_TEXT,
    UNCHANGED,
    ChangeEvent,
    RawRow,
    Row,
    RowLayout,
    Transaction,
)
from cdc.schema import Column, Int64, String, TableSchema
from cdc.transforms.operations import Operations, is_unchanged

TABLE = TableSchema("d", "public", "t", (Column("id", Int64()), Column("v", String())), (0,))
LAYOUT = RowLayout((int, bytes.decode), (FORM_INTEGER, FORM_TEXT))
OTHER_LAYOUT = RowLayout((int, bytes.decode), (FORM_INTEGER, FORM_TEXT))


def event(op: str, before: Row | None = None, after: Row | None = None) -> ChangeEvent:
    return ChangeEvent(op, TABLE, before, after, Transaction("1", 0))


def kept(transform: Operations, *events: ChangeEvent) -> list[ChangeEvent]:
    change = transform.bind(TABLE)
    assert change is not None
    return [one for one in events if change(one) is not None]


def test_skipped_operations_are_left_out_and_no_others() -> None:
    events = [event(op, (1, "a"), (1, "b")) for op in "rcudt"]

    passed = kept(Operations(("d", "t"), skip_unchanged=False), *events)

    assert [one.op for one in passed] == ["r", "c", "u"]


def test_update_that_changes_nothing_is_left_out_and_no_other_change() -> None:
    same = [event(op, (1, "a"), (1, "a")) for op in "rcudt"]
    changed = event("u", (1, "a"), (1, "b"))

    passed = kept(Operations((), skip_unchanged=True), *same, changed)

    assert [one.op for one in passed] == ["r", "c", "d", "t", "u"]


@pytest.mark.parametrize(
    ("before", "after", "unchanged"),
    [
        ((1, None), (1, None), True),
        ((1, "a"), (1, None), False),
        (None, (1, "a"), False),
        ((1, UNCHANGED), (1, UNCHANGED), False),
        (RawRow(LAYOUT, [b"1", b"a"]), RawRow(LAYOUT, [b"1", b"a"]), True),
        (RawRow(LAYOUT, [b"1", b"a"]), RawRow(LAYOUT, [b"1", b"b"]), False),
        (RawRow(LAYOUT, [b"1", UNCHANGED]), RawRow(LAYOUT, [b"1", UNCHANGED]), False),
        (RawRow(LAYOUT, [b"1", b"a"]), RawRow(OTHER_LAYOUT, [b"1", b"a"]), True),
    ],
)
def test_only_whole_and_equal_rows_are_unchanged(
    before: Row | None, after: Row | None, unchanged: bool
) -> None:
    assert unchanged is is_unchanged(before, after)
