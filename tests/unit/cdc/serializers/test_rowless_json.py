"""Records that are no rows, byte for byte as Debezium writes them, and places in transactions."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cdc.event import ChangeEvent, Record, Transaction
from cdc.orders import Orders
from cdc.rowless import (
    begin_event,
    end_event,
    heartbeat_event,
    message_event,
    rowless_table,
    structure_event,
)
from cdc.schema import Array, Column, Decimal, Enum, Int64, Json, String, TableSchema
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options

NOW_US = 1_789_369_600_123_456
ROWLESS = rowless_table("depot")
TRANSACTION = Transaction("52719", 1_795_389_437_246_404, 52719, 298_709_800)
T3 = TableSchema(
    "depot", "public", "t3", (Column("id", Int64(), nullable=False), Column("v", String())), (0,)
)
KEYLESS = TableSchema("depot", "public", "log", (Column("v", String()),))
SOURCE = (
    b'"source":{"version":"3.6.1.Final","connector":"postgresql","name":"acme",'
    b'"ts_ms":%d,"snapshot":"false","db":"depot","sequence":"[\\"%d\\",\\"%d\\"]","ts_us":%d,'
    b'"ts_ns":%d,"schema":"","table":"","txId":%b,"lsn":%d,"xmin":null,"origin":null,'
    b'"origin_lsn":null}'
)


def serializer(**options: Any) -> DebeziumJson:
    return DebeziumJson(
        SourceIdentity("postgresql", "acme", "tidewire-1"),
        Options.model_validate({"version": "3.6.1.Final", **options}),
        None,
        compacts=True,
        pipeline="shop",
        clock_us=lambda: NOW_US,
    )


def encoded(*events: ChangeEvent, **options: Any) -> list[Record]:
    records = serializer(**options).encode(events)
    return [record for record in records if not record.topic.internal]


def block(record: Record) -> object:
    assert record.value is not None
    return json.loads(record.value)["transaction"]


def change(op: str, ordinal: int, position: int, *ids: int) -> ChangeEvent:
    rows = [(number, "a") for number in ids]
    before = None if len(ids) == 1 and op != "d" else rows[0]
    after = None if op == "d" else rows[-1]
    return ChangeEvent(op, T3, before, after, TRANSACTION, ordinal, position)


def test_message_in_a_transaction_is_written_as_debezium_writes_it() -> None:
    event = message_event(ROWLESS, "audit", b'{"who":"ann"}', TRANSACTION, 1, 298_710_096)

    (record,) = encoded(event, debezium_headers=True)

    source = SOURCE % (
        1795389437246, 298709800, 298710096, 1795389437246404, 1795389437246404000, b"52719",
        298710096,
    )  # fmt: skip
    assert record.value == (
        b'{"op":"m","ts_ms":1789369600123,' + source + b',"transaction":null,'
        b'"message":{"prefix":"audit","content":"eyJ3aG8iOiJhbm4ifQ=="}}'
    )
    assert record.key == b'{"prefix":"audit"}'
    assert (record.topic.name, record.topic.compacted) == ("acme.message", False)
    assert record.all_headers() == []
    assert record.partition is None


def test_message_outside_transactions_stands_for_itself_and_has_the_clocks_time() -> None:
    event = message_event(ROWLESS, "audit", b"non-tx", None, 0, 298_710_448)

    (record,) = encoded(event)

    source = SOURCE % (
        1789369600123, 298710448, 298710448, NOW_US, NOW_US * 1000, b"null", 298710448,
    )  # fmt: skip
    assert record.value is not None
    assert source in record.value


@pytest.mark.parametrize(
    ("binary", "content"),
    [("bytes", '"+++/"'), ("base64", '"+++/"'), ("base64_url_safe", '"---_"'), ("hex", '"fbefbf"')],
)
def test_message_is_written_as_binary_columns_are(binary: str, content: str) -> None:
    event = message_event(ROWLESS, "", bytes.fromhex("fbefbf"), None, 0, 5)

    (record,) = encoded(event, binary=binary)

    assert record.key == b'{"prefix":""}'
    assert record.value is not None
    assert record.value.endswith(b'"message":{"prefix":"","content":%b}}' % content.encode())


def test_begin_and_end_are_written_as_debezium_writes_them() -> None:
    records = encoded(
        begin_event(ROWLESS, TRANSACTION, 298_709_800),
        change("c", 0, 298_709_800, 1),
        message_event(ROWLESS, "audit", b"", TRANSACTION, 1, 298_710_096),
        change("c", 2, 298_710_096, 2),
        end_event(ROWLESS, TRANSACTION, 3, 298_710_272),
    )

    begin, first, message, second, end = records
    assert begin.key == b'{"id":"52719:298709800"}'
    assert begin.value == (
        b'{"status":"BEGIN","id":"52719:298709800","event_count":null,"data_collections":null,'
        b'"ts_ms":1795389437246}'
    )
    assert block(first) == {
        "id": "52719:298709800", "total_order": 1, "data_collection_order": 1,
    }  # fmt: skip
    assert block(message) == {
        "id": "52719:298710096", "total_order": 2, "data_collection_order": 1,
    }  # fmt: skip
    assert block(second) == {
        "id": "52719:298710096", "total_order": 3, "data_collection_order": 2,
    }  # fmt: skip
    assert end.key == b'{"id":"52719:298710272"}'
    assert end.value == (
        b'{"status":"END","id":"52719:298710272","event_count":3,"data_collections":'
        b'[{"data_collection":"public.t3","event_count":2},'
        b'{"data_collection":"message","event_count":1}],"ts_ms":1795389437246}'
    )
    assert {begin.topic.name, end.topic.name} == {"acme.transaction"}
    assert begin.all_headers() == end.all_headers() == []


def test_transaction_without_changes_has_begin_and_end() -> None:
    records = encoded(begin_event(ROWLESS, TRANSACTION, 10), end_event(ROWLESS, TRANSACTION, 0, 20))

    assert records[1].value is not None
    assert b'"event_count":0,"data_collections":[],' in records[1].value


def test_change_of_the_key_counts_twice_and_its_tombstone_does_not() -> None:
    records = encoded(
        begin_event(ROWLESS, TRANSACTION, 10),
        change("u", 0, 11, 20, 40),
        change("d", 1, 12, 41),
        end_event(ROWLESS, TRANSACTION, 2, 20),
    )

    values = [record for record in records[1:-1] if record.value is not None]
    assert [json.loads(r.value or b"")["transaction"]["total_order"] for r in values] == [1, 2, 3]
    assert b'"event_count":3,' in (records[-1].value or b"")


def test_block_is_null_where_nobody_asked_for_it_and_behind_the_end() -> None:
    other = Transaction("52720", 1, 52720)
    later = ChangeEvent("c", T3, None, (9, "a"), other, 0, 30)

    without = encoded(change("c", 0, 11, 1))
    behind = encoded(
        begin_event(ROWLESS, TRANSACTION, 10),
        change("c", 0, 11, 1),
        end_event(ROWLESS, TRANSACTION, 1, 20),
        later,
        message_event(ROWLESS, "p", b"", other, 1, 31),
        end_event(ROWLESS, other, 2, 40),
    )

    assert block(without[0]) is None
    assert [block(record) for record in behind[3:]] == [None, None]


def test_row_of_a_snapshot_has_no_place_in_the_transaction_around_it() -> None:
    read = ChangeEvent("r", T3, None, (9, "a"), TRANSACTION, 0, 11, "true")

    records = encoded(begin_event(ROWLESS, TRANSACTION, 10), read)

    assert block(records[1]) is None


def test_counting_goes_on_behind_the_counters_that_fit() -> None:
    made = serializer()
    made.resume([Orders("52719", 3, 5, {"public.t3": 5}), Orders("52719", 7, 9, {"public.t3": 9})])

    unsettled = made.orders()
    records = made.encode([change("c", 4, 11, 1), end_event(ROWLESS, TRANSACTION, 5, 20)])

    assert unsettled is not None
    assert unsettled.ordinal == 7
    assert block(records[1]) == {"id": "52719:11", "total_order": 6, "data_collection_order": 6}
    assert b'"event_count":6,' in (records[2].value or b"")
    assert made.orders() is None


def test_structure_in_front_of_the_first_change_does_not_lose_the_counters() -> None:
    made = serializer()
    made.resume([Orders("52719", 3, 5, {"public.t3": 5})])

    records = made.encode(
        [structure_event(ROWLESS, None, T3, TRANSACTION, 11), change("c", 4, 11, 1)]
    )

    assert block(records[-1]) == {"id": "52719:11", "total_order": 6, "data_collection_order": 6}


def test_counters_of_another_transaction_are_forgotten() -> None:
    made = serializer()
    made.resume([Orders("1", 3, 5, {})])

    records = made.encode([change("c", 4, 11, 1), end_event(ROWLESS, TRANSACTION, 5, 20)])

    assert len(records) == 2
    assert block(records[1]) is None
    assert made.orders() is None


def test_heartbeat_is_written_as_debezium_writes_it() -> None:
    (record,) = encoded(heartbeat_event(ROWLESS))

    assert record.topic.name == "__debezium-heartbeat.acme"
    assert (record.key, record.value) == (b'{"serverName":"acme"}', b'{"ts_ms":1789369600123}')
    assert record.partition == 0
    assert record.all_headers() == []


WIDER = replace(
    T3,
    columns=(
        *T3.columns,
        Column("c", String("bpchar", 4), default="ab  "),
        Column("n", Decimal(12, 2)),
        Column("m", Enum(("x", "y"))),
        Column("a", Array(Int64())),
        Column("j", Json()),
    ),
)


def test_structure_is_a_record_on_the_topic_of_the_prefix() -> None:
    (record,) = encoded(structure_event(ROWLESS, T3, WIDER, TRANSACTION, 5))

    assert record.topic.name == "acme"
    assert record.key == b'{"databaseName":"depot"}'
    assert record.value is not None
    content = json.loads(record.value)
    (change,) = content.pop("tableChanges")
    source = content.pop("source")
    assert (source["schema"], source["table"], source["lsn"]) == ("public", "t3", 5)
    assert content == {
        "ts_ms": NOW_US // 1000,
        "databaseName": "depot",
        "schemaName": "public",
        "ddl": None,
    }
    assert (change["type"], change["id"]) == ("ALTER", '"depot"."public"."t3"')
    names = ("name", "jdbcType", "typeName", "length", "scale", "position", "optional")
    assert [tuple(column[name] for name in names) for column in change["table"]["columns"]] == [
        ("id", -5, "int8", None, None, 1, False),
        ("v", 12, "text", None, None, 2, True),
        ("c", 1, "bpchar", 4, None, 3, True),
        ("n", 2, "numeric", 12, 2, 4, True),
        ("m", 1111, "enum", None, None, 5, True),
        ("a", 2003, "_int8", None, None, 6, True),
        ("j", 1111, "json", None, None, 7, True),
    ]
    assert [column["defaultValueExpression"] for column in change["table"]["columns"][:3]] == [
        None, None, "ab  ",
    ]  # fmt: skip
    assert change["table"]["columns"][4]["enumValues"] == ["x", "y"]


@pytest.mark.parametrize(
    ("old", "new", "kind"), [(None, T3, "CREATE"), (T3, None, "DROP"), (T3, WIDER, "ALTER")]
)
def test_structure_says_what_became_of_the_table(
    old: TableSchema | None, new: TableSchema | None, kind: str
) -> None:
    (record,) = encoded(structure_event(ROWLESS, old, new, None, 5), schemas=True)

    assert record.value is not None
    whole = json.loads(record.value)
    assert whole["schema"]["name"] == "io.debezium.connector.postgresql.SchemaChangeValue"
    (change,) = whole["payload"]["tableChanges"]
    assert change["type"] == kind
    assert (change["table"] is None) == (new is None)


def test_rows_around_what_is_no_row_are_as_they_were() -> None:
    alone = encoded(change("c", 0, 11, 1), change("c", 1, 12, 2))

    between = encoded(
        change("c", 0, 11, 1),
        message_event(ROWLESS, "p", b"", None, 0, 5),
        change("c", 1, 12, 2),
    )

    assert [alone[0].value, alone[1].value] == [between[0].value, between[2].value]
