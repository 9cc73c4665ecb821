"""The ways from a server's text to JSON give what decoding and writing give, or stand aside.

The rare way decides what a value is: whatever a way writes, decoder and writer must write too, and
what the decoder refuses no way may take.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal as Number

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc import schema as logical
from cdc.errors import DecodeError
from cdc.event import ChangeEvent, RawRow, RowLayout, Transaction
from cdc.schema import Column, LogicalType, TableSchema
from cdc.serializers.debezium_plan import ColumnContent, plan_content
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.json_text import Scratch
from cdc.serializers.json_ways import FORMS, WAY_NONE
from cdc.serializers.options import Options
from cdc.serializers.plain_rows import plain
from connectors.postgres.decoders import decoder, form
from tests.property.strategies import TEXT
from tests.property.test_debezium_json import serializer

EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
IDENTITY = SourceIdentity("postgresql", "acme", "tidewire-1")


def _moment(moment: datetime) -> str:
    # As the server writes it: no zeros at the end of the fraction, nor a fraction of zero.
    text = f"{moment.year:04d}-{moment:%m-%d %H:%M:%S}"
    return f"{text}.{moment.microsecond:06d}".rstrip("0") if moment.microsecond else text


def _clock(clock: time) -> str:
    return _moment(datetime.combine(date(2000, 1, 1), clock))[11:]


def _float_text(number: float) -> str:
    text = repr(number).removesuffix(".0")
    return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(text, text)


_INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-40_000, 40_000)
_NUMBERS = st.tuples(st.integers(-(10**20), 10**20), st.integers(0, 12)).map(
    lambda pair: f"{Number(pair[0]).scaleb(-pair[1]):f}"
)
_MONEY_LIKE = st.integers(-(10**16), 10**16).map(lambda n: f"{Number(n).scaleb(-2):f}")
_MOMENTS = st.datetimes().map(_moment) | st.sampled_from(
    ["infinity", "-infinity", "0044-03-15 12:00:00 BC", "294276-12-31 23:59:59.999999"]
)
_DOUBLES = st.floats().map(_float_text) | st.floats(-2e7, 2e7).map(_float_text)
_FLOATS = st.floats(width=32).map(lambda n: f"{n:.6g}") | _NUMBERS

USUAL: dict[LogicalType, st.SearchStrategy[str]] = {
    logical.Boolean(): st.sampled_from(["t", "f"]),
    logical.Int16(): _INTEGERS.map(str),
    logical.Int32(): _INTEGERS.map(str) | st.integers(-(2**32), 2**32).map(str),
    logical.Int64(): _INTEGERS.map(str),
    logical.UInt64(): st.integers(0, 2**64 - 1).map(str),
    logical.Float64(): _DOUBLES,
    logical.Float32(): _FLOATS,
    logical.Decimal(12, 2): _MONEY_LIKE | _NUMBERS,
    logical.Decimal(18, 0): _INTEGERS.map(str),
    logical.Decimal(): _NUMBERS,
    logical.String(): TEXT,
    logical.Json(): TEXT,
    logical.Enum(("a", "b")): TEXT,
    logical.Uuid(): st.uuids().map(str),
    logical.Date(): st.dates().map(lambda day: f"{day.year:04d}-{day:%m-%d}"),
    logical.Time(0): st.times().map(_clock),
    logical.Time(3): st.times().map(_clock),
    logical.Time(6): st.times().map(_clock),
    logical.Timestamp(3): _MOMENTS,
    logical.Timestamp(6): _MOMENTS,
    logical.TimestampTz(0): _MOMENTS.map(lambda text: text + "+00"),
    logical.TimestampTz(3): _MOMENTS.map(lambda text: text + "+00"),
    logical.TimestampTz(6): _MOMENTS.map(lambda text: text + "+00")
    | st.datetimes(timezones=st.just(UTC)).map(lambda moment: _moment(moment) + "+05:30"),
}
_ODD = st.sampled_from([*b'0123456789-+.:, eETZtfBC\\"\n\x01\x80\xff']).map(lambda n: bytes([n]))


@st.composite
def sent(draw: st.DrawFn, kind: LogicalType) -> bytes:
    """A value as the server sends it; now and then with a byte too many, too few or changed."""
    text = draw(USUAL[kind]).encode()
    # Another digit in a float is not what the server writes: only the shortest text is.
    if isinstance(kind, logical.Float64) or draw(st.integers(0, 3)):
        return text
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(_ODD | st.just(b"")) + text[place + draw(st.integers(0, 1)) :]


OPTIONS = st.builds(
    Options,
    decimal=st.sampled_from(["precise", "string", "double"]),
    time_precision=st.sampled_from(
        ["adaptive", "connect", "isostring", "microseconds", "nanoseconds"]
    ),
)


def column_of(kind: LogicalType, options: Options) -> ColumnContent:
    table = TableSchema("d", "public", "t", (Column("v", kind, nullable=False),), ())
    return plan_content(table, IDENTITY, options, compacts=True).columns[0]


@pytest.mark.parametrize("kind", USUAL, ids=lambda kind: f"{kind.name}-{hash(kind) & 0xFFF:03x}")
@EXAMPLES
@given(data=st.data(), options=OPTIONS)
def test_a_way_writes_what_decoder_and_writer_write_or_nothing(
    kind: LogicalType, data: st.DataObject, options: Options
) -> None:
    raw = data.draw(sent(kind))
    column = column_of(kind, options)
    scratch = Scratch()

    taken = FORMS[column.way] == form(kind) and scratch.put_value(
        b'"v":', column.way, column.parameter, raw, 0, len(raw)
    )

    if taken:
        assert b'"v":' + column.write(decoder(kind)(raw)) == scratch.take()
    else:
        assert scratch.take() == b""


@pytest.mark.parametrize("kind", USUAL, ids=lambda kind: f"{kind.name}-{hash(kind) & 0xFFF:03x}")
@EXAMPLES
@given(data=st.data(), options=OPTIONS)
def test_a_plain_way_writes_what_decoder_and_writer_write_or_nothing(
    kind: LogicalType, data: st.DataObject, options: Options
) -> None:
    raw = data.draw(sent(kind))
    column = column_of(kind, options)

    way = column.way if FORMS[column.way] == form(kind) else WAY_NONE
    written = plain(way, column.parameter)(raw)

    if written is not None:
        assert column.write(decoder(kind)(raw)) == written


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (logical.Boolean(), b"t"), (logical.Int16(), b"-327"), (logical.Int32(), b"0"),
        (logical.Int64(), b"999999999999999999"), (logical.Float64(), b"-0.0015"),
        (logical.Float32(), b"12.5"), (logical.Decimal(12, 2), b"-1.28"),
        (logical.Decimal(12, 2), b"655.36"), (logical.String(), 'é "\\\n\x01😀'.encode()),
        (logical.Uuid(), b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), (logical.Json(), b'{"a": 1}'),
        (logical.Date(), b"2024-02-29"), (logical.Time(6), b"23:59:59.5"),
        (logical.Timestamp(6), b"1969-12-31 23:59:59.999999"),
        (logical.TimestampTz(6), b"2026-01-01 00:00:00+00"),
    ],
)  # fmt: skip
def test_usual_values_have_a_plain_way(kind: LogicalType, raw: bytes) -> None:
    column = column_of(kind, Options())

    assert column.write(decoder(kind)(raw)) == plain(column.way, column.parameter)(raw)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (logical.Boolean(), b"t"), (logical.Int16(), b"-32768"), (logical.Int32(), b"2147483647"),
        (logical.Int64(), b"999999999999999999"), (logical.Float64(), b"0.14285714285714285"),
        (logical.Float64(), b"-7"), (logical.Float32(), b"0.001"),
        (logical.Decimal(12, 2), b"-1.28"),
        (logical.Decimal(), b"12.500"), (logical.Decimal(), b"-12.000"),
        (logical.String(), 'é "\\\n\x01😀'.encode()),
        (logical.Uuid(), b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), (logical.Json(), b'{"a": 1}'),
        (logical.Date(), b"2024-02-29"), (logical.Time(6), b"23:59:59.5"),
        (logical.Timestamp(6), b"1969-12-31 23:59:59.999999"),
        (logical.Timestamp(3), b"1969-12-31 23:59:59.9999"),
        (logical.TimestampTz(6), b"2026-01-01 00:00:00+00"),
    ],
)  # fmt: skip
def test_usual_values_have_a_way(kind: LogicalType, raw: bytes) -> None:
    column = column_of(kind, Options())
    scratch = Scratch()

    assert column.way != WAY_NONE
    assert scratch.put_value(b"", column.way, column.parameter, raw, 0, len(raw))
    assert column.write(decoder(kind)(raw)) == scratch.take()


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (logical.Int32(), b"2147483648"), (logical.Date(), b"2023-02-29"), (logical.Uuid(), b"a0"),
        (logical.Boolean(), b"true"), (logical.String(), b"\xed\xa0\x80"),
        (logical.Json(), b"\xc3"),
        (logical.TimestampTz(6), b"2026-01-01 24:00:00+00"), (logical.Decimal(12, 2), b"1."),
    ],
)  # fmt: skip
def test_text_that_is_no_value_is_the_decoders_error(kind: LogicalType, raw: bytes) -> None:
    table = TableSchema("d", "public", "t", (Column("v", kind),), ())
    row = RawRow(RowLayout((decoder(kind),), (form(kind),)), [raw])

    with pytest.raises(DecodeError):
        serializer(Options()).encode([ChangeEvent("c", table, None, row, Transaction("1", 0))])


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (logical.String(), b"\xc3"), (logical.String(), b"\xe2\x82"),
        (logical.String(), b"\xf0\x9f\x98"), (logical.String(), b"\xed\xa0\x80"),
        (logical.Uuid(), b"a0eebc999c0b-4ef8-bb6d-6bb9bd380a1-1"),
        (logical.Uuid(), b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g"),
        (logical.Date(), b"2023-02-29"), (logical.Date(), b"2023-04-31"),
        (logical.Time(6), b"12:00:00.1x"), (logical.Time(6), b"12:00:00,15"),
    ],
)  # fmt: skip
def test_text_that_is_no_value_is_not_written(kind: LogicalType, raw: bytes) -> None:
    column = column_of(kind, Options())
    scratch = Scratch()

    assert not scratch.put_value(b'"v":', column.way, column.parameter, raw, 0, len(raw))
    assert scratch.take() == b""


def test_text_grows_as_long_as_it_must() -> None:
    scratch = Scratch()
    long = b"\x01" * 100_000
    column = column_of(logical.String(), Options())

    scratch.put(b"[")
    assert scratch.put_value(b"", column.way, column.parameter, long, 0, len(long))
    scratch.put(b"]" * 100_000)

    assert scratch.take() == b'["' + b"\\u0001" * 100_000 + b'"' + b"]" * 100_000
    assert scratch.size == 0
