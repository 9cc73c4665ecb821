"""What is fuzzed: functions of bytes that may raise DecodeError and nothing else.

Each target reads its input as a peer's bytes would come. Reaching the end, or one of the errors it
allows, is right; everything else is a finding: another error, a hang, memory without bound.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cdc import schema as logical
from cdc.errors import CdcError, DecodeError, PositionLost, SchemaError
from cdc.event import FORM_TEXT, ChangeEvent, RowLayout, Stored, Transaction
from cdc.schema import Column, LogicalType, TableSchema
from cdc.schemas.memory import MemorySchemas
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from connectors.postgres import decoders
from connectors.postgres.copy_text import RowMaker
from connectors.postgres.lsn import Lsn
from connectors.postgres.pgoutput import Relation, Table
from connectors.postgres.position import StreamPosition
from connectors.postgres.sight import Sight
from tests.unit.connectors.postgres import replies

KINDS: Final[tuple[LogicalType, ...]] = (
    logical.Boolean(),
    logical.Int16(),
    logical.Int32(),
    logical.Int64(),
    logical.Float32(),
    logical.Float64(),
    logical.Decimal(None, None),
    logical.Decimal(10, 2),
    logical.Decimal(None, 2),
    logical.String(),
    logical.Json(),
    logical.Bytes(),
    logical.Date(),
    logical.Time(6),
    logical.Timestamp(6),
    logical.TimestampTz(6),
    logical.TimeTz(6),
    logical.Interval(),
    logical.Uuid(),
    logical.Bits(8),
    logical.Array(logical.Int32()),
    logical.Array(logical.String()),
    logical.Array(logical.TimestampTz(6)),
    logical.Map(),
    logical.Point(),
    logical.Geometry(),
    logical.Vector(),
    logical.Vector(half=True),
    logical.SparseVector(),
    logical.Array(logical.Geometry()),
    logical.Array(logical.String("box")),
)
"""The types whose text form is parsed; the first byte of an input chooses."""

_COLUMN_KINDS: Final = KINDS[: KINDS.index(logical.Map())]
"""What columns of the stream's tables have: with rarer types few of the seeds would fit them."""

VALUES: Final = (
    b'"a"=>"1", "b"=>NULL',
    b"(2.5,-4)",
    b"0101000020E6100000000000000000F03F0000000000000040",
    b"{01010000:NULL}",
    b"{(3,4),(1,2);(5,6),(1,2)}",
    b"[1,0.5]",
    b"{1:0.5,4:2}/6",
    b"t",
    b"-32768",
    b"9223372036854775807",
    b"NaN",
    b"-Infinity",
    b"1.7976931348623157e+308",
    b"-0.00000000000000000001",
    b"$1,234.56",
    b"(1,234.50)",
    b"\\xdeadbeef",
    b"0044-03-15 BC",
    b"infinity",
    b"24:00:00",
    b"04:05:06.789123",
    b"294276-12-31 23:59:59.999999",
    b"2026-09-14 07:05:09.12+00",
    b"2026-09-14 07:05:09+05:30:15",
    b"04:05:06.5-08",
    b"1 year 2 mons -3 days -04:05:06.78",
    b"P1Y2M-3DT-4H-5M-6.78S",
    b"b68a35a7-17ad-35b3-af2a-ae46edb4545a",
    b"00010010",
    b'{1,NULL,"a \\"b\\\\",{x}}',
    b"[0:1][-1:0]={{1,2},{3,4}}",
)

# Long enough for every branch; a longer one only repeats them.
INPUT_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """A function to fuzz, the errors it may raise, and inputs to begin with."""

    run: Callable[[bytes], None]
    allowed: tuple[type[CdcError], ...]
    seeds: Callable[[], Iterator[bytes]]


def parts(data: bytes) -> Iterator[bytes]:
    """The input cut into messages: two bytes of length before each."""
    place = 0
    while place + 2 <= len(data):
        size = int.from_bytes(data[place : place + 2], "big")
        yield data[place + 2 : place + 2 + size]
        place += 2 + size


def joined(messages: Iterator[bytes]) -> bytes:
    """The input that `parts` cuts into these messages."""
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def stream(data: bytes) -> None:
    """A replication stream from its beginning, every relation captured, every value decoded."""
    assembler = replies.assembler(StreamPosition(Lsn(0)), _table_of)
    for event in replies.fed(assembler, list(parts(data))):
        for row in (event.before, event.after):
            if row is not None:
                tuple(row)
    assembler.position.content()


def _table_of(relation: Relation, _: Sight) -> Table:
    """A table whose columns have the type that their oid chooses among _COLUMN_KINDS."""
    columns = [
        Column(column.name, _COLUMN_KINDS[column.type_oid % len(_COLUMN_KINDS)])
        for column in relation.columns
    ]
    key = tuple(place for place, column in enumerate(relation.columns) if column.in_identity)
    names = {column.name for column in columns}
    if len(names) != len(columns):
        raise DecodeError("two columns of one name", kind="Relation")
    schema = TableSchema("d", relation.namespace, relation.name, tuple(columns), key)
    layout = RowLayout(
        tuple(decoders.decoder(column.type) for column in columns),
        tuple(decoders.form(column.type) for column in columns),
    )
    return Table(schema, layout, tuple(column.in_identity for column in relation.columns))


