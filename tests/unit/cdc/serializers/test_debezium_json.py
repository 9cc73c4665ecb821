"""The records of changes: which, in which order, under which keys and headers."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cdc.errors import DecodeError, SchemaError
from cdc.event import (
    EVERY_PARTITION,
    FORM_INTEGER,
    FORM_TEXT,
    UNCHANGED,
    ChangeEvent,
    RawRow,
    Record,
    Row,
    RowLayout,
    Stored,
    Transaction,
)  # fmt: skip
from cdc.schema import (
    Bytes,
    Column,
    Decimal,
    Float64,
    Int32,
    Int64,
    Interval,
    LogicalType,
    String,
    TableSchema,
    Timestamp,
    TimestampTz,
)  # fmt: skip
from cdc.schemas.memory import MemorySchemas
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options

NOW_US = 1_789_369_600_123_456
TRANSACTION = Transaction("88214", 1_789_369_510_048_211, 88214, 91_820_400)
PARCELS = TableSchema(
    "logistics",
    "depot",
    "parcels",
    (
        Column("id", Int64(), nullable=False),
        Column("label", String("varchar", 40)),
        Column("weight_kg", Decimal(8, 3), nullable=False),
        Column("packed_at", TimestampTz(6)),
        Column("state", String(), nullable=False, default="queued"),
    ),
    key=(0,),
)
ROW = (7001, "Lamp, blue", "12.375", 1_789_369_509_120_000, "packed")
KEY_ONLY = (7001, UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED)
KEYLESS = TableSchema("logistics", "depot", "notes", (Column("note", String()),))


def serializer(
    known: MemorySchemas | None = None, *, compacts: bool = True, **options: Any
) -> DebeziumJson:
    return DebeziumJson(
        SourceIdentity("postgresql", "acme", "tidewire-1"),
        Options.model_validate(options),
        known,
        compacts=compacts,
        pipeline="shop",
        clock_us=lambda: NOW_US,
    )


def change(
    op: str, before: Row | None, after: Row | None, table: TableSchema = PARCELS
) -> ChangeEvent:
    return ChangeEvent(op, table, before, after, TRANSACTION, 0, 91_820_736)


def rows_of(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if not record.topic.internal]


def encoded(*events: ChangeEvent, compacts: bool = True, **options: Any) -> list[Record]:
    return rows_of(serializer(compacts=compacts, **options).encode(events))


def content(record: Record) -> dict[str, Any]:
    assert record.value is not None
    found = json.loads(record.value)
    assert isinstance(found, dict)
    return found


def test_insert_is_written_byte_for_byte_as_debezium_writes_it() -> None:
    (record,) = encoded(change("c", None, ROW), version="3.6.1.Final")

    assert record.key == b'{"id":7001}'
    assert record.value == (
        b'{"before":null,"after":{"id":7001,"label":"Lamp, blue","weight_kg":"MFc=",'
        b'"packed_at":"2026-09-14T07:05:09.120000Z","state":"packed"},"source":{'
        b'"version":"3.6.1.Final","connector":"postgresql","name":"acme","ts_ms":1789369510048,'
        b'"snapshot":"false","db":"logistics","sequence":"[\\"91820400\\",\\"91820736\\"]",'
        b'"ts_us":1789369510048211,"ts_ns":1789369510048211000,"schema":"depot",'
        b'"table":"parcels","txId":88214,"lsn":91820736,"xmin":null,"origin":null,'
        b'"origin_lsn":null},"transaction":null,"op":"c","ts_ms":1789369600123,'
        b'"ts_us":1789369600123456,"ts_ns":1789369600123456000}'
    )
    assert (record.topic.name, record.topic.compacted) == ("acme.depot.parcels", True)
    assert record.mark == b"." + PARCELS.id.encode()
    assert record.headers == ()


def test_structure_comes_once_before_its_first_record() -> None:
    made = serializer()

    first = made.encode([change("c", None, ROW), change("c", None, ROW)])
    second = made.encode([change("c", None, ROW)])

    assert [record.topic.name for record in first] == [
        "__cdc.shop.schemas", "acme.depot.parcels", "acme.depot.parcels",
    ]  # fmt: skip
    assert (first[0].topic.compacted, first[0].topic.internal) == (True, True)
    assert first[0].key == PARCELS.id.encode()
    assert first[0].value == PARCELS.canonical().encode()
    assert first[0].mark is None
    assert [record.topic.name for record in second] == ["acme.depot.parcels"]


def test_delete_shows_stand_ins_and_says_which_and_a_tombstone_follows() -> None:
    deleted, tombstone = encoded(change("d", KEY_ONLY, None))

    assert content(deleted)["before"] == {
        "id": 7001, "label": None, "weight_kg": "AA==", "packed_at": None, "state": "queued",
    }  # fmt: skip
    assert content(deleted)["after"] is None
    assert deleted.mark == b"." + PARCELS.id.encode() + b".1e"
    assert (tombstone.key, tombstone.value) == (b'{"id":7001}', None)
    assert tombstone.mark == b"." + PARCELS.id.encode()


def test_no_tombstone_follows_where_none_is_wanted() -> None:
    assert len(encoded(change("d", KEY_ONLY, None), tombstones=False)) == 1


def test_key_change_is_a_delete_a_tombstone_and_a_create_that_name_each_other() -> None:
    before = (6000, *KEY_ONLY[1:])

    deleted, tombstone, created = encoded(change("u", before, ROW), debezium_headers=True)

    assert [deleted.key, tombstone.key, created.key] == [
        b'{"id":6000}', b'{"id":6000}', b'{"id":7001}',
    ]  # fmt: skip
    assert deleted.headers[0] == ("__debezium.newkey", b'{"id":7001}')
    assert tombstone.headers == deleted.headers
    assert created.headers[0] == ("__debezium.oldkey", b'{"id":6000}')
    assert (content(created)["op"], content(created)["before"]) == ("c", None)
    assert [name for name, _ in created.headers[1:]] == [
        "__debezium.context.connectorLogicalName", "__debezium.context.taskId",
        "__debezium.context.connectorName", "__debezium.context.runId",
    ]  # fmt: skip


def test_key_change_headers_write_values_as_simple_header_converter_does() -> None:
    columns = (
        Column("d", Decimal(12, 7), nullable=False),
        Column("b", Bytes(), nullable=False),
        Column("s", String(), nullable=False),
    )
    table = TableSchema("db", "public", "t", columns, (0, 1, 2))
    old, new = ("0.0000001", b"\x00\xff", 'q"\\é'), ("1.5000000", b"", "")

    deleted, _, created = encoded(change("u", old, new, table))

    assert deleted.headers[0][1] == b'{"d":1.5000000,"b":"","s":""}'
    assert created.headers[0][1] == '{"d":1E-7,"b":"AP8=","s":"q\\"\\\\é"}'.encode()


def test_update_without_key_change_is_one_record() -> None:
    whole = (*ROW[:4], "queued")

    (record,) = encoded(change("u", whole, ROW))

    assert content(record)["op"] == "u"
    assert content(record)["before"]["state"] == "queued"


def test_partial_old_row_of_an_update_is_not_shown() -> None:
    (record,) = encoded(change("u", KEY_ONLY, ROW))

    assert content(record)["before"] is None


def test_unchanged_value_is_a_placeholder_and_a_bit_of_the_header() -> None:
    row = (7001, UNCHANGED, UNCHANGED, None, UNCHANGED)

    (record,) = encoded(change("u", None, row), unavailable_value_placeholder="(same)")

    assert content(record)["after"] == {
        "id": 7001, "label": "(same)", "weight_kg": "AA==", "packed_at": None, "state": "(same)",
    }  # fmt: skip
    assert record.mark == b"." + PARCELS.id.encode() + b".16"


def test_unchanged_value_without_placeholder_is_a_stand_in_where_null_is_not_allowed() -> None:
    columns = (Column("id", Int32(), nullable=False), Column("b", Bytes(), nullable=False))
    table = TableSchema("db", "public", "t", columns, (0,))

    (record,) = encoded(change("u", None, (1, UNCHANGED), table), binary="base64")

    written = replace(table, encoding=(("binary", "base64"),))
    assert content(record)["after"] == {"id": 1, "b": ""}
    assert record.mark == b"." + written.id.encode() + b".2"


def test_null_that_shows_as_the_default_is_told_by_the_header() -> None:
    columns = (Column("id", Int32(), nullable=False), Column("n", Int32(), default=5))
    table = TableSchema("db", "public", "t", columns, (0,))

    (shown,) = encoded(change("c", None, (1, None), table))
    (kept,) = encoded(change("c", None, (1, None), table), replace_null_with_default=False)

    assert content(shown)["after"] == {"id": 1, "n": 5}
    assert shown.mark == b"." + table.id.encode() + b".0.2"
    assert content(kept)["after"] == {"id": 1, "n": None}
    assert content(kept)["source"]["snapshot"] is None
    assert kept.mark == b"." + table.id.encode()


def test_null_of_an_old_row_that_shows_as_the_default_is_told_too() -> None:
    columns = (Column("id", Int32(), nullable=False), Column("n", Int32(), default=5))
    table = TableSchema("db", "public", "t", columns, (0,))

    (record,) = encoded(change("u", (1, None), (1, 6), table))

    assert record.mark == b"." + table.id.encode() + b".0.0.2"


def test_large_key_that_did_not_change_is_taken_from_the_old_row() -> None:
    columns = (Column("id", String(), nullable=False), Column("n", Int32()))
    table = TableSchema("db", "public", "t", columns, (0,))

    (record,) = encoded(change("u", ("big", UNCHANGED), (UNCHANGED, 2), table))

    assert record.key == b'{"id":"big"}'


def test_delete_without_its_key_is_an_error_not_a_guess() -> None:
    row = (UNCHANGED, "label", UNCHANGED, UNCHANGED, UNCHANGED)

    with pytest.raises(SchemaError, match=r"key of a change of table depot\.parcels") as caught:
        encoded(change("d", row, None))

    assert "REPLICA IDENTITY" in caught.value.hint
    assert "label" not in str(caught.value)


@pytest.mark.parametrize("event", [change("d", None, None), change("c", None, None)])
def test_change_without_its_row_is_an_error(event: ChangeEvent) -> None:
    with pytest.raises(SchemaError, match=r"depot\.parcels came without its (old|new) row"):
        encoded(event)


def test_row_that_does_not_fit_its_structure_is_an_error() -> None:
    with pytest.raises(SchemaError, match=r"depot\.parcels does not fit"):
        encoded(change("c", None, ROW[:2]))


def test_table_without_key_has_null_keys_and_is_not_compacted() -> None:
    records = encoded(change("c", None, ("n",), KEYLESS), change("d", ("n",), None, KEYLESS))

    assert [record.key for record in records] == [None, None, None]
    assert [record.value is None for record in records] == [False, False, True]
    assert not records[0].topic.compacted


def test_row_of_a_table_without_columns_is_an_empty_object() -> None:
    table = replace(KEYLESS, columns=())

    (record,) = encoded(ChangeEvent("r", table, None, (), TRANSACTION, snapshot="true"))

    assert json.loads(record.value or b"")["after"] == {}


def test_truncate_goes_to_every_partition_under_a_key_where_topics_are_compacted() -> None:
    (compacted,) = encoded(change("t", None, None))
    (deleting,) = encoded(change("t", None, None), compacts=False)
    (keyless,) = encoded(change("t", None, None, KEYLESS))
    (with_schema,) = encoded(change("t", None, None), schemas=True)

    assert compacted.partition == deleting.partition == keyless.partition == EVERY_PARTITION
    assert compacted.key == b'{"__cdc_truncate":"depot.parcels"}'
    assert [deleting.key, keyless.key] == [None, None]
    assert content(compacted)["before"] is content(compacted)["after"] is None
    assert content(compacted)["op"] == "t"
    assert with_schema.key is not None
    assert json.loads(with_schema.key)["payload"] == {"__cdc_truncate": "depot.parcels"}


def test_snapshot_marker_origin_and_missing_positions_are_in_the_source_block() -> None:
    snapshot = Transaction("5", 1_000_000, 5)
    origin = Transaction("6", 2_000_000, None, 9, "up", 77)
    made = serializer()

    records = rows_of(
        made.encode(
            [
                ChangeEvent("r", PARCELS, None, ROW, snapshot, 0, 3, "first"),
                ChangeEvent("r", PARCELS, None, ROW, snapshot, 1, 3, "last"),
                ChangeEvent("c", PARCELS, None, ROW, origin, 0, 4),
                ChangeEvent("c", PARCELS, None, ROW, None, 0, 5),
            ]
        )
    )

    sources = [content(record)["source"] for record in records]
    assert [source["snapshot"] for source in sources] == ["first", "last", "false", "false"]
    assert [source["sequence"] for source in sources] == [
        '[null,"3"]', '[null,"3"]', '["9","4"]', '[null,"5"]',
    ]  # fmt: skip
    assert [source["txId"] for source in sources] == [5, 5, None, None]
    assert (sources[2]["origin"], sources[2]["origin_lsn"]) == ("up", 77)
    assert sources[3]["ts_us"] == NOW_US


@pytest.mark.parametrize(
    ("sent", "kind", "canonical"),
    [
        (b"007", Int32(), b"7"), (b"-0", Int32(), b"0"), (b"+7", Int32(), b"7"),
        (b"-12", Int32(), b"-12"), (b"0", Int32(), b"0"),
        (b'a"b', String(), b'"a\\"b"'), ("é".encode(), String(), '"é"'.encode()),
        (b"a\x1fb", String(), b'"a\\u001Fb"'), ("😀".encode(), String(), b'"\\uD83D\\uDE00"'),
        (b"", String(), b'""'),
    ],
)  # fmt: skip
def test_text_that_cannot_be_copied_is_decoded_first(
    sent: bytes, kind: LogicalType, canonical: bytes
) -> None:
    columns = (Column("id", Int32(), nullable=False), Column("v", kind))
    table = TableSchema("db", "public", "t", columns, (0,))
    decode = int if isinstance(kind, Int32) else bytes.decode
    form = FORM_INTEGER if isinstance(kind, Int32) else FORM_TEXT
    row = RawRow(RowLayout((int, decode), (FORM_INTEGER, form)), [b"1", sent])

    (record,) = encoded(change("c", None, row, table))

    assert record.value is not None
    assert b'"after":{"id":1,"v":' + canonical + b"}" in record.value


def test_value_without_an_encoding_stops_with_the_column_and_the_remedy() -> None:
    row = (7001, None, "NaN", None, "packed")

    with pytest.raises(SchemaError, match=r"'weight_kg' of table depot\.parcels") as caught:
        encoded(change("c", None, row))

    assert "decimal: string" in caught.value.hint


def test_null_is_not_written_for_what_a_required_column_cannot_show() -> None:
    optional = TableSchema(
        "db", "public", "t", (Column("id", Int32(), nullable=False), Column("n", Decimal())), (0,)
    )

    (record,) = encoded(change("c", None, (1, "NaN"), optional), unrepresentable="null")

    assert content(record)["after"] == {"id": 1, "n": None}
    with pytest.raises(SchemaError):
        encoded(change("c", None, (7001, None, "NaN", None, "x")), unrepresentable="null")


def test_key_never_becomes_null_for_want_of_an_encoding() -> None:
    table = TableSchema("db", "public", "t", (Column("n", Decimal()),), (0,))

    with pytest.raises(SchemaError):
        encoded(change("c", None, ("NaN",), table), unrepresentable="null")


def test_masked_column_says_so_in_its_schema_and_its_stand_in() -> None:
    masked = Column("name", String(), attributes=(("masked", "true"), ("stand_in", "*****")))
    table = TableSchema("db", "public", "t", (Column("id", Int32(), nullable=False), masked), (0,))

    deleted, _ = encoded(change("d", (1, UNCHANGED), None, table), schemas=True)

    assert deleted.value is not None
    assert b'"parameters":{"masked":"true"},"field":"name"' in deleted.value
    assert json.loads(deleted.value)["payload"]["before"] == {"id": 1, "name": "*****"}


def test_encoding_only_serializer_cannot_read() -> None:
    from cdc.event import Stored

    header = (("cdc", b"1.0123456789abcdef"),)

    with pytest.raises(SchemaError, match="encode only"):
        serializer().decode(Stored("t", 0, 0, b"{}", b"{}", header, 0))


def test_memory_schemas_keep_structures_and_give_the_rest_back() -> None:
    schemas = MemorySchemas()

    rest = schemas.take(serializer().encode([change("c", None, ROW)]))

    assert [record.topic.name for record in rest] == ["acme.depot.parcels"]
    assert schemas.find(PARCELS.id) == PARCELS
    with pytest.raises(SchemaError, match="ffff"):
        schemas.find("ffff")


def test_null_in_a_key_is_written_as_null_for_raw_rows_too() -> None:
    table = TableSchema("db", "public", "t", (Column("id", Int32()), Column("n", Int32())), (0, 1))
    row = RawRow(RowLayout((int, int), (True, False)), [None, b"7"])

    (record,) = encoded(change("c", None, row, table))

    assert record.key == b'{"id":null,"n":7}'


PRICED = TableSchema(
    "shop",
    "public",
    "priced",
    (
        Column("id", Int32(), nullable=False),
        Column("price", Decimal(10, 2)),
        Column("at", Timestamp()),
        Column("lasts", Interval()),
        Column("code", Bytes()),
    ),
    (0,),
)
PRICED_ROW = (1, "12.34", 1_700_000_000_123_456, (0, 0, 5), b"\x00\xff")
FORMATS: list[dict[str, Any]] = [
    {},
    {"decimal": "string", "binary": "hex"},
    {"time_precision": "isostring", "interval": "string", "binary": "base64_url_safe"},
    {"schemas": True, "tombstones": False},
]


def test_records_are_read_as_they_were_written_whatever_the_format_is_now() -> None:
    """A topic keeps its records when `format:` of its source is changed."""
    schemas = MemorySchemas()
    event = change("c", None, PRICED_ROW, PRICED)
    records = [
        record
        for options in FORMATS
        for record in schemas.take(serializer(**options).encode([event]))
    ]

    for options in FORMATS:
        reader = serializer(schemas, **options)
        for record in records:
            stored = Stored("t", 0, 0, record.key, record.value, tuple(record.all_headers()), 0)
            read = reader.decode(stored)
            assert read is not None
            assert read.after == PRICED_ROW
            assert read.table == PRICED


def test_structure_of_the_default_format_is_the_tables_own() -> None:
    event = change("c", None, PRICED_ROW, PRICED)

    ids = [serializer(**options).encode([event])[0].key for options in FORMATS]

    assert ids[0] == ids[3] == PRICED.id.encode()
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (Decimal(12, 3), "123456789.125", "123456789.125"),
        (Decimal(38, 0), "12345678901234567890123456789012345678", None),
        (Decimal(30, 20), "-0.00000000000000000001", "-1E-20"),
        (Decimal(5, -2), "12300", "1.23E+4"),
        (Decimal(None, 2), "0.10", "0.10"),
        (Decimal(5000, 0), "7" * 5000, None),
    ],
)
def test_decimal_as_a_number_keeps_every_digit_there_and_back(
    kind: Decimal, text: str, number: str | None
) -> None:
    table = TableSchema("d", "s", "t", (Column("id", kind), Column("f", Float64())), (0,))
    known = MemorySchemas()
    made = serializer(known, decimal="number")

    schema, record = made.encode([ChangeEvent("c", table, None, (text, 0.5), TRANSACTION)])
    known.add(TableSchema.from_canonical(schema.value or b""))
    record.sequence = 5
    back = made.decode(Stored("t", 0, 0, record.key, record.value, tuple(record.all_headers()), 0))

    assert b'{"id":%b}' % (number or text).encode() == record.key
    assert back is not None
    assert (text, 0.5) == back.after


def test_number_that_is_no_number_is_told() -> None:
    table = TableSchema("d", "s", "t", (Column("id", Decimal(5, 2)),), (0,))
    known = MemorySchemas()
    made = serializer(known, decimal="number")
    schema, record = made.encode([ChangeEvent("c", table, None, ("1.50",), TRANSACTION)])
    known.add(TableSchema.from_canonical(schema.value or b""))
    assert record.value is not None

    for wrong in (b"true", b'"x"', b"1.505"):
        value = record.value.replace(b"1.50", wrong)
        headers = tuple(record.all_headers())
        with pytest.raises(DecodeError, match=r"column 'id' is damaged|number"):
            made.decode(Stored("t", 0, 0, record.key, value, headers, 0))
