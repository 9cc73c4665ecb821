"""Records that cannot be read, records that change no row, and records of a foreign Debezium."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import CdcError, DecodeError, SchemaError
from cdc.event import UNCHANGED, Stored, Transaction
from cdc.rowless import (
    begin_event,
    end_event,
    heartbeat_event,
    message_event,
    rowless_table,
)
from cdc.schema import Column, Decimal, Int32, Json, String, TableSchema, Timestamp
from cdc.schemas.memory import MemorySchemas
from cdc.serializers.debezium_decode import Decoder
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options

TABLE = TableSchema(
    "shop", "public", "t", (Column("id", Int32(), nullable=False), Column("v", String())), (0,)
)
HEADER = b"17." + TABLE.id.encode()
SOURCE: dict[str, object] = {"ts_ms": 5, "ts_us": 5001, "db": "shop", "txId": 3, "lsn": 9}
VALUE = {"before": None, "after": {"id": 1, "v": "x"}, "source": SOURCE, "op": "c"}


def decoder() -> Decoder:
    schemas = MemorySchemas()
    schemas.add(TABLE)
    return Decoder(schemas)


def stored(value: object, header: bytes | None = HEADER, key: object = None) -> Stored:
    headers = () if header is None else (("other", b"1"), ("cdc", header))
    text = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    key_text = None if key is None else json.dumps(key).encode()
    return Stored("acme.public.t", 0, 42, key_text, text, headers, 0)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (stored(b"{"), "not JSON"),
        (stored([1]), "not an object"),
        (stored({**VALUE, "op": "x"}), "not a change"),
        (stored({"op": "c", "source": SOURCE}), "rows are missing"),
        (stored({**VALUE, "after": {"id": 1}}), "column 'v' is missing"),
        (stored({**VALUE, "after": [1]}), "row is not an object"),
        (stored(VALUE, b"17"), "header `cdc` is damaged"),
        (stored(VALUE, b"x.y"), "header `cdc` is damaged"),
        (stored(VALUE, HEADER + b".1.1.1.1"), "header `cdc` is damaged"),
        (stored(VALUE, HEADER + b".4"), "columns that there are not"),
        (stored(None, key={"other": 1}), "key column 'id' is missing"),
        (stored(None, key=[1]), "key is not an object"),
        (stored(VALUE, b"17.ffffffffffffffff"), "ffffffffffffffff"),
        (stored(VALUE, None), "neither Tidewire's `cdc` header nor an inline schema"),
        (stored({"schema": None, "payload": VALUE}, None), "nor an inline schema"),
    ],
)
def test_record_that_cannot_be_read_is_a_named_error(record: Stored, message: str) -> None:
    with pytest.raises(CdcError, match=message) as caught:
        decoder().decode(record)

    assert isinstance(caught.value, (DecodeError, SchemaError))
    assert "'x'" not in str(caught.value)


def test_bitmaps_decide_what_is_unchanged_and_what_is_null() -> None:
    changed = decoder().decode(stored({**VALUE, "before": {"id": 1, "v": "d"}}, HEADER + b".0.2.2"))
    partial = decoder().decode(stored(VALUE, HEADER + b".2"))

    assert changed is not None
    assert partial is not None
    assert (changed.before, changed.after) == ((1, None), (1, None))
    assert partial.after == (1, UNCHANGED)


def test_tombstone_is_a_delete_that_has_only_the_key() -> None:
    event = decoder().decode(stored(None, key={"id": 7}))

    assert event is not None
    assert (event.op, event.before, event.after, event.sequence) == ("d", (7, UNCHANGED), None, 17)


@pytest.mark.parametrize(
    "record", [stored(None), stored(None, key={"__cdc_truncate": "public.t"}), stored(None, None)]
)
def test_record_that_names_no_row_gives_nothing(record: Stored) -> None:
    assert decoder().decode(record) is None


def test_truncate_has_no_rows() -> None:
    event = decoder().decode(stored({**VALUE, "op": "t", "after": None}))

    assert event is not None
    assert (event.op, event.before, event.after) == ("t", None, None)


def field(type_: str, column: str, **more: object) -> dict[str, object]:
    return {"type": type_, "optional": True, **more, "field": column}


ROW_FIELDS = [
    field("int32", "id", optional=False, default=4),
    field("int64", "at", name="io.debezium.time.Timestamp", version=1),
    field("bytes", "n", name="org.apache.kafka.connect.data.Decimal", parameters={"scale": "2"}),
    field("array", "tags", items={"type": "string", "optional": True}),
    field("struct", "place", name="com.example.Odd", fields=[]),
    field("map", "extra"),
]


def inline(name: str, payload: object, fields: list[dict[str, object]]) -> dict[str, object]:
    return {"schema": {"type": "struct", "name": name, "fields": fields}, "payload": payload}


def foreign(op: str = "c", suffix: str = ".Envelope") -> dict[str, object]:
    row = {"id": 1, "at": 7, "n": "AJY=", "tags": ["a", None], "place": {"x": 1.0}, "extra": None}
    payload = {
        "before": None,
        "after": row,
        "source": SOURCE | {"schema": "public", "table": "t"},
        "op": op,
    }
    sides = [field("struct", side, fields=ROW_FIELDS) for side in ("before", "after")]
    return inline(f"acme.public.t{suffix}", payload, sides)


KEY = inline("acme.public.t.Key", {"id": 1}, [field("int32", "id")])


def test_foreign_record_is_read_by_its_inline_schema_with_the_offset_as_sequence() -> None:
    event = decoder().decode(stored(foreign(), None, KEY))

    assert event is not None
    kinds = [column.type for column in event.table.columns]
    assert [kinds[1], kinds[2], kinds[4]] == [Timestamp(3), Decimal(None, 2), Json()]
    assert event.table.columns[0].default == 4
    assert event.table.key_names == ("id",)
    assert (event.table.qualified_name, event.sequence) == ("public.t", 42)
    assert event.after == (1, 7000, "1.50", ("a", None), '{"x":1.0}', None)


def test_foreign_tombstone_uses_the_structure_of_the_topic_or_of_its_key() -> None:
    made = decoder()
    alone = made.decode(stored(None, None, KEY))
    made.decode(stored(foreign(), None, KEY))
    behind = made.decode(stored(None, None, KEY))

    assert alone is not None
    assert behind is not None
    assert (alone.table.qualified_name, alone.before) == ("public.t", (1,))
    assert behind.before == (1, *[UNCHANGED] * 5)


def test_foreign_key_that_changes_makes_another_structure() -> None:
    made = decoder()
    made.decode(stored(foreign(), None, KEY))
    wider = inline("k", {"id": 1, "n": "AJY="}, [field("int32", "id"), field("bytes", "n")])

    event = made.decode(stored(foreign(), None, wider))
    truncate = made.decode(stored(foreign("t"), None))

    assert event is not None
    assert truncate is not None
    assert event.table.key_names == truncate.table.key_names == ("id", "n")


@pytest.mark.parametrize(
    "name",
    ["io.debezium.connector.common.Heartbeat", "x.TransactionMetadataValue", "x.MessageValue"],
)
def test_foreign_record_of_another_kind_changes_no_row(name: str) -> None:
    assert decoder().decode(stored(inline(name, {}, []), None)) is None


@pytest.mark.parametrize("schemas", [True, False])
def test_our_records_that_are_no_rows_change_none(schemas: bool) -> None:
    rowless = rowless_table("shop")
    transaction = Transaction("7", 1, 7)
    made = DebeziumJson(
        SourceIdentity("postgresql", "acme", "1"),
        Options(schemas=schemas),
        MemorySchemas(),
        compacts=True,
        pipeline="shop",
        clock_us=lambda: 0,
    )
    records = made.encode(
        [
            begin_event(rowless, transaction, 5),
            message_event(rowless, "p", b"c", transaction, 0, 6),
            end_event(rowless, transaction, 1, 7),
            heartbeat_event(rowless),
        ]
    )

    found = [
        made.decode(Stored(record.topic.name, 0, 0, record.key, record.value, (), 0))
        for record in records
    ]

    assert found == [None] * 4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"ts_ms": 5}, "neither Tidewire's `cdc` header nor an inline schema"),
        (foreign(suffix=".Value"), "not in Debezium's envelope"),
        (inline("t.Envelope", {"source": {}}, []), "not in Debezium's envelope"),
        (inline("t.Envelope", None, []), "schema and no payload"),
        ({"schema": {"name": "t.Envelope"}, "payload": {"source": {}}}, "has no fields"),
    ],
)
def test_foreign_record_of_another_shape_is_a_named_error(value: object, message: str) -> None:
    with pytest.raises(CdcError, match=message):
        decoder().decode(stored(value, None))


def test_foreign_key_that_is_not_json_or_not_in_the_row_is_a_named_error() -> None:
    strange = inline("k", {"zip": 1}, [field("int32", "zip")])
    broken = Stored("t", 0, 1, b"{", json.dumps(foreign()).encode(), (), 0)

    with pytest.raises(SchemaError, match="columns that its rows do not have"):
        decoder().decode(stored(foreign(), None, strange))
    with pytest.raises(DecodeError, match="not JSON"):
        decoder().decode(broken)


def test_value_of_the_wrong_type_is_told_with_its_column() -> None:
    dated = TableSchema("shop", "public", "d", (Column("at", Timestamp(3)), Column("n", Decimal())))
    schemas = MemorySchemas()
    schemas.add(dated)
    value = {**VALUE, "after": {"at": None, "n": {"scale": "x", "value": "AA=="}}}

    with pytest.raises(DecodeError, match="column 'n' is damaged"):
        Decoder(schemas).decode(stored(value, b"1." + dated.id.encode()))


def test_structure_with_options_of_a_newer_version_is_refused_by_their_names() -> None:
    newer = replace(TABLE, encoding=(("decimal", "roman"),))
    schemas = MemorySchemas()
    schemas.add(newer)

    with pytest.raises(SchemaError, match=r"does not know \(decimal\)"):
        Decoder(schemas).decode(stored(VALUE, b"17." + newer.id.encode()))


def failure(reader: Decoder, record: Stored) -> str | None:
    """What is said about a record that cannot be read; other errors pass through."""
    try:
        reader.decode(record)
    except (DecodeError, SchemaError) as error:
        return str(error)
    return None


DATED = TableSchema("shop", "public", "d", (Column("id", Decimal(4, 1), nullable=False),), (0,))


@pytest.mark.parametrize(
    "source",
    [
        {"sequence": "no pair"},
        {"sequence": "[]"},
        {"sequence": "7"},
        {"lsn": "nowhere"},
        {"lsn": [1]},
        {"ts_us": {}},
        {"ts_us": None, "ts_ms": "soon"},
        {"origin": {"a": 1}, "txId": [1], "snapshot": [2]},
    ],
)
def test_odd_source_block_is_a_named_error_or_no_matter(source: dict[str, object]) -> None:
    """Anything else would end the process, again at every start."""
    record = stored({**VALUE, "source": {**SOURCE, **source}})

    said = failure(decoder(), record)

    assert said is None or "record 42 of acme.public.t/0" in said


@pytest.mark.parametrize("key", [{"id": "?"}, {"id": 7}, {"id": None}, {"id": [1]}])
def test_damaged_key_of_a_tombstone_is_a_named_error_or_no_matter(key: object) -> None:
    schemas = MemorySchemas()
    schemas.add(DATED)

    said = failure(Decoder(schemas), stored(None, b"17." + DATED.id.encode(), key))

    assert said is None or "?" not in said


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["schema", "payload", "before", "after", "source", "op", "type",
                             "fields", "field", "name", "ts_ms", "lsn", "sequence", "id", "v"])
            | st.text(max_size=3), inner, max_size=6),
        max_leaves=12,
    ),
    st.sampled_from([None, HEADER, HEADER + b".1", HEADER + b".0.2.1"]),
    st.booleans(),
)  # fmt: skip
def test_no_record_ends_the_process(content: object, header: bytes | None, is_key: bool) -> None:
    for value in (content, {**VALUE, "source": content}, {**VALUE, "after": content}):
        record = stored(None, header, value) if is_key else stored(value, header, key=content)
        assert failure(decoder(), record) != ""
