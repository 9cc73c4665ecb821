"""Counters of transactions, and which of them a restart goes on with."""

import pytest

from cdc.checkpoint import Checkpoint, encode_part
from cdc.errors import DecodeError
from cdc.orders import PART, Orders, StoredOrders, orders_of, resumed, split


def counted(transaction: str, *changes: tuple[str, int]) -> Orders:
    orders = Orders(transaction)
    for collection, ordinal in changes:
        orders.count(collection, ordinal)
    return orders


def committed(stored: StoredOrders, now: Orders | None) -> Checkpoint:
    change = stored.change(None if now is None else now.copy())
    stored.committed()
    return change


def test_changes_are_counted_in_all_and_by_collection() -> None:
    orders = Orders("7")

    places = [orders.count("t1", 0), orders.count("t2", 1), orders.count("t1", 3)]

    assert places == [(1, 1), (2, 1), (3, 2)]
    assert (orders.total, orders.collections, orders.ordinal) == (3, {"t1": 2, "t2": 1}, 3)


def test_counters_survive_as_content() -> None:
    orders = counted("7", ("t2", 0), ("t1", 4))

    again = orders_of(orders.content())

    assert again.content() == orders.content()
    assert list(again.collections) == ["t2", "t1"]
    assert again.is_same(orders)


@pytest.mark.parametrize(
    "part",
    [
        encode_part({"facts": 1}),
        encode_part({"facts": [{}]}),
        encode_part({"facts": [{"transaction": "1", "ordinal": 0, "total": 1, "collections": {}}]}),
    ],
)
def test_damaged_part_is_a_named_error(part: bytes) -> None:
    with pytest.raises(DecodeError, match="transaction"):
        StoredOrders(part)


def test_nothing_is_stored_outside_transactions() -> None:
    stored = StoredOrders(None)

    assert committed(stored, None) == Checkpoint()
    assert committed(stored, None) == Checkpoint()


def test_part_outlives_the_commit_that_ends_the_transaction_and_is_then_deleted() -> None:
    stored = StoredOrders(None)

    inside = committed(stored, counted("7", ("t1", 0)))
    behind = committed(stored, None)
    later = committed(stored, None)
    latest = committed(stored, None)

    assert inside.parts[PART] is not None
    assert behind == Checkpoint()
    assert later == Checkpoint({PART: None})
    assert latest == Checkpoint()


def test_commit_without_a_new_change_writes_nothing() -> None:
    stored = StoredOrders(None)
    committed(stored, counted("7", ("t1", 0)))

    assert committed(stored, counted("7", ("t1", 0))) == Checkpoint()


def test_restart_goes_on_where_the_position_is_even_if_that_is_older_than_the_counters() -> None:
    stored = StoredOrders(None)
    parts = [
        committed(stored, counted("7", *[("t1", ordinal) for ordinal in range(count)])).parts[PART]
        for count in (2, 5, 9, 12)
    ]

    # At least once, this part was durable and the position behind it was not.
    newest = StoredOrders(parts[3]).facts

    assert [
        None if (found := resumed(newest, "7", first)) is None else found.total
        for first in (5, 8, 9, 11, 12)
    ] == [5, 5, 9, 9, 12]
    assert resumed(newest, "8", 12) is None
    assert len(newest) == 3


def test_counters_of_the_last_transaction_are_kept_while_the_position_may_be_in_it() -> None:
    stored = StoredOrders(None)
    committed(stored, counted("7", ("t1", 0)))

    both = StoredOrders(committed(stored, counted("8", ("t1", 0))).parts[PART]).facts

    assert [fact.transaction for fact in both] == ["7", "8"]


def test_split_takes_the_part_out_of_a_checkpoint() -> None:
    part = StoredOrders(None).change(counted("7", ("t1", 0))).parts[PART]

    rest, orders = split(Checkpoint({"position": b"p", PART: part}))

    assert rest == Checkpoint({"position": b"p"})
    assert [fact.total for fact in orders.facts] == [1]
    assert split(Checkpoint({PART: part}))[0] is None
    assert split(None)[0] is None
