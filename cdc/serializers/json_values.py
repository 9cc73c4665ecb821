"""Connect values and schemas as the JSON text of Kafka's JsonConverter, and values back.

JsonConverter writes with Jackson, whose text differs from Python's in three ways that are
significant byte for byte: floats are written as Java's Float and Double do, characters beyond the
basic plane and rare control characters are escaped with upper-case hexadecimal digits.
"""

import base64
import re
import struct
from binascii import b2a_base64
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring

from cdc.errors import DecodeError
from cdc.schema import NO_DEFAULT
from cdc.serializers import decimals
from cdc.serializers.connect import DECIMAL, Connect, dimensions
from cdc.serializers.mapping import as_bytes, as_int

Write = Callable[[object], bytes]
Read = Callable[[object], object]

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_SMALL_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u([0-9a-f]{4})")
_SPECIAL_FLOATS = {"inf": b'"Infinity"', "-inf": b'"-Infinity"', "nan": b'"NaN"'}
_FLOAT32_NORMAL_MIN = 2.0**-126


def quote(text: str) -> bytes:
    """The text as a JSON string, escaped as Jackson does."""
    quoted = encode_basestring(text)
    if "\\u" in quoted:
        quoted = _SMALL_ESCAPE.sub(
            lambda match: f"{match.group(1)}\\u{match.group(2).upper()}", quoted
        )
    if not quoted.isascii() and _ASTRAL.search(quoted):
        quoted = _ASTRAL.sub(_surrogates, quoted)
    return quoted.encode()


def _surrogates(match: re.Match[str]) -> str:
    high, low = struct.unpack(">HH", match.group().encode("utf-16-be"))
    return f"\\u{high:04X}\\u{low:04X}"


def write_int(value: object) -> bytes:
    """Decimal digits."""
    return b"%d" % as_int(value)


def write_bool(value: object) -> bytes:
    """`true` or `false`."""
    return b"true" if value else b"false"


def write_string(value: object) -> bytes:
    """A quoted string."""
    return quote(str(value))


def write_bytes(value: object) -> bytes:
    """Standard base64 in quotes."""
    return b'"' + b2a_base64(as_bytes(value), newline=False) + b'"'


def write_double(value: object) -> bytes:
    """As Java's Double.toString since JDK 19: the shortest digits that give the same number."""
    number = float(str(value)) if not isinstance(value, float) else value
    text = repr(number)
    if 1e-3 <= number < 1e7:
        # Here Java and Python write alike.
        return text.encode()
    if text in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[text]
    if "e" in text and "." not in text:
        # Java wants two digits and then takes the nearest (4.9E-324, not 5E-324).
        two_digits = f"{number:.1e}"
        text = two_digits if float(two_digits) == number else text
    return _java_float(text)


def write_float(value: object) -> bytes:
    """As Java's Float.toString; the value is exactly representable in 32 bits."""
    number = float(str(value)) if not isinstance(value, float) else value
    if repr(number) in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[repr(number)]
    # Six digits always survive the way to 32 bits and back, except for subnormal numbers.
    first = 6 if abs(number) >= _FLOAT32_NORMAL_MIN or number == 0 else 2
    for digits in range(first, 9):
        text = f"{number:.{digits - 1}e}"
        if _to_float32(float(text)) == number:
            return _java_float(text)
    return _java_float(f"{number:.8e}")


