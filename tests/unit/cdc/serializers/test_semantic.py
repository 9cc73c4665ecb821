"""Logical types: their schemas, encodings under each option, and what has no encoding."""

import pytest

from cdc import schema as logical
from cdc.errors import DecodeError, SchemaError
from cdc.schema import LogicalType
from cdc.serializers.connect import Connect
from cdc.serializers.decimals import Unrepresentable
from cdc.serializers.json_values import header_text, reader, schema_text, writer
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping

US = 1_789_369_509_123_456


def options(**chosen: object) -> Options:
    return Options.model_validate(chosen)


def written(kind: LogicalType, value: object, **chosen: object) -> bytes:
    how = mapping(kind, options(**chosen))
    return writer(how.schema)(value if how.write is None else how.write(value))


@pytest.mark.parametrize(
    ("kind", "mode", "value", "name", "text"),
    [
        (logical.Date(), "adaptive", 20710, "io.debezium.time.Date", b"20710"),
        (logical.Date(), "connect", 20710, "org.apache.kafka.connect.data.Date", b"20710"),
        (logical.Date(), "isostring", 20710, "io.debezium.time.IsoDate", b'"2026-09-14Z"'),
        (logical.Time(3), "adaptive", 14706789000, "io.debezium.time.Time", b"14706789"),
        (logical.Time(4), "adaptive", 14706789123, "io.debezium.time.MicroTime", b"14706789123"),
        (logical.Time(3), "microseconds", 5000, "io.debezium.time.MicroTime", b"5000"),
        (
            logical.Time(6), "connect", 86400000000,
            "org.apache.kafka.connect.data.Time", b"86400000",
        ),
        (logical.Time(0), "adaptive_time_microseconds", 0, "io.debezium.time.MicroTime", b"0"),
        (logical.Time(6), "isostring", 86400000000, "io.debezium.time.IsoTime", b'"00:00:00Z"'),
        (logical.Time(6), "nanoseconds", 1, "io.debezium.time.NanoTime", b"1000"),
        (logical.Timestamp(3), "adaptive", -1000, "io.debezium.time.Timestamp", b"-1"),
        (logical.Timestamp(6), "adaptive", US, "io.debezium.time.MicroTimestamp", b"%d" % US),
        (logical.Timestamp(3), "microseconds", US, "io.debezium.time.MicroTimestamp", b"%d" % US),
        (logical.Timestamp(6), "nanoseconds", US, "io.debezium.time.NanoTimestamp", b"%d000" % US),
        (
            logical.Timestamp(6), "nanoseconds", logical.TIMESTAMP_INFINITY,
            "io.debezium.time.NanoTimestamp", b"9223372036854775807",
        ),
        (
            logical.Timestamp(6), "connect", US,
            "org.apache.kafka.connect.data.Timestamp", b"1789369509123",
        ),
        (
            logical.Timestamp(6), "isostring", US,
            "io.debezium.time.IsoTimestamp", b'"2026-09-14T07:05:09.123456Z"',
        ),
        (
            logical.TimestampTz(3), "connect", US,
            "io.debezium.time.ZonedTimestamp", b'"2026-09-14T07:05:09.123Z"',
        ),
    ],
)  # fmt: skip
def test_times_by_time_precision(
    kind: LogicalType, mode: str, value: int, name: str, text: bytes
) -> None:
    assert mapping(kind, options(time_precision=mode)).schema.name == name
    assert written(kind, value, time_precision=mode) == text


@pytest.mark.parametrize(
    ("kind", "chosen", "value", "text"),
    [
        (logical.Decimal(8, 3), {}, "12.375", b'"MFc="'),
        (logical.Decimal(8, 3), {"decimal": "string"}, "12.375", b'"12.375"'),
        (logical.Decimal(8, 3), {"decimal": "double"}, "12.375", b"12.375"),
        (logical.Decimal(8, 3), {"decimal": "double"}, "NaN", b'"NaN"'),
        (logical.Decimal(), {"decimal": "string"}, "-Infinity", b'"NEGATIVE_INFINITY"'),
        (logical.Decimal(), {}, "12.500", b'{"scale":1,"value":"fQ=="}'),
        (logical.Decimal(), {}, "0.000", b'{"scale":0,"value":"AA=="}'),
        (logical.Decimal(5, -2), {}, "12300", b'"ew=="'),
        (logical.Bytes(), {}, b"\xff\xfe", b'"//4="'),
        (logical.Bytes(), {"binary": "hex"}, b"\xff\xfe", b'"fffe"'),
        (logical.Bytes(), {"binary": "base64"}, b"\xff\xfe", b'"//4="'),
        (logical.Bytes(), {"binary": "base64_url_safe"}, b"\xff\xfe", b'"__4="'),
        (logical.Interval(), {}, (14, 3, 14_706_780_000), b"37091106780000"),
        (logical.Interval(), {"interval": "string"}, (14, 3, 0), b'"P1Y2M3DT0H0M0S"'),
        (logical.Bits(12), {}, "000100000011", b'"AwE="'),
        (logical.Bits(8), {}, "00000000", b'""'),
        (logical.Bits(1), {}, "1", b"true"),
        (logical.TimeTz(), {}, (14_711_789_000, -28_800), b'"12:05:11.789Z"'),
        (logical.TimeTz(), {}, (86_400_000_000, 0), b'"00:00:00Z"'),
        (logical.Array(logical.Int32()), {}, ((1, None), (3, 4)), b"[[1,null],[3,4]]"),
        (logical.Array(logical.TimeTz()), {}, ((1_000_000, 0), None), b'["00:00:01Z",null]'),
        (logical.Float64(), {}, float("-inf"), b'"-Infinity"'),
    ],
)
def test_values_by_option(
    kind: LogicalType, chosen: dict[str, object], value: object, text: bytes
) -> None:
    assert written(kind, value, **chosen) == text


