"""From a database's own text of a value to its JSON text, without a Python object in between.

A hot module: plain Python that setup.py compiles (declarations in json_text.pxd). It pays only when
compiled, and gives then what decoding and writing give: every function checks what it copies and
answers -1 for all that it does not know, be it rare or wrong, so that the general way decides.

Functions write to `out` from `at` on and return the place behind. `raw` has `size` bytes. There
must be room for _ROOM_FACTOR bytes for each byte of `raw`, and _ROOM_BYTES more.
"""

from typing import Final

from cdc import memory
from cdc.compiled import is_compiled
from cdc.serializers import json_numbers, json_time
from cdc.serializers.json_ways import (
    WAY_BOOLEAN,
    WAY_DAYS,
    WAY_DECIMAL,
    WAY_DOUBLE,
    WAY_FLOAT,
    WAY_INTEGER,
    WAY_NUMBER_STRING,
    WAY_STRING,
    WAY_TIME,
    WAY_TIMESTAMP,
    WAY_UUID,
    WAY_VARIABLE_DECIMAL,
    WAY_ZONED,
)

# Names of their own, which the compiler knows as numbers.
_STRING: Final = WAY_STRING
_INTEGER: Final = WAY_INTEGER
_ZONED: Final = WAY_ZONED
_TIMESTAMP: Final = WAY_TIMESTAMP
_BOOLEAN: Final = WAY_BOOLEAN
_DECIMAL: Final = WAY_DECIMAL
_UUID: Final = WAY_UUID
_DOUBLE: Final = WAY_DOUBLE
_FLOAT: Final = WAY_FLOAT
_DAYS: Final = WAY_DAYS
_TIME: Final = WAY_TIME
_VARIABLE_DECIMAL: Final = WAY_VARIABLE_DECIMAL
_NUMBER_STRING: Final = WAY_NUMBER_STRING

_DIRECT: Final = is_compiled("cdc.serializers.json_text")
_ROOM_FACTOR: Final = 6
_ROOM_BYTES: Final = 64

# What follows the backslash of a control character; u: its number does.
_ESCAPES: Final = b"uuuuuuuubtnufruuuuuuuuuuuuuuuuuu"
_HEX: Final = b"0123456789ABCDEF"
# 1 for the characters of a UUID.
_UUID_TABLE: Final = bytes(n in b"0123456789abcdef-" for n in range(256))
_UUID_BYTES: Final = _UUID_TABLE


class Scratch:
    """JSON text in the making. `size` is how long it is."""

    __slots__ = ("_memory", "_parts", "_room", "size")

    def __init__(self) -> None:
        self._room = 4096
        self._memory = bytearray(self._room)
        # In plain Python, joining parts is quicker than writing into memory.
        self._parts: list[bytes] = []
        self.size = 0

    def begin(self) -> None:
        """Forget what was appended and not taken."""
        self.size = 0
        if not _DIRECT:
            self._parts.clear()

    def put(self, text: bytes) -> None:
        """Append this."""
        length = len(text)
        if _DIRECT:
            if self.size + length > self._room:
                self._grow(length)
            memory.copy(self._memory, self.size, text, length)
        else:
            self._parts.append(text)
        self.size += length

    def put_between(
        self, parts: tuple[bytes, ...], first: bytes, second: bytes, third: bytes
    ) -> None:
        """Append four parts, and what belongs between them."""
        self.put(parts[0])
        self.put(first)
        self.put(parts[1])
        self.put(second)
        self.put(parts[2])
        self.put(third)
        self.put(parts[3])

    def put_number(self, number: int) -> None:
        """Append a number below 2**63 as decimal digits."""
        if _DIRECT:
            if self.size + _ROOM_BYTES > self._room:
                self._grow(_ROOM_BYTES)
            self.size = json_time.digits(number, self._memory, self.size)
        else:
            self.put(b"%d" % number)

    def put_value(
        self, fragment: bytes, way: int, parameter: int, packed: bytes, start: int, size: int
    ) -> bool:
        """Append `fragment` and the JSON of the `size` bytes at `start`.

        False, and nothing appended, if the value is rare.
        """
        raw = memory.part(packed, start, size)
        if not _DIRECT:
            return self._put_value(fragment, way, parameter, raw, size)
        length = len(fragment)
        if self.size + length + _ROOM_FACTOR * size + _ROOM_BYTES > self._room:
            self._grow(length + _ROOM_FACTOR * size + _ROOM_BYTES)
        memory.copy(self._memory, self.size, fragment, length)
        end = value(way, parameter, raw, size, self._memory, self.size + length)
        if end < 0:
            return False
        self.size = end
        return True

    def _put_value(self, fragment: bytes, way: int, parameter: int, raw: bytes, size: int) -> bool:
        """The same in plain Python, where nothing that has to be quick goes this way."""
        written = bytearray(_ROOM_FACTOR * size + _ROOM_BYTES)
        end = value(way, parameter, raw, size, written, 0)
        if end < 0:
            return False
        self.put(fragment + written[:end])
        return True

    def take(self) -> bytes:
        """What was appended; begins anew."""
        text = memory.taken(self._memory, self.size) if _DIRECT else b"".join(self._parts)
        self.begin()
        return text

    def _grow(self, more: int) -> None:
        self._room = 2 * self._room + more
        grown = bytearray(self._room)
        memory.copy(grown, 0, self._memory, self.size)
        self._memory = grown