def _stream_seeds() -> Iterator[bytes]:
    for version in replies.VERSIONS:
        messages = replies.captured(version)
        for start in range(0, len(messages), 12):
            yield joined(iter(messages[start : start + 12]))
    yield joined(
        iter(
            (
                replies.begin(100, 7),
                replies.relation(16, "t", ("id", "v")),
                replies.insert(16, b"1", None, lsn=90),
                replies.truncate(16),
                replies.commit(100, 108),
                replies.keepalive(200, reply=True),
            )
        )
    )
    yield joined(
        iter(
            (
                replies.stream_start(7),
                replies.streamed(replies.relation(16, "t", ("id", "v")), 7),
                replies.streamed(replies.insert(16, b"1", None, lsn=90), 7),
                replies.streamed(replies.insert(16, b"2", None, lsn=91), 8),
                replies.stream_stop(),
                replies.message("p", b"content", 95, transactional=False),
                replies.stream_abort(7, 8),
                replies.stream_start(7, first=False),
                replies.streamed(replies.message("p", b"content", 96, transactional=True), 7),
                replies.stream_stop(),
                replies.stream_commit(7, 100, 108),
                replies.keepalive(200),
            )
        )
    )


def copy_line(data: bytes) -> None:
    """One line of COPY in text format; the first byte gives how many columns the table has."""
    if not data:
        return
    width = data[0] % 8
    columns = tuple(Column(f"c{place}", logical.String()) for place in range(width))
    layout = RowLayout((bytes.decode,) * width, (FORM_TEXT,) * width)
    table = Table(TableSchema("d", "s", "t", columns, ()), layout, (False,) * width)
    event = RowMaker(table, Transaction("1", 0), 0).event(data[1:], "true")
    assert event.after is not None
    # Columns are bytes here; what they mean is the target `value`.
    assert len(event.after) == width


def _copy_seeds() -> Iterator[bytes]:
    yield b"\x03a\t\\N\tb\\\\c\\t\\n\n"
    yield b"\x01\\N\n"
    yield b"\x00\n"


def value(data: bytes) -> None:
    """One value in the server's text form, of the type that the first byte chooses."""
    if data:
        decoders.decoder(KINDS[data[0] % len(KINDS)])(data[1:])


def _value_seeds() -> Iterator[bytes]:
    for number in range(len(KINDS)):
        for text in VALUES:
            yield bytes([number]) + text


def record(data: bytes) -> None:
    """A record of a topic: whether it has the `cdc` header, then header, key and value."""
    found = [*parts(data[1:])] if data else []
    if len(found) < 3:
        return
    header, key, content = found[:3]
    flags = data[0]
    headers = (("cdc", header),) if flags & 1 else ()
    stored = Stored(
        "acme.public.t",
        0,
        5,
        None if flags & 2 else key,
        None if flags & 4 else content,
        headers,
        0,
    )
    serializer, _ = _written()
    event = serializer.decode(stored)
    if event is not None:
        for row in (event.before, event.after):
            if row is not None:
                tuple(row)


_MADE: list[tuple[DebeziumJson, list[Stored]]] = []


def _written() -> tuple[DebeziumJson, list[Stored]]:
    """A serializer that knows one structure, and records that it wrote of it."""
    if not _MADE:
        _MADE.append(_write())
    return _MADE[0]


def _write() -> tuple[DebeziumJson, list[Stored]]:

    schemas = MemorySchemas()
    serializer = DebeziumJson(
        SourceIdentity("postgresql", "acme", "tidewire-1"),
        Options(),
        schemas,
        compacts=True,
        pipeline="p",
        clock_us=lambda: 1,
    )
    columns = (
        Column("id", logical.Int64(), nullable=False),
        Column("price", logical.Decimal(10, 2)),
        Column("at", logical.TimestampTz(6)),
        Column("tags", logical.Array(logical.String())),
        Column("raw", logical.Bytes()),
        Column("bits", logical.Bits(9)),
    )
    table = TableSchema("d", "public", "t", columns, (0,))
    row = (1, "12.50", 1_789_369_509_120_000, ("a", None), b"\0\1", "000100011")
    transaction = Transaction("7", 1_789_369_509_123_456, 7, 41)
    events = [
        ChangeEvent("c", table, None, row, transaction, 0, 4711),
        ChangeEvent("u", table, row, row, transaction, 1, 4712),
        ChangeEvent("d", table, row, None, transaction, 2, 4713),
    ]
    stored = []
    for made in schemas.take(serializer.encode(events)):
        made.sequence = 100
        headers = tuple(made.all_headers())
        stored.append(Stored(made.topic.name, 0, 5, made.key, made.value, headers, 0))
    return serializer, stored


def _record_seeds() -> Iterator[bytes]:
    for stored in _written()[1]:
        header = dict(stored.headers).get("cdc", b"")
        flags = (header != b"") + 2 * (stored.key is None) + 4 * (stored.value is None)
        body = joined(iter((header, stored.key or b"", stored.value or b"")))
        yield bytes([flags]) + body


TARGETS: Final = {
    # The server's word about where it is may contradict a position; from zero it never does,
    # but a counted transaction may: that is a verdict, not a failure to decode.
    "stream": Target(stream, (DecodeError, PositionLost), _stream_seeds),
    "copy_line": Target(copy_line, (DecodeError,), _copy_seeds),
    "value": Target(value, (DecodeError,), _value_seeds),
    "record": Target(record, (DecodeError, SchemaError), _record_seeds),
}