@pytest.mark.parametrize(
    ("kind", "chosen", "value"),
    [
        (logical.Decimal(8, 3), {}, "NaN"),
        (logical.Decimal(8, 3), {}, "1.2345"),
        (logical.Decimal(), {}, "Infinity"),
        (logical.UInt64(), {}, 2**63),
        (logical.Interval(), {}, (178_000_000 * 12, 0, 0)),
        (logical.Timestamp(6), {"time_precision": "nanoseconds"}, -62_135_596_800_000_001),
        (
            logical.Array(logical.Timestamp(6)),
            {"time_precision": "nanoseconds"},
            (-62_135_596_800_000_001,),
        ),
        (logical.Time(6), {"time_precision": "connect"}, -1),
        (logical.Time(6), {"time_precision": "isostring"}, 90_000_000_000),
        (logical.Array(logical.Int32()), {"schemas": True}, ((1, 2),)),
    ],
)
def test_value_without_an_encoding_is_refused(
    kind: LogicalType, chosen: dict[str, object], value: object
) -> None:
    with pytest.raises(Unrepresentable):
        written(kind, value, **chosen)


@pytest.mark.parametrize(
    ("kind", "chosen", "unavailable"),
    [
        (logical.Bytes(), {}, b"__debezium_unavailable_value"),
        (logical.Bytes(), {"binary": "hex"}, "__debezium_unavailable_value"),
        (logical.Bytes(), {"binary": "base64"}, None),
        (logical.Array(logical.Bytes()), {"binary": "hex"}, None),
        (logical.Array(logical.String("text")), {}, ["__debezium_unavailable_value"]),
        (logical.Array(logical.String("inet")), {}, None),
        (logical.Array(logical.Uuid()), {}, ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]),
        (logical.Array(logical.Date()), {}, list(b"__debezium_unavailable_value")),
        (logical.Array(logical.Date()), {"time_precision": "isostring"}, None),
        (logical.Array(logical.Decimal()), {}, None),
        (logical.Int32(), {}, None),
    ],
)
def test_placeholders_are_debeziums_of_each_type(
    kind: LogicalType, chosen: dict[str, object], unavailable: object
) -> None:
    assert mapping(kind, options(**chosen)).unavailable == unavailable


@pytest.mark.parametrize(
    ("kind", "chosen", "value"),
    [
        (logical.Timestamp(6), {"time_precision": "nanoseconds"}, US),
        (logical.Timestamp(6), {"time_precision": "nanoseconds"}, logical.TIMESTAMP_MINUS_INFINITY),
        (logical.Timestamp(6), {"time_precision": "isostring"}, logical.TIMESTAMP_INFINITY),
        (logical.Date(), {"time_precision": "isostring"}, logical.DATE_INFINITY),
        (logical.Date(), {"time_precision": "isostring"}, -735_160),
        (logical.Time(6), {"time_precision": "isostring"}, 14_706_789_123),
        (logical.Time(6), {"time_precision": "nanoseconds"}, 14_706_789_123),
        (logical.Time(3), {"time_precision": "connect"}, 14_706_789_000),
        (logical.Timestamp(3), {"time_precision": "connect"}, -1000),
        (logical.Decimal(10, 2), {"decimal": "double"}, "-0.05"),
        (logical.Decimal(), {"decimal": "double"}, "Infinity"),
        (logical.Decimal(), {"decimal": "string"}, "NaN"),
        (logical.Array(logical.Bytes()), {"binary": "hex"}, (b"\x00", None)),
        (logical.Array(logical.Float64()), {}, (1.5, float("inf"))),
    ],
)
def test_what_is_written_is_read_back(
    kind: LogicalType, chosen: dict[str, object], value: object
) -> None:
    import orjson

    how = mapping(kind, options(**chosen))
    content = orjson.loads(written(kind, value, **chosen))

    json_read = reader(how.schema)
    content = content if json_read is None else json_read(content)

    assert (content if how.read is None else how.read(content)) == value


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (logical.Bytes(), "no base64!"),
        (logical.Float64(), []),
        (logical.Float64(), "many"),
        (logical.Decimal(), 5),
        (logical.Decimal(), "x"),
        (logical.Array(logical.Bytes()), "x"),
        (logical.TimestampTz(), "yesterday"),
        (logical.TimestampTz(), "then"),
        (logical.TimeTz(), "noon"),
        (logical.Array(logical.Int32()), 5),
        (logical.Timestamp(3), "x"),
    ],
)
def test_damaged_value_is_a_decode_error(kind: LogicalType, content: object) -> None:
    how = mapping(kind, Options())
    json_read = reader(how.schema)

    def read() -> object:
        half = content if json_read is None else json_read(content)
        return half if how.read is None else how.read(half)

    with pytest.raises(DecodeError):
        read()


