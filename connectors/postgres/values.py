r"""From Postgres's text format to logical values.

A hot module: plain Python that setup.py compiles (declarations in values.pxd). Every function takes
the bytes as sent, in UTF-8, by a session with `decoders.SESSION_SETTINGS`, and raises DecodeError
for bytes that the type's output function cannot have written: never a guess, and never the bytes
themselves in a message.

Source: PostgreSQL manual, chapter Data Types; the output functions in src/backend/utils/adt
(datetime.c EncodeDateTime and EncodeInterval, cash.c cash_out).
"""

import binascii
import struct
from functools import lru_cache
from typing import Final

from cdc.errors import DecodeError
from cdc.schema import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
)

# The three numbers that interval infinities are inside the server (17 and later).
# Source: src/include/datatype/timestamp.h, INTERVAL_NOBEGIN and INTERVAL_NOEND.
INTERVAL_INFINITY: Final = (2**31 - 1, 2**31 - 1, 2**63 - 1)
INTERVAL_MINUS_INFINITY: Final = (-(2**31), -(2**31), -(2**63))

_DAY_US: Final = 86_400_000_000
_DIGITS: Final = b"0123456789"
_FLOAT_BYTES: Final = b"0123456789+-.e"
_HEX_BYTES: Final = b"0123456789abcdef"
_FLOAT_NAMES: Final = {
    b"NaN": float("nan"),
    b"Infinity": float("inf"),
    b"-Infinity": float("-inf"),
}
_MONTH_UNITS: Final = {b"year": 12, b"years": 12, b"mon": 1, b"mons": 1}
_FLOAT32: Final = struct.Struct("<f")


def _bad(kind: str, offset: int | None = None) -> DecodeError:
    return DecodeError("the server's text is no value of its type", kind=kind, offset=offset)


# --- text -----------------------------------------------------------------------------------------


