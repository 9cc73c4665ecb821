"""The lines of `cdc tail`."""

from cdc.cli.records import _decoded, line, raw_line
from cdc.errors import DecodeError
from cdc.event import UNCHANGED, ChangeEvent, Record, Row, Stored
from cdc.schema import Column, Decimal, Int32, TableSchema, TimestampTz
from cdc.schemas.memory import MemorySchemas
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options

TABLE = TableSchema(
    "shop",
    "public",
    "prices",
    (
        Column("id", Int32(), nullable=False),
        Column("price", Decimal(8, 2)),
        Column("since", TimestampTz()),
    ),
    (0,),
)
ROW = (1, "12.50", 1_700_000_000_500_000)


def lines(op: str, before: Row | None, after: Row | None) -> list[str]:
    schemas = MemorySchemas()
    serializer = DebeziumJson(
        SourceIdentity("postgresql", "shop", "tidewire-1"),
        Options(),
        schemas,
        compacts=True,
        pipeline="shop",
        clock_us=lambda: 0,
    )
    records = schemas.take(serializer.encode([ChangeEvent(op, TABLE, before, after, None)]))
    found = []
    for offset, stored in enumerate(map(stored_of, records)):
        event = serializer.decode(stored)
        assert event is not None
        found.append(line(stored, event).replace(f"shop.public.prices/0/{offset} ", ""))
    return found


def stored_of(record: Record) -> Stored:
    headers = tuple(record.all_headers())
    return Stored(record.topic.name, 0, 0, record.key, record.value, headers, 0)


def test_values_are_written_for_people() -> None:
    assert lines("c", None, ROW) == [
        'c {"id":1} {"id":1,"price":"12.50","since":"2023-11-14T22:13:20.5Z"}'
    ]


def test_values_that_were_not_sent_are_named() -> None:
    assert lines("u", None, (1, UNCHANGED, None)) == [
        'u {"id":1} {"id":1,"since":null} unchanged: price'
    ]


def test_delete_shows_what_is_known_and_its_tombstone_the_key() -> None:
    assert lines("d", (1, UNCHANGED, UNCHANGED), None)[0] == 'd {"id":1} {"id":1}'
    assert lines("d", ROW, None)[1].endswith('tombstone {"id":1}')


def test_record_of_no_known_format_is_shown_as_it_is() -> None:
    stored = Stored("t", 0, 7, b"k", b"\xff{", (), 0)

    assert raw_line(stored) == 't/0/7 "k" "\\\\xff{"'


def test_truncate_is_told_without_a_row() -> None:
    assert lines("t", None, None) == ["t"]


def test_record_that_cannot_be_decoded_is_no_error() -> None:
    def fails(stored: Stored) -> ChangeEvent | None:
        raise DecodeError("the record is damaged", kind="record")

    assert _decoded(fails, Stored("t", 0, 7, b"k", b"v", (), 0)) is None


def test_content_of_a_logical_message_is_shown() -> None:
    value = b'{"op":"m","source":{},"message":{"prefix":"app","content":"dGV4dA=="}}'
    stored = Stored("shop.message", 0, 7, b'{"prefix":"app"}', value, (), 0)

    assert raw_line(stored) == (
        'shop.message/0/7 m {"prefix":"app"} {"prefix":"app","content":"dGV4dA=="}'
    )
