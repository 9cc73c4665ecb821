"""Transforms in order, bound once to each structure."""

from dataclasses import replace

import pytest

from cdc.chain import Chain, Change
from cdc.errors import ConfigError
from cdc.event import ChangeEvent, Transaction
from cdc.rowless import begin_event, message_event, rowless_table
from cdc.schema import Column, Int64, String, TableSchema

ORDERS = TableSchema(
    "d", "public", "orders", (Column("id", Int64()), Column("note", String())), (0,)
)
USERS = replace(ORDERS, table="users")
PLAIN = replace(ORDERS, columns=ORDERS.columns[:1])


def event(table: TableSchema, *row: object) -> ChangeEvent:
    return ChangeEvent("c", table, None, row, None)


class DropNote:
    """Leaves out `note` of orders; remembers what it was bound to."""

    def __init__(self) -> None:
        self.bound: list[TableSchema] = []

    def bind(self, table: TableSchema) -> Change | None:
        self.bound.append(table)
        if table.table != "orders":
            return None
        return lambda one: one.with_rows(PLAIN, None, tuple(one.after or ())[:1])


class OnlyEven:
    """Drops rows with an odd id, of orders."""

    def __init__(self) -> None:
        self.bound: list[TableSchema] = []

    def bind(self, table: TableSchema) -> Change | None:
        self.bound.append(table)
        if table.table != "orders":
            return None
        return lambda one: None if one.after is None or hash(one.after[0]) % 2 else one


class Refuses:
    def bind(self, table: TableSchema) -> Change | None:
        raise ConfigError("not with this table")


def test_without_transforms_the_same_list_comes_back() -> None:
    events = [event(ORDERS, 1, "a")]

    assert Chain([]).apply(events) is events


def test_a_structure_that_nobody_touches_is_bound_once_and_passes() -> None:
    transform = DropNote()
    chain = Chain([transform])
    events = [event(USERS, 1, "a"), event(USERS, 2, "b")]

    passed = chain.apply(events)

    assert events == passed
    assert transform.bound == [USERS]


def test_the_second_transform_sees_what_the_first_one_made() -> None:
    first, second = DropNote(), OnlyEven()
    chain = Chain([first, second])

    passed = chain.apply([event(ORDERS, 1, "a"), event(ORDERS, 2, "b"), event(ORDERS, 4, "c")])

    assert [one.after for one in passed] == [(2,), (4,)]
    assert first.bound == [ORDERS]
    assert second.bound == [PLAIN]


def test_events_of_touched_and_untouched_tables_keep_their_order() -> None:
    chain = Chain([OnlyEven()])

    passed = chain.apply([event(USERS, 1, "a"), event(ORDERS, 2, "b"), event(USERS, 3, "c")])

    assert [one.after[0] for one in passed if one.after is not None] == [1, 2, 3]


def test_a_touching_transform_behind_one_that_does_not_touch_is_applied() -> None:
    chain = Chain([OnlyEven(), DropNote()])

    passed = chain.apply([event(ORDERS, 2, "b")])

    assert [one.after for one in passed] == [(2,)]


def test_what_a_transform_refuses_is_raised() -> None:
    with pytest.raises(ConfigError, match="not with this table"):
        Chain([Refuses()]).apply([event(ORDERS, 1, "a")])


def test_a_transform_between_two_others_that_does_not_touch_changes_nothing() -> None:
    class Nothing:
        def bind(self, table: TableSchema) -> Change | None:
            return None

    chain = Chain([OnlyEven(), Nothing(), DropNote()])

    passed = chain.apply([event(ORDERS, 2, "b")])

    assert [one.after for one in passed] == [(2,)]


def test_events_that_are_no_rows_pass_and_no_transform_is_bound_to_them() -> None:
    events = [
        begin_event(rowless_table("d"), Transaction("1", 0), 5),
        event(ORDERS, 1, "a"),
        message_event(rowless_table("d"), "p", b"c", None, 0, 6),
    ]
    transform = OnlyEven()

    passed = Chain([transform]).apply(events)

    assert passed == [events[0], events[2]]
    assert transform.bound == [ORDERS]
