"""Arrays, with texts of PostgreSQL 15.18, and the choice of decoders."""

import pytest

from cdc.errors import DecodeError, SchemaError
from cdc.event import (
    FORM_BOOLEAN,
    FORM_DATE,
    FORM_FLOAT,
    FORM_INTEGER,
    FORM_NUMERIC,
    FORM_OPAQUE,
    FORM_TEXT,
    FORM_TIME,
    FORM_TIMESTAMP,
    FORM_TIMESTAMP_UTC,
    FORM_UUID,
)
from cdc.schema import (
    Array,
    Bits,
    Boolean,
    Bytes,
    Date,
    Decimal,
    Enum,
    Float64,
    Int32,
    Int64,
    Interval,
    Json,
    LogicalType,
    String,
    Time,
    Timestamp,
    TimestampTz,
    Uuid,
)  # fmt: skip
from connectors.postgres.decoders import decoder, form

ARRAYS: list[tuple[LogicalType, bytes, object]] = [
    (Int32(), b"{}", ()),
    (Int32(), b"{1,NULL,-3}", (1, None, -3)),
    (Int32(), b"{{1,2},{3,4}}", ((1, 2), (3, 4))),
    (Int32(), b"[0:1][2:3]={{1,2},{3,4}}", ((1, 2), (3, 4))),
    (Int32(), b"[-1:0]={5,6}", (5, 6)),
    (Int32(), b"{{{1},{NULL}}}", (((1,), (None,)),)),
    (
        String(),
        '{"a b","","NULL",NULL,"a,b","q\\"x","back\\\\slash","{}",é}'.encode(),
        ("a b", "", "NULL", None, "a,b", 'q"x', "back\\slash", "{}", "é"),
    ),
    (String(), b'{{"a,b",c},{NULL,"}"}}', (("a,b", "c"), (None, "}"))),
    (String(), b'{"\\"\\\\\\""}', ('"\\"',)),
    (Bytes(), b'{"\\\\x0102",NULL}', (b"\x01\x02", None)),
    (Boolean(), b"{t,f,NULL}", (True, False, None)),
    (Date(), b'{2026-09-14,"0044-03-15 BC"}', (20710, -735160)),
    (TimestampTz(), b'{"2026-09-14 05:05:09.12+00"}', (1789362309120000,)),
    (Decimal(None, 2), b'{$1.50,"$1,234.00"}', ("1.50", "1234.00")),
    (Float64(), b"{1.1,1e+300}", (1.1, 1e300)),
]

BAD_ARRAYS = (
    b"", b"{", b"}", b"1,2", b"{1,2", b"1,2}", b"{1,,2}", b"{1,2}}", b"{{1,2}", b"{1,{2}}",
    b"{{1},2}", b'{"1', b'{"1"2}', b'{1"2"}', b"[0:1]{1,2}", b"[0:1={1,2}", b"{,}", b"{1,2}x",
    b"{{1}{2}}", b"{}{}", b"{{}", b'{"1\\', b"{x}", b"{null}", b"{1\\2}", b'{"1"}{"2"}', b"{1,}",
)  # fmt: skip


@pytest.mark.parametrize(("item", "raw", "value"), ARRAYS)
def test_array_text_gives_a_tuple_for_each_dimension(
    item: LogicalType, raw: bytes, value: object
) -> None:
    assert value == decoder(Array(item))(raw)


@pytest.mark.parametrize("raw", BAD_ARRAYS)
def test_damaged_array_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decoder(Array(Int32()))(raw)


def test_long_array_takes_time_in_proportion_to_its_length() -> None:
    raw = b"{" + b",".join([b'"a b"'] * 100_000) + b"}"

    assert len(decoder(Array(String()))(raw)) == 100_000  # type: ignore[arg-type]


def test_decimal_with_scale_alone_is_money() -> None:
    assert decoder(Decimal(None, 2))(b"-$1,234.50") == "-1234.50"
    assert decoder(Decimal(10, 2))(b"-1234.50") == "-1234.50"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Int32(), FORM_INTEGER), (Int64(), FORM_INTEGER), (Float64(), FORM_FLOAT),
        (String("xml"), FORM_TEXT), (Json(), FORM_TEXT), (Enum(), FORM_TEXT), (Uuid(), FORM_UUID),
        (Decimal(), FORM_NUMERIC), (Decimal(5, 2), FORM_NUMERIC), (Boolean(), FORM_BOOLEAN),
        (Date(), FORM_DATE), (Time(), FORM_TIME), (Timestamp(), FORM_TIMESTAMP),
        (TimestampTz(), FORM_TIMESTAMP_UTC),
    ],
)  # fmt: skip
def test_text_of_a_type_has_a_form(kind: LogicalType, expected: int) -> None:
    assert expected == form(kind)


@pytest.mark.parametrize("kind", [Bits(), Bytes(), Interval(), Decimal(None, 2), Array(Int32())])
def test_text_that_only_its_decoder_knows_is_opaque(kind: LogicalType) -> None:
    assert form(kind) == FORM_OPAQUE


def test_type_that_postgres_does_not_have_is_refused() -> None:
    with pytest.raises(SchemaError, match="logical"):
        decoder(LogicalType())
