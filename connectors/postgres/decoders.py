"""Which decoder belongs to which logical type; and arrays, whose elements have a decoder too.

Source: PostgreSQL manual, Arrays, Array Input and Output Syntax; array_out in
src/backend/utils/adt/arrayfuncs.c.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

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
    Float32,
    Float64,
    Geometry,
    Int8,
    Int16,
    Int32,
    Int64,
    Interval,
    Json,
    LogicalType,
    Map,
    Point,
    SparseVector,
    String,
    Time,
    Timestamp,
    TimestampTz,
    TimeTz,
    UInt64,
    Uuid,
    Vector,
)  # fmt: skip
from connectors.postgres import extension_values, values

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
_BARE: Final = {
    delimiter: re.compile(rb'[^%b{}"\\]+' % delimiter) for delimiter in (b",", b";", b":")
}
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
    Map: extension_values.hstore,
    Point: extension_values.point,
    Geometry: extension_values.geometry,
    SparseVector: extension_values.sparse_vector,
}
_FORMS: Final[Mapping[type[LogicalType], int]] = {
    Boolean: FORM_BOOLEAN,
    Int8: FORM_INTEGER,
    Int16: FORM_INTEGER,
    Int32: FORM_INTEGER,
    Int64: FORM_INTEGER,
    # Shortest since version 12, with the session's extra_float_digits.
    Float32: FORM_FLOAT,
    Float64: FORM_FLOAT,
    String: FORM_TEXT,
    Date: FORM_DATE,
    Time: FORM_TIME,
    Timestamp: FORM_TIMESTAMP,
    TimestampTz: FORM_TIMESTAMP_UTC,
    Uuid: FORM_UUID,
    Json: FORM_TEXT,
    Enum: FORM_TEXT,
}


def decoder(kind: LogicalType) -> Decoder:
    """The function from bytes as sent to the logical value of `kind`.

    A Decimal with a scale but no precision is `money`. Raises SchemaError for other databases'
    types.
    """
    if isinstance(kind, Array):
        item = decoder(kind.item)
        delimiter = delimiter_of(kind.item).encode()

        def decode(raw: bytes) -> tuple[object, ...]:
            return array(raw, item, delimiter)

        return decode
    if isinstance(kind, Vector):
        return extension_values.half_vector if kind.half else extension_values.vector
    if isinstance(kind, Decimal):
        return values.money if _is_money(kind) else values.decimal
    chosen = _DECODERS.get(type(kind))
    if chosen is None:
        raise SchemaError(f"Postgres has no values of the logical type {kind.name}")
    return chosen


def form(kind: LogicalType) -> int:
    """What the bytes as sent are, as one of the FORM constants of cdc.event."""
    if isinstance(kind, Decimal):
        return FORM_OPAQUE if _is_money(kind) else FORM_NUMERIC
    return _FORMS.get(type(kind), FORM_OPAQUE)


def _is_money(kind: Decimal) -> bool:
    return kind.precision is None and kind.scale is not None


def delimiter_of(item: LogicalType) -> str:
    """What separates the elements of an array in its text: a comma for nearly all types.

    Source: pg_type.typdelim, which is `;` for box and `:` for the types of PostGIS.
    """
    if item == String("box"):
        return ";"
    return ":" if isinstance(item, Geometry) else ","


def array(raw: bytes, item: Decoder, delimiter: bytes = b",") -> tuple[object, ...]:
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
        return _nested_array(raw, start, item, delimiter)
    return tuple([_bare_item(part, item) for part in inner.split(delimiter)])


def _bare_item(part: bytes, item: Decoder) -> object:
    if part == b"NULL":
        return None
    if not part:
        raise _bad(0)
    return item(part)


def _nested_array(raw: bytes, start: int, item: Decoder, delimiter: bytes) -> tuple[object, ...]:
    """The array whose first brace is at `start`, with quoted elements or further dimensions."""
    comma = delimiter[0]
    bare = _BARE[delimiter]
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
        elif not wanted and byte == comma and depth:
            wanted = True
            position += 1
        elif not wanted and byte == 125 and depth:
            closed = tuple(levels.pop())
            depth -= 1
            levels[-1].append(closed)
            position += 1
        elif wanted and depth and item_depth in {0, depth}:
            item_depth = depth
            value, position = _item_at(raw, position, item, bare)
            levels[-1].append(value)
            wanted = False
        else:
            raise _bad(position)
    if depth or len(levels[0]) != 1:
        raise _bad(position)
    whole = levels[0][0]
    assert isinstance(whole, tuple)
    return whole


def _item_at(
    raw: bytes, position: int, item: Decoder, bare: re.Pattern[bytes]
) -> tuple[object, int]:
    """The element at `position`, quoted or bare, and the offset behind it."""
    if raw[position] != 34:
        match = bare.match(raw, position)
        if match is None:
            raise _bad(position)
        return _bare_item(match[0], item), match.end()
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
