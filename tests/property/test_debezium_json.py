"""What is written is read back, whatever the types, and raw rows give the bytes of plain ones."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.event import (
    FORM_INTEGER,
    FORM_TEXT,
    UNCHANGED,
    ChangeEvent,
    RawRow,
    Record,
    RowLayout,
    Stored,
    Transaction,
)
from cdc.schema import Bytes, Column, Int64, String, TableSchema
from cdc.schemas.memory import MemorySchemas
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from tests.property.strategies import TEXT, rows, same, tables

IDENTITY = SourceIdentity("postgresql", "acme", "tidewire-1")
TRANSACTION = Transaction("7", 1_789_369_509_123_456, 7, 41, 'upstream "1"', 17)

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def serializer(options: Options, schemas: MemorySchemas | None = None) -> DebeziumJson:
    return DebeziumJson(
        IDENTITY,
        options,
        schemas,
        compacts=True,
        pipeline="p",
        clock_us=lambda: 1_789_369_600_000_001,
    )


def stored(record: Record, sequence: int) -> Stored:
    record.sequence = sequence
    headers = tuple(record.all_headers())
    return Stored(record.topic.name, 0, 5, record.key, record.value, headers, 0)


def read_back(event: ChangeEvent, options: Options) -> list[ChangeEvent | None]:
    schemas = MemorySchemas()
    made = serializer(options, schemas)
    records = schemas.take(made.encode([event]))
    return [made.decode(stored(record, 100 + n)) for n, record in enumerate(records)]


OPTIONS = st.builds(
    Options,
    schemas=st.booleans(),
    replace_null_with_default=st.booleans(),
    decimal=st.sampled_from(["precise", "string"]),
    time_precision=st.sampled_from(["adaptive", "adaptive_time_microseconds", "microseconds"]),
    binary=st.sampled_from(["bytes", "base64", "base64_url_safe", "hex"]),
    interval=st.just("string"),
    debezium_headers=st.booleans(),
)


@EXAMPLES
@given(st.data(), tables(), OPTIONS)
def test_new_rows_are_read_back_as_they_were_written(
    data: st.DataObject, table: TableSchema, options: Options
) -> None:
    after = data.draw(rows(table, UNCHANGED))
    op = data.draw(st.sampled_from(["r", "c", "u"]))
    marker = data.draw(st.sampled_from([None, "first", "last_in_data_collection"]))
    event = ChangeEvent(op, table, None, after, TRANSACTION, 3, 4711, marker)

    (found,) = read_back(event, options)

    assert found is not None
    assert (op, None, marker) == (found.op, found.before, found.snapshot)
    assert table == found.table
    assert same(after, found.after), (after, found.after)
    assert (found.position, found.sequence) == (4711, 100)
    transaction = found.transaction
    assert transaction is not None
    assert (transaction.id, transaction.xid, transaction.prior_position) == ("7", 7, 41)
    assert TRANSACTION.commit_time_us == transaction.commit_time_us
    assert (TRANSACTION.origin, 17) == (transaction.origin, transaction.origin_position)


@EXAMPLES
@given(st.data(), tables(), OPTIONS)
def test_whole_old_rows_are_read_back_as_they_were_written(
    data: st.DataObject, table: TableSchema, options: Options
) -> None:
    after = data.draw(rows(table))
    before = data.draw(rows(table))
    keep = [after[index] if index in table.key else value for index, value in enumerate(before)]
    event = ChangeEvent("u", table, tuple(keep), after, TRANSACTION)

    (found,) = read_back(event, options)

    assert found is not None
    assert same(tuple(keep), found.before)
    assert same(after, found.after)


@EXAMPLES
@given(st.data(), tables(), OPTIONS)
def test_deletes_and_their_tombstones_are_read_back(
    data: st.DataObject, table: TableSchema, options: Options
) -> None:
    before = data.draw(rows(table, UNCHANGED))
    event = ChangeEvent("d", table, before, None, TRANSACTION)

    deleted, tombstone = read_back(event, options)

    assert deleted is not None
    assert same(before, deleted.before)
    assert deleted.after is None
    if not table.key:
        assert tombstone is None
        return
    assert tombstone is not None
    assert tombstone.before is not None
    for index, value in enumerate(tombstone.before):
        assert same(before[index], value) if index in table.key else value is UNCHANGED


@EXAMPLES
@given(st.data(), tables(), OPTIONS)
def test_every_record_is_json_and_fits_its_inline_schema(
    data: st.DataObject, table: TableSchema, options: Options
) -> None:
    after = data.draw(rows(table))
    with_schemas = options.model_copy(update={"schemas": True})

    records = MemorySchemas().take(
        serializer(with_schemas).encode([ChangeEvent("c", table, None, after, TRANSACTION)])
    )

    assert records[0].value is not None
    content = json.loads(records[0].value)
    assert {"schema", "payload"} == set(content)
    fields = {field["field"]: field for field in content["schema"]["fields"]}
    assert list(fields) == list(content["payload"])
    columns = [field["field"] for field in fields["after"]["fields"]]
    assert columns == list(content["payload"]["after"])


@EXAMPLES
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.none() | TEXT), max_size=3))
def test_raw_rows_give_the_bytes_of_plain_rows(content: list[tuple[int, str | None]]) -> None:
    columns = (
        Column("id", Int64(), nullable=False),
        Column("name", String()),
        Column("kind", String("varchar"), nullable=False),
    )
    table = TableSchema("shop", "public", "t", columns, (0, 2))
    layout = RowLayout((int, bytes.decode, bytes.decode), (FORM_INTEGER, FORM_TEXT, FORM_TEXT))
    plain, raw = [], []
    for number, text in content:
        row = (number, text, text or "")
        plain.append(ChangeEvent("c", table, None, row, TRANSACTION))
        as_sent: list[object] = [
            b"%d" % number,
            None if text is None else text.encode(),
            (text or "").encode(),
        ]
        raw.append(ChangeEvent("c", table, None, RawRow(layout, as_sent), TRANSACTION))

    from_plain = serializer(Options()).encode(plain)
    from_raw = serializer(Options()).encode(raw)

    assert [(r.key, r.value, r.mark) for r in from_plain] == [
        (r.key, r.value, r.mark) for r in from_raw
    ]


def test_what_stands_for_bytes_that_were_not_sent_need_not_be_hexadecimal() -> None:
    columns = (Column("id", Int64(), nullable=False), Column("content", Bytes()))
    table = TableSchema("shop", "public", "t", columns, (0,))

    (found,) = read_back(
        ChangeEvent("u", table, None, (1, UNCHANGED), TRANSACTION), Options(binary="hex")
    )

    assert found is not None
    assert found.after == (1, UNCHANGED)