def test_unknown_logical_type_is_named() -> None:
    class Hologram(LogicalType):
        name = "hologram"

    with pytest.raises(SchemaError, match="'hologram'"):
        mapping(Hologram(), Options())


def test_schema_text_has_the_properties_in_json_converters_order() -> None:
    schema = Connect(
        "array", True, "n", 3, "d", (("a", "1"),), [1], items=Connect("int32", optional=True)
    )  # fmt: skip

    assert schema_text(schema, "f") == (
        b'{"type":"array","items":{"type":"int32","optional":true},"optional":true,"name":"n",'
        b'"version":3,"doc":"d","parameters":{"a":"1"},"default":[1],"field":"f"}'
    )


@pytest.mark.parametrize("digits", ["", "0", "0g", "00 ff"])
def test_placeholder_of_raw_bytes_needs_pairs_of_digits(digits: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        options(unavailable_value_placeholder=f"hex:{digits}")


def test_placeholder_of_raw_bytes_is_them_in_binary_columns_and_their_characters_in_text() -> None:
    chosen = options(unavailable_value_placeholder="hex:C3A9FF")

    placeholders = [
        mapping(kind, chosen).unavailable
        for kind in (logical.Bytes(), logical.String(), logical.Array(logical.Int32()))
    ]

    assert placeholders == [b"\xc3\xa9\xff", "\u00e9\ufffd", [195, 169, 255]]


def test_decimal_with_fewer_digits_than_its_column_is_scaled_up() -> None:
    assert written(logical.Decimal(8, 3), "12") == b'"LuA="'


def test_unlimited_bits_lose_their_leading_zeros() -> None:
    how = mapping(logical.Bits(None), Options())

    assert how.read is not None
    assert [how.read(b"\x05"), how.read(b"")] == ["101", ""]


@pytest.mark.parametrize(
    "kind", [logical.Date(), logical.Interval(), logical.Time(), logical.Timestamp()]
)
def test_damaged_iso_text_is_a_decode_error(kind: LogicalType) -> None:
    read = mapping(kind, options(time_precision="isostring", interval="string")).read

    assert read is not None
    with pytest.raises(DecodeError):
        read("2026")


def test_struct_of_a_decimal_that_is_none_is_a_decode_error() -> None:
    read = mapping(logical.Decimal(), Options()).read

    assert read is not None
    with pytest.raises(DecodeError, match="scale and value"):
        read("x")


def test_nested_arrays_without_inline_schemas_are_read_back() -> None:
    how = mapping(logical.Array(logical.Bytes()), options(binary="hex"))

    assert how.write is not None
    assert how.read is not None
    nested = ((b"\x01", None), (b"",))
    assert how.read(how.write(nested)) == nested


@pytest.mark.parametrize("kind", [logical.Decimal(), logical.Decimal(1000, 6000)])
@pytest.mark.parametrize(
    "text", ["9" * 131_072, "-" + "1" * 5_000 + "." + "7" * 6_000], ids=["long", "fraction"]
)
def test_decimal_of_thousands_of_digits_is_exact(kind: LogicalType, text: str) -> None:
    how = mapping(kind, Options())
    assert how.write is not None
    assert how.read is not None

    again = str(how.read(how.write(text)))

    assert again.rstrip("0").removesuffix(".") == text


def test_decimal_in_a_key_header_keeps_every_digit() -> None:
    how = mapping(logical.Decimal(40, 3), Options())
    assert how.write is not None
    digits = "1234567890123456789012345678901234567.891"

    assert header_text(how.schema, how.write(digits)) == digits.encode()


def test_timestamp_beyond_64_bits_of_microseconds_has_no_encoding() -> None:
    # 294276-12-31 23:59:59.999999, the last of Postgres.
    with pytest.raises(Unrepresentable, match="64 bits"):
        written(logical.Timestamp(6), 9_224_318_015_999_999_999)
    assert (
        written(logical.Timestamp(6), 9_224_318_015_999_999_999, time_precision="isostring")
        == b'"+294276-12-31T23:59:59.999999Z"'
    )
