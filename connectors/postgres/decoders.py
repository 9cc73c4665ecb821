"""Which decoder belongs to which logical type; and arrays, whose elements have a decoder too.

Source: PostgreSQL manual, Arrays, Array Input and Output Syntax; array_out in
src/backend/utils/adt/arrayfuncs.c.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from cdc.errors import DecodeError, SchemaError
from cdc.schema import (
    Array,
    Bits,
    Boolean,
    Bytes,
    Date,
    Decimal,
    Enum,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
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
)  # fmt: skip
from connectors.postgres import values

Decoder = Callable[[bytes], object]

SESSION_SETTINGS: Final[Mapping[str, str]] = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "standard_conforming_strings": "on",
    "search_path": "",
}
"""What decides how a value is written, whatever the role's and the database's settings are."""

_BOUNDS: Final = re.compile(rb"(?:\[-?\d+:-?\d+\]){1,6}=")
_BARE: Final = re.compile(rb'[^,{}"\\]+')
_DECODERS: Final[Mapping[type[LogicalType], Decoder]] = {
    Boolean: values.boolean,
    Int8: values.int8,
    Int16: values.int16,
    Int32: values.int32,
    Int64: values.int64,
    UInt64: values.uint64,
    Float32: values.float32,
    Float64: values.float64,
    String: values.text,
    Bytes: values.bytea,
    Date: values.date,
    Time: values.time,
    Timestamp: values.timestamp,
    TimestampTz: values.timestamptz,
    TimeTz: values.timetz,
    Interval: values.interval,
    Uuid: values.uuid,
    Json: values.text,
    Enum: values.text,
    Bits: values.bits,
}
_CANONICAL: Final = (Int8, Int16, Int32, Int64, UInt64, String, Uuid, Json, Enum, Bits)


def decoder(kind: LogicalType) -> Decoder:
    """The function from bytes as sent to the logical value of `kind`.

    A Decimal with a scale but no precision is `money`. Raises SchemaError for other databases'
    types.
    """
    if isinstance(kind, Array):
        item = decoder(kind.item)

        def decode(raw: bytes) -> tuple[object, ...]:
            return array(raw, item)

        return decode
    if isinstance(kind, Decimal):
        return values.money if _is_money(kind) else values.decimal
    chosen = _DECODERS.get(type(kind))
    if chosen is None:
        raise SchemaError(f"Postgres has no values of the logical type {kind.name}")
    return chosen


def canonical(kind: LogicalType) -> bool:
    """Whether the bytes as sent are the value's own text, so that an encoder may copy them."""
    if isinstance(kind, Decimal):
        return not _is_money(kind)
    return isinstance(kind, _CANONICAL)


def _is_money(kind: Decimal) -> bool:
    return kind.precision is None and kind.scale is not None


def array(raw: bytes, item: Decoder) -> tuple[object, ...]:
    """The elements as a tuple, nested once per further dimension; lower bounds are dropped."""
    start = 0
    if raw[:1] == b"[":
        bounds = _BOUNDS.match(raw)
        if bounds is None:
            raise _bad(0)
        start = bounds.end()
    if raw[start : start + 1] != b"{" or raw[-1:] != b"}":
        raise _bad(start)
    if len(raw) == start + 2:
        return ()
    inner = raw[start + 1 : -1]
    if b'"' in inner or b"{" in inner or b"}" in inner or b"\\" in inner:
        return _nested_array(raw, start, item)
    return tuple([_bare_item(part, item) for part in inner.split(b",")])


def _bare_item(part: bytes, item: Decoder) -> object:
    if part == b"NULL":
        return None
    if not part:
        raise _bad(0)
    return item(part)


def _nested_array(raw: bytes, start: int, item: Decoder) -> tuple[object, ...]:
    """The array whose first brace is at `start`, with quoted elements or further dimensions."""
    levels: list[list[object]] = [[]]
    depth = 0
    item_depth = 0
    position = start
    wanted = True
    while position < len(raw):
        byte = raw[position]
        if wanted and byte == 123:
            levels.append([])
            depth = len(levels) - 1
            position += 1
        elif not wanted and byte == 44 and depth:
            wanted = True
            position += 1
        elif not wanted and byte == 125 and depth:
            closed = tuple(levels.pop())
            depth -= 1
            levels[-1].append(closed)
            position += 1
        elif wanted and depth and item_depth in {0, depth}:
            item_depth = depth
            value, position = _item_at(raw, position, item)
            levels[-1].append(value)
            wanted = False
        else:
            raise _bad(position)
    if depth or len(levels[0]) != 1:
        raise _bad(position)
    whole = levels[0][0]
    assert isinstance(whole, tuple)
    return whole


def _item_at(raw: bytes, position: int, item: Decoder) -> tuple[object, int]:
    """The element at `position`, quoted or bare, and the offset behind it."""
    if raw[position] != 34:
        bare = _BARE.match(raw, position)
        if bare is None:
            raise _bad(position)
        return _bare_item(bare[0], item), bare.end()
    position += 1
    parts: list[bytes] = []
    while True:
        quote = raw.find(b'"', position)
        if quote < 0:
            raise _bad(position)
        escape = raw.find(b"\\", position, quote)
        if escape < 0:
            parts.append(raw[position:quote])
            return item(b"".join(parts)), quote + 1
        # The byte behind a backslash stands for itself.
        parts.extend((raw[position:escape], raw[escape + 1 : escape + 2]))
        position = escape + 2


def _bad(offset: int | None) -> DecodeError:
    return DecodeError("the server's text is no value of its type", kind="array", offset=offset)