def text(raw: bytes) -> str:
    """The characters."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        # Its own text and object hold row values, so it is not chained.
        raise DecodeError("bytes that are not UTF-8", kind="text", offset=error.start) from None


def bits(raw: bytes) -> str:
    """Digits 0 and 1, the first one the most significant."""
    if raw.translate(None, b"01"):
        raise _bad("bit string")
    return raw.decode("ascii")


def uuid(raw: bytes) -> str:
    """Canonical lower case."""
    if len(raw) != 36 or raw[8:24:5] != b"----" or raw.translate(None, _HEX_BYTES) != b"----":
        raise _bad("uuid")
    return raw.decode("ascii")


def bytea(raw: bytes) -> bytes:
    """The bytes of bytea_output=hex."""
    if raw[:2] != b"\\x":
        raise _bad("bytea", 0)
    try:
        return binascii.unhexlify(raw[2:])
    except binascii.Error:
        raise _bad("bytea") from None


# --- numbers --------------------------------------------------------------------------------------


def boolean(raw: bytes) -> bool:
    """True for `t`, False for `f`."""
    if raw == b"t":
        return True
    if raw == b"f":
        return False
    raise _bad("boolean")


def _integer(raw: bytes, low: int, high: int, kind: str) -> int:
    # int() alone would take spaces, underscores and a plus sign.
    if not raw.isdigit() and not (raw[:1] == b"-" and raw[1:].isdigit()):
        raise _bad(kind)
    value = int(raw)
    if value < low or value > high:
        raise _bad(kind)
    return value


def int8(raw: bytes) -> int:
    """8 bits, signed."""
    return _integer(raw, -128, 127, "int8")


def int16(raw: bytes) -> int:
    """16 bits, signed."""
    return _integer(raw, -32_768, 32_767, "int16")


def int32(raw: bytes) -> int:
    """32 bits, signed."""
    return _integer(raw, -2_147_483_648, 2_147_483_647, "int32")


def int64(raw: bytes) -> int:
    """64 bits, signed."""
    return _integer(raw, -9_223_372_036_854_775_808, 9_223_372_036_854_775_807, "int64")


def uint64(raw: bytes) -> int:
    """64 bits, unsigned."""
    return _integer(raw, 0, 18_446_744_073_709_551_615, "uint64")


def float64(raw: bytes) -> float:
    """The number nearest to the text; NaN and infinities too."""
    if raw.translate(None, _FLOAT_BYTES):
        if raw in _FLOAT_NAMES:
            return _FLOAT_NAMES[raw]
        raise _bad("float")
    try:
        return float(raw)
    except ValueError:
        raise _bad("float") from None


def float32(raw: bytes) -> float:
    """The 32-bit number nearest to the text; NaN and infinities too."""
    value = float64(raw)
    try:
        rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except OverflowError:
        raise _bad("float32") from None
    return rounded


def decimal(raw: bytes) -> str:
    """The exact text: digits with an optional sign and fraction, NaN or an infinity."""
    digits = raw[1:] if raw[:1] == b"-" else raw
    rest = digits.translate(None, _DIGITS)
    plain = not rest or rest == b"."
    if not plain or not digits[:1].isdigit() or not digits[-1:].isdigit():
        if raw in _FLOAT_NAMES:
            return raw.decode("ascii")
        raise _bad("numeric")
    return raw.decode("ascii")


def money(raw: bytes) -> str:
    """The amount as lc_monetary=C writes it, `-$1,234.56`, without sign of currency and groups."""
    sign = "-" if raw[:1] == b"-" else ""
    amount = raw[1:] if sign else raw
    if amount[:1] != b"$" or amount[-3:-2] != b".":
        raise _bad("money")
    units = amount[1:-3].replace(b",", b"")
    cents = amount[-2:]
    if not units.isdigit() or not cents.isdigit():
        raise _bad("money")
    return f"{sign}{units.decode()}.{cents.decode()}"


# --- dates and times ------------------------------------------------------------------------------


def _number(raw: bytes, start: int, end: int) -> int:
    """The number that the digits raw[start:end] write, -1 if they are not 1 to 10 digits."""
    if end <= start or end - start > 10:
        return -1
    value = 0
    for index in range(start, end):
        digit = raw[index] - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


@lru_cache(maxsize=8192)
def _days(raw: bytes, bc: bool) -> int:  # noqa: FBT001 - called by position, for speed
    """Days since 1970 of the date `YYYY-MM-DD`; the year has 4 to 7 digits.

    Remembered, since rows of one time share their dates. Raises DecodeError. The arithmetic counts
    years from March, so that a leap day is the last.
    """
    end = len(raw)
    if end < 10 or end > 13 or raw[end - 3] != 45 or raw[end - 6] != 45:
        raise _bad("date")
    year = _number(raw, 0, end - 6)
    month = _number(raw, end - 5, end - 3)
    day = _number(raw, end - 2, end)
    if year < 1 or month < 1 or month > 12 or day < 1 or day > 31:
        raise _bad("date")
    if bc:
        year = 1 - year
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if day > 28 and (
        (month == 2 and (day > 29 or not leap))
        or (day == 31 and (month == 4 or month == 6 or month == 9 or month == 11))  # noqa: PLR1714 - four compares in C
    ):
        raise _bad("date")
    if month <= 2:
        year -= 1
        month += 12
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month - 3) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def _two(raw: bytes, position: int) -> int:
    """The number that two digits write, -1 if they are none."""
    tens = raw[position] - 48
    ones = raw[position + 1] - 48
    if tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return -1
    return tens * 10 + ones


def _clock_us(raw: bytes, start: int, end: int) -> int:
    """Microseconds of `HH:MM:SS[.ffffff]` in raw[start:end], up to 24:00:00; -1 if it is not."""
    length = end - start
    if length < 8 or raw[start + 2] != 58 or raw[start + 5] != 58:
        return -1
    hours = _two(raw, start)
    minutes = _two(raw, start + 3)
    seconds = _two(raw, start + 6)
    if hours < 0 or minutes < 0 or minutes > 59 or seconds < 0 or seconds > 59:
        return -1
    micros = 0
    if length > 8:
        digits = raw[start + 9 : end]
        if raw[start + 8] != 46 or length > 15 or not digits.isdigit():
            return -1
        micros = int(digits)
        while length < 15:
            micros *= 10
            length += 1
    if hours > 23 and (hours > 24 or minutes + seconds + micros > 0):
        return -1
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros


def _zone_start(raw: bytes, start: int, end: int) -> int:
    """Where the offset from UTC begins in raw[start:end], -1 if there is none."""
    for index in range(start, end):
        if raw[index] == 43 or raw[index] == 45:
            return index
    return -1


def _zone_s(raw: bytes, start: int, end: int, kind: str) -> int:
    """Seconds east of UTC of `+HH[:MM[:SS]]` in raw[start:end]. Raises DecodeError."""
    length = end - start
    hours = _number(raw, start + 1, start + 3) if length >= 3 else -1
    minutes = 0
    seconds = 0
    if length > 3:
        minutes = _number(raw, start + 4, start + 6) if length >= 6 and raw[start + 3] == 58 else -1
    if length > 6:
        seconds = _number(raw, start + 7, end) if length == 9 and raw[start + 6] == 58 else -1
    if hours < 0 or minutes < 0 or minutes > 59 or seconds < 0 or seconds > 59:
        raise _bad(kind, start)
    total = (hours * 60 + minutes) * 60 + seconds
    return -total if raw[start] == 45 else total


def date(raw: bytes) -> int:
    """Days since 1970-01-01, proleptic Gregorian; infinities as cdc.schema names them."""
    if len(raw) < 10:
        if raw == b"infinity":
            return DATE_INFINITY
        if raw == b"-infinity":
            return DATE_MINUS_INFINITY
        raise _bad("date")
    if raw[-1] == 67:  # the C of BC
        return _days(raw.removesuffix(b" BC"), True)  # noqa: FBT003
    return _days(raw, False)  # noqa: FBT003


def time(raw: bytes) -> int:
    """Microseconds of the day, 24:00:00 included."""
    micros = _clock_us(raw, 0, len(raw))
    if micros < 0:
        raise _bad("time")
    return micros


def timetz(raw: bytes) -> tuple[int, int]:
    """Microseconds of the local day, and seconds east of UTC."""
    end = len(raw)
    zone = _zone_start(raw, 0, end)
    micros = _clock_us(raw, 0, zone)
    if micros < 0:
        raise _bad("timetz")
    return micros, _zone_s(raw, zone, end, "timetz")


def timestamp(raw: bytes) -> int:
    """Microseconds since 1970, the wall-clock time read as UTC; infinities as named constants."""
    if len(raw) < 10:
        return _infinity(raw, "timestamp")
    bc = raw[-1] == 67
    if bc:
        raw = raw.removesuffix(b" BC")
    space = 10 if raw[10:11] == b" " else raw.find(b" ")
    micros = _clock_us(raw, space + 1, len(raw))
    if space < 0 or micros < 0 or micros >= 86_400_000_000:
        raise _bad("timestamp")
    days = _days(raw[:space], bc)
    return days * _DAY_US + micros


def timestamptz(raw: bytes) -> int:
    """Microseconds since 1970 UTC; infinities as named constants."""
    if len(raw) < 10:
        return _infinity(raw, "timestamptz")
    bc = raw[-1] == 67
    if bc:
        raw = raw.removesuffix(b" BC")
    end = len(raw)
    space = 10 if raw[10:11] == b" " else raw.find(b" ")
    in_utc = raw[-3:] == b"+00"
    zone = end - 3 if in_utc else _zone_start(raw, space + 1, end)
    micros = _clock_us(raw, space + 1, zone)
    if space < 0 or micros < 0 or micros >= 86_400_000_000:
        raise _bad("timestamptz")
    local_us = _days(raw[:space], bc) * _DAY_US + micros
    if in_utc:
        return local_us
    return local_us - _zone_s(raw, zone, end, "timestamptz") * 1_000_000


def _infinity(raw: bytes, kind: str) -> int:
    if raw == b"infinity":
        return TIMESTAMP_INFINITY
    if raw == b"-infinity":
        return TIMESTAMP_MINUS_INFINITY
    raise _bad(kind)


def interval(raw: bytes) -> tuple[int, int, int]:
    """Months, days and microseconds, each with its own sign.

    Infinities (17 and later) are INTERVAL_INFINITY and INTERVAL_MINUS_INFINITY.
    """
    if raw == b"infinity":
        return INTERVAL_INFINITY
    if raw == b"-infinity":
        return INTERVAL_MINUS_INFINITY
    parts = raw.split(b" ")
    micros = _signed_clock_us(parts.pop()) if len(parts) % 2 else 0
    months = 0
    days = 0
    for index in range(0, len(parts), 2):
        unit = parts[index + 1]
        count = _integer(parts[index].removeprefix(b"+"), -(2**31), 2**31 - 1, "interval")
        if unit in _MONTH_UNITS:
            months += count * _MONTH_UNITS[unit]
        elif unit in {b"day", b"days"}:
            days += count
        else:
            raise _bad("interval")
    if not (-(2**31) <= months < 2**31 and -(2**31) <= days < 2**31):
        raise _bad("interval")
    return months, days, micros


def _signed_clock_us(raw: bytes) -> int:
    """Microseconds of an interval's `[+-]H+:MM:SS[.ffffff]`. Raises DecodeError."""
    negative = raw[:1] == b"-"
    clock = raw[1:] if negative or raw[:1] == b"+" else raw
    colon = clock.find(b":")
    hours = _number(clock, 0, colon)
    rest = _clock_us(b"00" + clock[colon:], 0, len(clock) - colon + 2)
    if hours < 0 or rest < 0:
        raise _bad("interval")
    total = hours * 3_600_000_000 + rest
    if negative:
        total = -total
    if not -(2**63) <= total < 2**63:
        raise _bad("interval")
    return total
