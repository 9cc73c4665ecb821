"""Logical values as fields of documents."""

import pytest

from cdc import schema
from cdc.documents import converter
from cdc.errors import DecodeError
from cdc.schema import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
    Array,
    Bits,
    Boolean,
    Bytes,
    Date,
    Decimal,
    Enum,
    Float32,
    Float64,
    Int64,
    Interval,
    Json,
    LogicalType,
    String,
    Time,
    Timestamp,
    TimestampTz,
    TimeTz,
    UInt64,
    Uuid,
)

HOUR_US = 3_600_000_000

CASES: list[tuple[LogicalType, object, object]] = [
    (Boolean(), True, True),
    (Int64(), -(2**63), -(2**63)),
    (UInt64(), 2**64 - 1, 2**64 - 1),
    (Float64(), 0.1, 0.1),
    (Float64(), float("nan"), "NaN"),
    (Float32(), float("inf"), "Infinity"),
    (Float64(), float("-inf"), "-Infinity"),
    (Decimal(38, 10), "12345678901234567890.0000000001", "12345678901234567890.0000000001"),
    (Decimal(), "NaN", "NaN"),
    (String(), "text", "text"),
    (Bytes(), b"\x00\xff", "AP8="),
    (Date(), 0, "1970-01-01"),
    (Date(), 20_780, "2026-11-23"),
    (Date(), 11_016, "2000-02-29"),
    (Date(), -719_528, "0000-01-01"),
    (Date(), -719_529, "-0001-12-31"),
    (Date(), 2_932_897, "+10000-01-01"),
    (Date(), DATE_INFINITY, "infinity"),
    (Date(), DATE_MINUS_INFINITY, "-infinity"),
    (Time(), 0, "00:00:00"),
    (Time(), 12 * HOUR_US + 500_000, "12:00:00.5"),
    (Time(), 24 * HOUR_US, "24:00:00"),
    (Time(), -(838 * HOUR_US + 59 * 60_000_000 + 59_000_000), "-838:59:59"),
    (TimeTz(), (HOUR_US + 1, 7200), "01:00:00.000001+02:00"),
    (TimeTz(), (HOUR_US, -(5 * 3600 + 1800)), "01:00:00-05:30"),
    (TimeTz(), (HOUR_US, 53 * 60 + 28), "01:00:00+00:53:28"),
    (Timestamp(), 0, "1970-01-01T00:00:00"),
    (Timestamp(), -1, "1969-12-31T23:59:59.999999"),
    (TimestampTz(), 1_700_000_000_123_000, "2023-11-14T22:13:20.123Z"),
    (Timestamp(), TIMESTAMP_INFINITY, "infinity"),
    (TimestampTz(), TIMESTAMP_MINUS_INFINITY, "-infinity"),
    (Interval(), (0, 0, 0), "PT0S"),
    (Interval(), (14, 3, 4 * HOUR_US + 5 * 60_000_000 + 6_500_000), "P1Y2M3DT4H5M6.5S"),
    (Interval(), (-14, 0, 0), "P-1Y-2M"),
    (Interval(), (1, -1, -1), "P1M-1DT-0.000001S"),
    (Interval(), (0, 0, -(HOUR_US + 60_000_000)), "PT-1H-1M"),
    (Uuid(), "c0ffee00-0000-0000-0000-000000000000", "c0ffee00-0000-0000-0000-000000000000"),
    (Json(), '{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
    (Json(), '"text"', "text"),
    (Json(), "12345678901234567890123", 12345678901234567890123),
    (Json(), '{"far": 1e999}', {"far": "1e999"}),
    (Enum(("a", "b")), "b", "b"),
    (Bits(3), "101", "101"),
    (Array(Int64()), (1, None, 3), [1, None, 3]),
    (Array(Int64()), (), []),
    (Array(Bytes()), ((b"a",), (None,)), [["YQ=="], [None]]),
    (Array(Interval()), ((0, 1, 0), None), ["P1D", None]),
    (Array(TimeTz()), (((HOUR_US, 0),), ((0, 0),)), [["01:00:00+00:00"], ["00:00:00+00:00"]]),
    (Array(Json()), ('{"a": 1}',), [{"a": 1}]),
]


@pytest.mark.parametrize(("kind", "value", "field"), CASES)
def test_a_value_becomes_this_field(kind: LogicalType, value: object, field: object) -> None:
    convert = converter(kind)

    found = value if convert is None else convert(value)

    assert field == found
    assert type(field) is type(found)


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_broken_json_is_an_error_without_the_value(text: str) -> None:
    convert = converter(Json())
    assert convert is not None

    with pytest.raises(DecodeError) as error:
        convert(text)

    assert text not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        (schema.Map(), {"a": "1", "b": None}, {"a": "1", "b": None}),
        (schema.Point(), (2.5, float("inf")), {"x": 2.5, "y": "Infinity"}),
        (schema.Geometry(), (4326, b"\x01"), {"srid": 4326, "wkb": "AQ=="}),
        (schema.Geometry(), (None, b"\x01"), {"srid": None, "wkb": "AQ=="}),
        (schema.Vector(), (1.0, 0.5), [1.0, 0.5]),
        (schema.SparseVector(), (6, {1: 0.5}), {"dimensions": 6, "values": {"1": 0.5}}),
        (schema.String("pair"), '(1,"a b")', '(1,"a b")'),
        (
            schema.Array(schema.Point()),
            (((1.0, 2.0), None), (None, None)),
            [[{"x": 1.0, "y": 2.0}, None], [None, None]],
        ),
        (schema.Array(schema.Vector()), ((1.0, 2.0), None), [[1.0, 2.0], None]),
        (schema.Array(schema.Geometry()), ((None, b"\x01"),), [{"srid": None, "wkb": "AQ=="}]),
    ],
)
def test_rarer_types_are_objects_and_lists(
    kind: schema.LogicalType, value: object, field: object
) -> None:
    convert = converter(kind)

    assert field == (value if convert is None else convert(value))