def value(  # noqa: C901, PLR0911, PLR0912 - one switch
    way: int, parameter: int, raw: bytes, size: int, out: bytearray, at: int
) -> int:
    """Write one value by `way`.

    `parameter` is the number of bits of an integer, the scale of a decimal, the digits of the
    fraction of a zoned timestamp, and how many microseconds a unit of another time has.
    """
    if way == _STRING:
        return string(raw, size, out, at)
    if way == _INTEGER:
        return json_numbers.integer(raw, size, out, at, parameter)
    if way == _ZONED:
        return json_time.zoned(raw, size, out, at, parameter)
    if way == _TIMESTAMP:
        return json_time.timestamp(raw, size, out, at, parameter)
    if way == _BOOLEAN:
        return boolean(raw, size, out, at)
    if way == _DECIMAL:
        return json_numbers.decimal(raw, size, out, at, parameter)
    if way == _UUID:
        return uuid(raw, size, out, at)
    if way == _DOUBLE:
        return json_numbers.number(raw, size, out, at, 17)
    if way == _FLOAT:
        # With more digits the server's text need not be the one that Java chooses.
        return json_numbers.number(raw, size, out, at, 6)
    if way == _DAYS:
        return json_time.date(raw, size, out, at)
    if way == _TIME:
        return json_time.time(raw, size, out, at, parameter)
    if way == _VARIABLE_DECIMAL:
        return json_numbers.variable_decimal(raw, size, out, at)
    if way == _NUMBER_STRING:
        return json_numbers.number_string(raw, size, out, at)
    return -1


def string(raw: bytes, size: int, out: bytearray, at: int) -> int:
    """A string with what JSON and Jackson escape; -1 for bytes that are not UTF-8."""
    out[at] = 34
    at += 1
    index = memory.plain(raw, size)
    memory.copy(out, at, raw, index)
    at += index
    while index < size:
        byte = raw[index]
        if byte > 127:
            length = _character(raw, index, size)
            if length == 0:
                return -1
            if length == 4:
                at = _surrogates(raw, index, out, at)
            else:
                out[at] = byte
                out[at + 1] = raw[index + 1]
                if length == 3:
                    out[at + 2] = raw[index + 2]
                at += length
            index += length
            continue
        if byte < 32:
            at = _control(byte, out, at)
        else:
            if byte == 34 or byte == 92:  # noqa: PLR1714 - two compares in C
                out[at] = 92
                at += 1
            out[at] = byte
            at += 1
        index += 1
    out[at] = 34
    return at + 1


def _control(byte: int, out: bytearray, at: int) -> int:
    out[at] = 92
    out[at + 1] = _ESCAPES[byte]
    if out[at + 1] != 117:
        return at + 2
    out[at + 2] = 48
    out[at + 3] = 48
    out[at + 4] = 48 + (byte >> 4)
    out[at + 5] = _HEX[byte & 15]
    return at + 6


def _character(raw: bytes, index: int, size: int) -> int:
    """How many bytes the character beyond ASCII at `index` has, 0 if it is none.

    Source: RFC 3629, section 4.
    """
    first = raw[index]
    second = raw[index + 1] if index + 1 < size else 0
    if second & 0xC0 != 0x80 or first < 0xC2 or first > 0xF4:
        return 0
    if first < 0xE0:
        return 2
    third = raw[index + 2] if index + 2 < size else 0
    if third & 0xC0 != 0x80:
        return 0
    if first < 0xF0:
        # Too long a form of a shorter one, or a surrogate.
        return 0 if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F) else 3
    fourth = raw[index + 3] if index + 3 < size else 0
    if fourth & 0xC0 != 0x80:
        return 0
    return 0 if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F) else 4


def _surrogates(raw: bytes, index: int, out: bytearray, at: int) -> int:
    code = raw[index] & 7
    code = (code << 6) | (raw[index + 1] & 63)
    code = (code << 6) | (raw[index + 2] & 63)
    code = (code << 6) | (raw[index + 3] & 63)
    code -= 0x10000
    at = _unit(0xD800 + (code >> 10), out, at)
    return _unit(0xDC00 + (code & 0x3FF), out, at)


def _unit(code: int, out: bytearray, at: int) -> int:
    out[at] = 92
    out[at + 1] = 117
    out[at + 2] = _HEX[code >> 12]
    out[at + 3] = _HEX[(code >> 8) & 15]
    out[at + 4] = _HEX[(code >> 4) & 15]
    out[at + 5] = _HEX[code & 15]
    return at + 6


def boolean(raw: bytes, size: int, out: bytearray, at: int) -> int:
    """`true` for t, `false` for f."""
    if size != 1 or (raw[0] != 116 and raw[0] != 102):
        return -1
    if raw[0] == 116:
        memory.copy(out, at, b"true", 4)
        return at + 4
    memory.copy(out, at, b"false", 5)
    return at + 5


def uuid(raw: bytes, size: int, out: bytearray, at: int) -> int:
    """Canonical text in lower case, quoted."""
    if size != 36:
        return -1
    dashes = 0
    out[at] = 34
    for index in range(36):
        byte = raw[index]
        if _UUID_BYTES[byte] == 0:
            return -1
        out[at + 1 + index] = byte
        if byte == 45:
            dashes += 1
    if dashes != 4 or raw[8] != 45 or raw[13] != 45 or raw[18] != 45 or raw[23] != 45:
        return -1
    out[at + 37] = 34
    return at + 38
