"""From a database's own text of a value to its JSON text, for the form that is not compiled.

Each way has a function of one argument, chosen once for a column: a call or two in C for a value of
the usual form. It gives None for all that it does not know, be it rare or wrong, so that decoding
and writing decide: what comes out is the same, byte for byte. Compiled, json_text does this.
"""

import re
from binascii import b2a_base64
from collections.abc import Callable
from datetime import date
from json.encoder import encode_basestring
from typing import Final

from cdc.serializers.json_values import quote
from cdc.serializers.json_ways import (
    WAY_BOOLEAN,
    WAY_DAYS,
    WAY_DECIMAL,
    WAY_DOUBLE,
    WAY_FLOAT,
    WAY_INTEGER,
    WAY_STRING,
    WAY_TIME,
    WAY_TIMESTAMP,
    WAY_UUID,
    WAY_ZONED,
)

Plain = Callable[[bytes], bytes | None]

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_US: Final = 86_400_000_000
_DAYS_KEPT: Final = 4096
_DATE: Final = re.compile(rb"\d{4}-\d\d-\d\d")
_CLOCK: Final = re.compile(rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d")
# From 10^-3 to 10^7, where Java writes no exponent, and without a zero at the end.
_FRACTION: Final = re.compile(rb"-?(?:0\.(?!000)|[1-9]\d{0,6}\.)\d*[1-9]")
_HEX: Final = b"0123456789abcdef"
# 18 characters are below 2^63 whatever they are.
_DECIMAL_MAX: Final = 18
_ZERO: Final = 48

_days: Final[dict[bytes, int]] = {}
# At most one entry for each second of a day.
_clocks: Final[dict[bytes, int]] = {}


def nothing(_: bytes) -> bytes | None:
    """For columns without a way."""
    return None


def plain(way: int, parameter: int) -> Plain:
    """What writes values of this way; `parameter` as json_ways has it."""
    if way in _SIMPLE:
        return _SIMPLE[way]
    make = _MAKERS.get(way)
    return nothing if make is None else make(parameter)


def _integer(bits: int) -> Plain:
    # So few digits that the bits do.
    most = bits * 29 // 100

    def write(value: bytes) -> bytes | None:
        if len(value) > most:
            return None
        if value.isdigit():
            return value if value[0] != _ZERO or len(value) == 1 else None
        if value[:1] == b"-" and value[1:].isdigit() and value[1] != _ZERO:
            return value
        return None

    return write


def _string(value: bytes) -> bytes | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    quoted = encode_basestring(text)
    if quoted.isascii() and "\\u" not in quoted:
        return quoted.encode()
    return quote(text)


def _uuid(value: bytes) -> bytes | None:
    if len(value) != 36 or value[8:24:5] != b"----" or value.translate(None, _HEX) != b"----":
        return None
    return b'"' + value + b'"'


def _number(digits_max: int) -> Plain:
    def write(value: bytes) -> bytes | None:
        # The point takes a place of the digits.
        if len(value) <= digits_max and _FRACTION.fullmatch(value):
            return value
        return None

    return write


def _decimal(scale: int) -> Plain:
    if scale < 1:
        return nothing

    def write(value: bytes) -> bytes | None:
        if len(value) > _DECIMAL_MAX or value[-scale - 1 : -scale] != b".":
            return None
        whole = value[: -scale - 1]
        digits = whole + value[-scale:]
        if whole.isdigit() and digits.isdigit():
            number = int(digits)
            size = (number.bit_length() >> 3) + 1
        elif whole[:1] == b"-" and whole[1:].isdigit() and digits[1:].isdigit():
            number = int(digits)
            size = ((~number).bit_length() >> 3) + 1 if number else 1
        else:
            return None
        return b'"' + b2a_base64(number.to_bytes(size, "big", signed=True), newline=False) + b'"'

    return write


def _day(text: bytes) -> int | None:
    """Days since 1970 of a date from year 1 to 9999; only those are remembered."""
    days = _days.get(text)
    if days is not None:
        return days
    if not _DATE.fullmatch(text):
        return None
    try:
        days = date(int(text[:4]), int(text[5:7]), int(text[8:])).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    if len(_days) >= _DAYS_KEPT:
        _days.clear()
    _days[text] = days
    return days


def _clock(text: bytes) -> int | None:
    """Microseconds of `HH:MM:SS`."""
    us = _clocks.get(text)
    if us is None and _CLOCK.fullmatch(text):
        us = (int(text[:2]) * 3600 + int(text[3:5]) * 60 + int(text[6:])) * 1_000_000
        _clocks[text] = us
    return us


def _fraction(text: bytes) -> int | None:
    """Microseconds of `.ffffff`, 0 without."""
    if not text:
        return 0
    digits = text[1:]
    if text[:1] != b"." or len(digits) > 6 or not digits.isdigit():
        return None
    return int(digits.ljust(6, b"0"))


def _date(value: bytes) -> bytes | None:
    days = _day(value)
    return None if days is None else b"%d" % days


def _time(unit_us: int) -> Plain:
    def write(value: bytes) -> bytes | None:
        clock = _clock(value[:8])
        fraction = _fraction(value[8:])
        if clock is None or fraction is None:
            return None
        return b"%d" % ((clock + fraction) // unit_us)

    return write


def _timestamp(unit_us: int) -> Plain:
    def write(value: bytes) -> bytes | None:
        days = _day(value[:10])
        clock = _clock(value[11:19])
        fraction = _fraction(value[19:])
        if days is None or clock is None or fraction is None or value[10] != 32:
            return None
        return b"%d" % ((days * _DAY_US + clock + fraction) // unit_us)

    return write


def _zoned(digits: int) -> Plain:
    def write(value: bytes) -> bytes | None:
        day = value[:10]
        clock = value[11:19]
        if value[-3:] != b"+00" or value[10:11] != b" ":
            return None
        if _day(day) is None or _clock(clock) is None:
            return None
        fraction = value[19:-3]
        if fraction and (fraction[:1] != b"." or len(fraction) > 7 or not fraction[1:].isdigit()):
            return None
        if digits:
            shown = fraction[1 : digits + 1].ljust(digits, b"0")
            return b'"' + day + b"T" + clock + b"." + shown + b'Z"'
        return b'"' + day + b"T" + clock + b'Z"'

    return write


_SIMPLE: Final[dict[int, Plain]] = {
    WAY_STRING: _string,
    WAY_UUID: _uuid,
    WAY_BOOLEAN: {b"t": b"true", b"f": b"false"}.get,
    WAY_DAYS: _date,
    WAY_DOUBLE: _number(17),
    # With more digits the server's text need not be the one that Java chooses.
    WAY_FLOAT: _number(6),
}
_MAKERS: Final[dict[int, Callable[[int], Plain]]] = {
    WAY_INTEGER: _integer,
    WAY_DECIMAL: _decimal,
    WAY_TIME: _time,
    WAY_TIMESTAMP: _timestamp,
    WAY_ZONED: _zoned,
}
