"""Dates and times from ISO text to JSON text, for the years 1 to 9999.

A hot module: plain Python that setup.py compiles (declarations in json_time.pxd). The functions
keep to what json_text says of its own: they answer -1 for all that is rare or wrong.
"""

from typing import Final

from cdc import memory

# The two digits of each number below 100.
_TENS: Final = bytes(48 + number // 10 for number in range(100))
_TENS_BYTES: Final = _TENS
_ONES: Final = bytes(48 + number % 10 for number in range(100))
_ONES_BYTES: Final = _ONES


def digits(amount: int, out: bytearray, at: int) -> int:
    """An integer as decimal digits; its distance from 0 is below 2**63."""
    left = amount
    if amount < 0:
        out[at] = 45
        at += 1
        left = -amount
    length = 1
    limit = 10
    while length < 19 and left >= limit:
        length += 1
        limit *= 10
    index = at + length
    while left > 99:
        rest = left // 100
        pair = left - rest * 100
        index -= 2
        out[index] = _TENS_BYTES[pair]
        out[index + 1] = _ONES_BYTES[pair]
        left = rest
    out[index - 1] = _ONES_BYTES[left]
    if left > 9:
        out[index - 2] = _TENS_BYTES[left]
    return at + length


def date(raw: bytes, size: int, out: bytearray, at: int) -> int:
    """Days since 1970 of `YYYY-MM-DD`."""
    if size != 10:
        return -1
    days = _days(raw)
    return -1 if days == -1_000_000 else digits(days, out, at)


def time(raw: bytes, size: int, out: bytearray, at: int, unit_us: int) -> int:
    """Units of the day of `HH:MM:SS[.ffffff]`."""
    us = _clock_us(raw, 0, size)
    return -1 if us < 0 else digits(us // unit_us, out, at)


def timestamp(raw: bytes, size: int, out: bytearray, at: int, unit_us: int) -> int:
    """Units since 1970 of `YYYY-MM-DD HH:MM:SS[.ffffff]`, rounded down."""
    if size < 19 or raw[10] != 32:
        return -1
    days = _days(raw)
    us = _clock_us(raw, 11, size)
    if us < 0 or days == -1_000_000:
        return -1
    return digits((days * 86_400_000_000 + us) // unit_us, out, at)


def zoned(raw: bytes, size: int, out: bytearray, at: int, fraction: int) -> int:
    """`"YYYY-MM-DDTHH:MM:SS[.ffffff]Z"` of `YYYY-MM-DD HH:MM:SS[.ffffff]+00`.

    With exactly `fraction` digits behind the point.
    """
    end = size - 3
    if end < 19 or raw[10] != 32 or raw[end] != 43 or raw[end + 1] != 48 or raw[end + 2] != 48:
        return -1
    if _days(raw) == -1_000_000 or _clock_us(raw, 11, end) < 0:
        return -1
    out[at] = 34
    at += 1
    memory.copy(out, at, raw, 19)
    out[at + 10] = 84
    at += 19
    if fraction > 0:
        out[at] = 46
        for index in range(20, 20 + fraction):
            out[at + index - 19] = raw[index] if index < end else 48
        at += 1 + fraction
    out[at] = 90
    out[at + 1] = 34
    return at + 2


def _two(raw: bytes, place: int) -> int:
    """The number that two digits write, -100 or less if they are none."""
    tens = raw[place] - 48
    ones = raw[place + 1] - 48
    if tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return -100_000
    return tens * 10 + ones


def _days(raw: bytes) -> int:
    """Days since 1970 of the date at the beginning; -1,000,000 if it is none of 1 to 9999."""
    year = _two(raw, 0) * 100 + _two(raw, 2)
    month = _two(raw, 5)
    day = _two(raw, 8)
    if year < 1 or month < 1 or month > 12 or day < 1 or day > 31 or raw[4] != 45 or raw[7] != 45:
        return -1_000_000
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > 28 and (
        (month == 2 and (day > 29 or not leap))
        or (day == 31 and (month == 4 or month == 6 or month == 9 or month == 11))  # noqa: PLR1714 - four compares in C
    ):
        return -1_000_000
    # Years are counted from March, so that a leap day is the last.
    if month <= 2:
        year -= 1
        month += 12
    day_of_year = (153 * (month - 3) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719_468


def _clock_us(raw: bytes, start: int, end: int) -> int:
    """Microseconds of `HH:MM:SS[.ffffff]` below 24 hours in raw[start:end], -1 if it is not."""
    length = end - start
    if length < 8 or length == 9 or length > 15 or raw[start + 2] != 58 or raw[start + 5] != 58:
        return -1
    hours = _two(raw, start)
    minutes = _two(raw, start + 3)
    seconds = _two(raw, start + 6)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59 or seconds < 0 or seconds > 59:
        return -1
    micros = 0
    if length > 8:
        if raw[start + 8] != 46:
            return -1
        for index in range(start + 9, start + 15):
            micros *= 10
            if index < end:
                digit = raw[index] - 48
                if digit < 0 or digit > 9:
                    return -1
                micros += digit
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros
