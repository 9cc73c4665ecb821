"""`unknown_types`: columns that Debezium leaves out are text, or left out."""

import json
from dataclasses import replace

from cdc.event import FORM_INTEGER, FORM_TEXT, ChangeEvent, RawRow, RowLayout, Transaction
from cdc.schema import Array, Column, Int32, String, TableSchema
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options

TABLE = TableSchema(
    "shop",
    "public",
    "shapes",
    (
        Column("form", String("box"), nullable=False),
        Column("forms", Array(String("polygon"))),
        Column("place", String("pg_lsn"), nullable=False),
        Column("id", Int32(), nullable=False),
    ),
    key=(2,),
)
TRANSACTION = Transaction("7", 1_000_000, 7)


def written(*events: ChangeEvent, **chosen: object) -> list[tuple[object, dict[str, object]]]:
    serializer = DebeziumJson(
        SourceIdentity("postgresql", "shop", "test"),
        Options.model_validate(chosen),
        None,
        compacts=False,
        pipeline="p",
        clock_us=lambda: 0,
    )
    records = [record for record in serializer.encode(events) if not record.topic.internal]
    return [
        (json.loads(record.key or b"null"), json.loads(record.value))
        for record in records
        if record.value is not None
    ]


def raw_event() -> ChangeEvent:
    texts = (bytes.decode,) * 3
    layout = RowLayout((*texts, int), (FORM_TEXT, FORM_TEXT, FORM_TEXT, FORM_INTEGER))
    row = RawRow(layout, [b"(3,4),(1,2)", None, b"0/1", b"7"])
    return ChangeEvent("c", TABLE, None, row, TRANSACTION)


def test_text_of_the_server_is_written() -> None:
    ((key, value),) = written(raw_event())

    assert key == {"place": "0/1"}
    assert value["after"] == {"form": "(3,4),(1,2)", "forms": None, "place": "0/1", "id": 7}


def test_left_out_but_for_the_key() -> None:
    ((key, value),) = written(raw_event(), unknown_types="omit")

    assert key == {"place": "0/1"}
    assert value["after"] == {"place": "0/1", "id": 7}


def test_decoded_rows_and_deletes_are_narrowed_too() -> None:
    row = ("(3,4),(1,2)", None, "0/1", 7)
    ((key, value),) = written(ChangeEvent("d", TABLE, row, None, TRANSACTION), unknown_types="omit")

    assert key == {"place": "0/1"}
    assert value["before"] == {"place": "0/1", "id": 7}


def test_rows_that_share_a_layout_are_narrowed_each() -> None:
    first = raw_event()
    assert isinstance(first.after, RawRow)
    row = RawRow(first.after.layout, [b"(9,9),(8,8)", None, b"0/2", b"8"])
    second = ChangeEvent("c", TABLE, None, row, TRANSACTION)

    values = [value for _, value in written(first, second, unknown_types="omit")]

    assert [value["after"] for value in values] == [
        {"place": "0/1", "id": 7},
        {"place": "0/2", "id": 8},
    ]


def test_table_of_which_nothing_is_left_out_stays_as_it_is() -> None:
    numbers = replace(TABLE, table="numbers", columns=(Column("id", Int32()),), key=(0,))

    ((_, value),) = written(
        ChangeEvent("c", numbers, None, (7,), TRANSACTION), unknown_types="omit"
    )

    assert value["after"] == {"id": 7}


def test_schema_is_optional_even_where_the_column_is_not() -> None:
    ((_, value),) = written(raw_event(), schemas=True)

    schema = value["schema"]
    assert isinstance(schema, dict)
    fields = {field["field"]: field for field in schema["fields"][1]["fields"]}
    assert fields["form"] == {"type": "string", "optional": True, "field": "form"}
    assert fields["forms"]["items"] == {"type": "string", "optional": True}
    assert fields["id"]["optional"] is False
