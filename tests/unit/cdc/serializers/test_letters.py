"""`unrepresentable: dead_letter`: what has no encoding goes to a topic of its own."""

import json

from cdc.event import UNCHANGED, ChangeEvent, Record, Transaction
from cdc.rowless import message_event, rowless_table
from cdc.schema import Column, Decimal, Int32, String, TableSchema
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options

COLUMNS = (
    Column("id", Int32(), nullable=False),
    Column("price", Decimal(8, 2), nullable=False),
    Column("name", String()),
)
TABLE = TableSchema("shop", "public", "products", COLUMNS, key=(0,))
BY_PRICE = TableSchema("shop", "public", "prices", COLUMNS, key=(1,))
TRANSACTION = Transaction("7", 1_000_000, 7)


def written(*events: ChangeEvent) -> list[Record]:
    serializer = DebeziumJson(
        SourceIdentity("postgresql", "shop", "test"),
        Options(unrepresentable="dead_letter"),
        None,
        compacts=False,
        pipeline="p",
        clock_us=lambda: 0,
    )
    return [record for record in serializer.encode(events) if not record.topic.internal]


def event(
    op: str, before: tuple[object, ...] | None, after: tuple[object, ...] | None,
    table: TableSchema = TABLE,
) -> ChangeEvent:  # fmt: skip
    return ChangeEvent(op, table, before, after, TRANSACTION, 0, 99)


def test_change_without_an_encoding_becomes_a_letter_and_the_others_go_on() -> None:
    first, second, letter = written(
        event("c", None, (1, "1.00", "a")),
        event("c", None, (2, "NaN", "b")),
        event("c", None, (3, "3.00", "c")),
    )

    assert [first.key, second.key] == [b'{"id":1}', b'{"id":3}']
    assert letter.topic.name == "shop.dead-letters"
    assert letter.key == b'{"id":2}'
    assert letter.mark is None
    assert json.loads(letter.value or b"") == {
        "table": "public.products",
        "op": "c",
        "reasons": {"price": "a decimal that is no finite number"},
        "lsn": 99,
        "txId": 7,
        "ts_us": 1_000_000,
        "snapshot": None,
        "before": None,
        "after": {"id": 2, "price": "NaN", "name": "b"},
    }


def test_delete_of_such_a_row_gets_through_with_a_stand_in() -> None:
    delete, tombstone = written(event("d", (2, "NaN", "b"), None))

    before = json.loads(delete.value or b"")["before"]
    assert before == {"id": 2, "price": "AA==", "name": "b"}
    assert delete.key == tombstone.key == b'{"id":2}'
    assert delete.mark is not None
    assert delete.mark.endswith(b".2")


def test_update_that_mends_the_value_gets_through() -> None:
    (update,) = written(event("u", (2, "NaN", "b"), (2, "2.00", "b")))

    assert json.loads(update.value or b"")["after"]["price"] == "AMg="


def test_key_without_an_encoding_becomes_a_letter() -> None:
    (letter,) = written(event("d", (2, "NaN", UNCHANGED), None, BY_PRICE))

    assert letter.topic.name == "shop.dead-letters"
    assert letter.key == b'{"price":"NaN"}'
    assert json.loads(letter.value or b"")["before"] == {"id": 2, "price": "NaN"}


def test_truncate_is_no_row() -> None:
    (truncate,) = written(event("t", None, None))

    assert json.loads(truncate.value or b"")["op"] == "t"


def test_what_is_no_row_and_tables_that_need_no_encoding_pass_by() -> None:
    plain = TableSchema("shop", "public", "names", (Column("name", String()),), key=(0,))
    said = message_event(rowless_table("shop"), "audit", b"text", TRANSACTION, 0, 99)

    message, row = written(said, event("c", None, ("a",), plain))

    assert json.loads(message.value or b"")["op"] == "m"
    assert json.loads(row.value or b"")["after"] == {"name": "a"}