def _to_float32(number: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return float("inf")


def _java_float(text: str) -> bytes:
    """Java's form of a finite number's decimal text: plain from 10^-3 to 10^7, else with E."""
    sign = "-" if text.startswith("-") else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    power = int(exponent or 0) + len(whole)
    digits = (whole + fraction).lstrip("0")
    power -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0.0".encode()
    if -3 < power <= 0:
        return f"{sign}0.{'0' * -power}{digits}".encode()
    if 0 < power <= 7:
        padded = digits.ljust(power, "0")
        return f"{sign}{padded[:power]}.{padded[power:] or '0'}".encode()
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{power - 1}".encode()


_WRITERS: dict[str, Write] = {
    "int8": write_int,
    "int16": write_int,
    "int32": write_int,
    "int64": write_int,
    "float": write_float,
    "double": write_double,
    "boolean": write_bool,
    "string": write_string,
    "bytes": write_bytes,
}


def writer(schema: Connect) -> Write:
    """What writes a Connect value (not null) of this schema."""
    if schema.items is not None:
        return _array_writer(writer(schema.items), dimensions(schema.items))
    if schema.keys is not None and schema.values is not None:
        return _map_writer(schema.keys, writer(schema.keys), writer(schema.values))
    if schema.type == "struct":
        return _struct_writer([(name, writer(field)) for name, field in schema.fields])
    if schema.as_number:
        return _number_writer(int(dict(schema.parameters)["scale"]))
    return _WRITERS[schema.type]


def _number_writer(scale: int) -> Write:
    # Source: Jackson's DecimalNode, which writes BigDecimal.toString.
    return lambda value: decimals.java_text(decimals.unscaled_int(as_bytes(value)), scale).encode()


def _array_writer(item: Write, nested: Callable[[list[object]], bool]) -> Write:
    def one(value: object) -> bytes:
        if value is None:
            return b"null"
        return many(value) if isinstance(value, list) and nested(value) else item(value)

    def many(value: object) -> bytes:
        assert isinstance(value, list)
        return b"[" + b",".join([one(part) for part in value]) + b"]"

    return many


def _struct_writer(fields: list[tuple[str, Write]]) -> Write:
    fragments = [(quote(name) + b":", name, _nullable(item)) for name, item in fields]

    def write(value: object) -> bytes:
        assert isinstance(value, dict)
        return b"{" + b",".join([head + item(value[n]) for head, n, item in fragments]) + b"}"

    return write


def _nullable(item: Write) -> Write:
    return lambda value: b"null" if value is None else item(value)


def _map_writer(keys: Connect, key: Write, item: Write) -> Write:
    # A JSON object has text keys only; other maps are arrays of pairs.
    opening, between, closing = (b"", b":", b"") if keys.type == "string" else (b"[", b",", b"]")
    start, end = (b"{", b"}") if keys.type == "string" else (b"[", b"]")
    nullable = _nullable(item)

    def write(value: object) -> bytes:
        assert isinstance(value, dict)
        pairs = [opening + key(k) + between + nullable(v) + closing for k, v in value.items()]
        return start + b",".join(pairs) + end

    return write


def reader(schema: Connect) -> Read | None:  # noqa: PLR0911 - one answer for each kind of schema
    """What turns parsed JSON of this schema into a Connect value; None: they are the same."""
    if schema.items is not None:
        return _array_reader(reader(schema.items), dimensions(schema.items))
    if schema.keys is not None and schema.values is not None:
        return _map_reader(schema.keys, reader(schema.values))
    if schema.type == "struct":
        readers = [(name, reader(field)) for name, field in schema.fields]
        return lambda value: _read_struct(value, readers)
    if schema.as_number:
        return _number_reader(int(dict(schema.parameters)["scale"]))
    if schema.type == "bytes":
        return _read_base64
    if schema.type == "double":
        return _read_double
    if schema.type == "float":
        return lambda value: _to_float32(_read_double(value))
    return None


def _number_reader(scale: int) -> Read:
    def read(value: object) -> object:
        # A float has lost digits by now: whoever parses the record keeps the text of fractions.
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise DecodeError("not an exact number where the structure has one", kind="value")
        try:
            text = f"{Decimal(value):f}"
            return decimals.unscaled_bytes(decimals.fixed_unscaled(text, scale))
        except (InvalidOperation, decimals.Unrepresentable) as error:
            raise DecodeError("not a number of the column's scale", kind="value") from error

    return read


def _read_base64(value: object) -> object:
    if not isinstance(value, str):
        raise DecodeError("not base64 where the structure has bytes", kind="value")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise DecodeError("not base64 where the structure has bytes", kind="value") from error


def _read_double(value: object) -> float:
    if not isinstance(value, (float, int, str)):
        raise DecodeError("not a number where the structure has one", kind="value")
    try:
        return float(value)
    except ValueError as error:
        raise DecodeError("not a number where the structure has one", kind="value") from error


def _array_reader(item: Read | None, nested: Callable[[list[object]], bool]) -> Read | None:
    if item is None:
        return None

    def one(value: object) -> object:
        if value is None:
            return None
        return many(value) if isinstance(value, list) and nested(value) else item(value)

    def many(value: object) -> object:
        if not isinstance(value, list):
            raise DecodeError("not an array where the structure has one", kind="value")
        return [one(part) for part in value]

    return many


def _read_struct(value: object, readers: list[tuple[str, Read | None]]) -> object:
    if not isinstance(value, dict):
        raise DecodeError("not an object where the structure has a struct", kind="value")
    return {
        n: value[n] if read is None or value[n] is None else read(value[n]) for n, read in readers
    }


def _map_reader(keys: Connect, item: Read | None) -> Read:
    pairs = keys.type != "string"

    def read(value: object) -> object:
        if not isinstance(value, list if pairs else dict):
            raise DecodeError("not a map where the structure has one", kind="value")
        content = dict(value)
        if item is None:
            return content
        return {key: None if part is None else item(part) for key, part in content.items()}

    return read


def schema_text(schema: Connect, field: str | None = None) -> bytes:
    """The schema as JsonConverter writes it; the order of its properties is JsonConverter's."""
    parts = [b'"type":' + quote(schema.type)]
    if schema.type == "struct":
        fields = b",".join([schema_text(child, name) for name, child in schema.fields])
        parts.append(b'"fields":[' + fields + b"]")
    if schema.items is not None:
        parts.append(b'"items":' + schema_text(schema.items))
    if schema.keys is not None and schema.values is not None:
        parts.append(b'"keys":' + schema_text(schema.keys))
        parts.append(b'"values":' + schema_text(schema.values))
    parts.append(b'"optional":' + write_bool(schema.optional))
    if schema.name is not None:
        parts.append(b'"name":' + quote(schema.name))
    if schema.version is not None:
        parts.append(b'"version":%d' % schema.version)
    if schema.doc is not None:
        parts.append(b'"doc":' + quote(schema.doc))
    if schema.parameters:
        pairs = [quote(name) + b":" + quote(text) for name, text in schema.parameters]
        parts.append(b'"parameters":{' + b",".join(pairs) + b"}")
    if schema.default is not NO_DEFAULT:
        parts.append(b'"default":' + writer(schema)(schema.default))
    if field is not None:
        parts.append(b'"field":' + quote(field))
    return b"{" + b",".join(parts) + b"}"


def header_text(  # noqa: PLR0911 - one answer for each kind of schema
    schema: Connect, value: object
) -> bytes:
    """The value inside a record header as SimpleHeaderConverter writes it, nested in a struct.

    Source: Kafka Connect's Values.convertToString. It escapes only quotes and backslashes, and
    writes a Decimal as a number.
    """
    if value is None:
        return b"null"
    if schema.name == DECIMAL:
        scale = int(dict(schema.parameters)["scale"])
        return decimals.java_text(decimals.unscaled_int(as_bytes(value)), scale).encode()
    if schema.items is not None:
        assert isinstance(value, list)
        items = schema.items
        return b"[" + b",".join([header_text(items, part) for part in value]) + b"]"
    if schema.keys is not None and schema.values is not None:
        assert isinstance(value, dict)
        keys, values = schema.keys, schema.values
        pairs = [header_text(keys, k) + b":" + header_text(values, v) for k, v in value.items()]
        return b"{" + b",".join(pairs) + b"}"
    if schema.type == "struct":
        assert isinstance(value, dict)
        fields = [
            f'"{name}":'.encode() + header_text(field, value[name]) for name, field in schema.fields
        ]
        return b"{" + b",".join(fields) + b"}"
    if schema.type == "string":
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'.encode()
    return writer(schema)(value)
