"""Text as Jackson and Java write it, and what is refused."""

import struct
from collections.abc import Callable

import pytest

from cdc.errors import DecodeError
from cdc.protocols import Serializer
from cdc.schema import Decimal, Float32
from cdc.serializers import json as json_format
from cdc.serializers.connect import Connect
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.json_values import (
    header_text,
    quote,
    reader,
    write_double,
    write_float,
    write_int,
)  # fmt: skip
from cdc.serializers.mapping import as_bytes
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (0.001, "0.001"), (0.0001, "1.0E-4"),
        (1e7, "1.0E7"), (9999999.0, "9999999.0"), (12345678.9, "1.23456789E7"),
        (-2.25, "-2.25"), (1e23, "1.0E23"), (5e-324, "4.9E-324"), (2e-323, "2.0E-323"),
        (1.7976931348623157e308, "1.7976931348623157E308"), (float("nan"), '"NaN"'),
    ],
)  # fmt: skip
def test_doubles_are_written_as_java_does(number: float, text: str) -> None:
    assert write_double(number) == text.encode()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"), (3.14159, "3.14159"), (16777216.0, "1.6777216E7"), (1e-45, "1.4E-45"),
        (3.4028235e38, "3.4028235E38"), (127398752.0, "1.2739875E8"), (0.0, "0.0"),
            (0.12040666490793228, "0.120406665"),
        (float("-inf"), '"-Infinity"'),
    ],
)  # fmt: skip
def test_floats_are_written_as_java_does(number: float, text: str) -> None:
    in_32_bits = struct.unpack("<f", struct.pack("<f", number))[0]

    assert write_float(in_32_bits) == text.encode()


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('a"b\\c/', '"a\\"b\\\\c/"'),
        ("\b\f\n\r\t", '"\\b\\f\\n\\r\\t"'), ("\x0b\x7f", '"\\u000B\x7f"'),
        ("é\u2028", '"é\u2028"'), ("😀x", '"\\uD83D\\uDE00x"'), ("\\u001f", '"\\\\u001f"'),
    ],
)  # fmt: skip
def test_strings_are_escaped_as_jackson_does(text: str, quoted: str) -> None:
    assert quote(text) == quoted.encode()


@pytest.mark.parametrize(
    "read",
    [
        lambda: write_int("1"),
        lambda: as_bytes("1"),
        lambda: (reader(mapping(Decimal(), Options()).schema) or str)([]),
        lambda: (reader(Connect("array", items=Connect("bytes"))) or str)("x"),
    ],
)
def test_value_of_the_wrong_shape_is_a_decode_error(read: Callable[[], object]) -> None:
    with pytest.raises(DecodeError):
        read()


def test_float_beyond_32_bits_is_read_as_infinite() -> None:
    read = reader(mapping(Float32(), Options()).schema)

    assert read is not None
    assert read(1e300) == float("inf")


def test_header_values_are_nested_as_simple_header_converter_does() -> None:
    item = Connect("string", optional=True)
    schema = Connect(
        "struct", fields=(("a", Connect("array", items=item)), ("n", item), ("i", Connect("int32")))
    )

    assert (
        header_text(schema, {"a": ["x", None], "n": None, "i": 5})
        == b'{"a":["x",null],"n":null,"i":5}'
    )


def test_format_json_makes_a_serializer() -> None:
    made: Serializer = json_format.create(
        json_format.Config(), SourceIdentity("postgresql", "a", "v"), None,
        compacts=True, pipeline="p", clock_us=lambda: 0,
    )  # fmt: skip

    assert made.encode([]) == []
