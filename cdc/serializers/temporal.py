"""Dates, times and intervals as the ISO 8601 text that Java and Debezium write, and back.

Every year of the proleptic Gregorian calendar is handled; Python's datetime ends at 9999.
"""

import re
from functools import lru_cache

from cdc.errors import DecodeError

SECOND_US = 1_000_000
DAY_US = 86_400_000_000
MONTH_US = 2_629_800_000_000
"""Debezium's average month, 30.4375 days."""

_DATE = re.compile(r"([+-]?\d{4,})-(\d\d)-(\d\d)")
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?")
_INTERVAL = re.compile(r"P(-?\d+)Y(-?\d+)M(-?\d+)DT(-?\d+)H(-?\d+)M(-?)(\d+)(?:\.(\d{1,6}))?S")


@lru_cache(maxsize=4096)
def date_text(days: int) -> str:
    """`2026-09-14`; years beyond 9999 with `+`, before year 0 with `-`."""
    # Howard Hinnant's civil_from_days: eras of 400 years that begin on 1 March.
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (month <= 2)
    if 0 <= year <= 9999:
        return f"{year:04d}-{month:02d}-{day:02d}"
    sign = "+" if year > 0 else "-"
    return f"{sign}{abs(year):04d}-{month:02d}-{day:02d}"


def date_days(text: str) -> int:
    """The days since 1970 of what `date_text` gave. Raises DecodeError."""
    match = _DATE.match(text)
    if match is None:
        raise DecodeError("not an ISO date", kind="date")
    year, month, day = (int(part) for part in match.groups())
    if month <= 2:
        year -= 1
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def time_text(us: int, digits: int | None = None) -> str:
    """`05:15:30.5`, with as many fraction digits as needed, or exactly `digits` (0 to 6)."""
    seconds, fraction = divmod(us, SECOND_US)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = "%02d:%02d:%02d.%06d" % (hour, minute, second, fraction)  # noqa: UP031 - twice as fast
    if digits is None:
        return text.rstrip("0") if fraction else text[:8]
    return text[: 9 + digits] if digits else text[:8]


def time_us(text: str) -> int:
    """The microseconds of the day that `time_text` was given. Raises DecodeError."""
    match = _TIME.match(text)
    if match is None:
        raise DecodeError("not an ISO time", kind="time")
    hour, minute, second, fraction = match.groups()
    us = int((fraction or "")[:6].ljust(6, "0"))
    return (int(hour) * 3600 + int(minute) * 60 + int(second)) * SECOND_US + us


def timestamp_text(us: int, digits: int | None = None) -> str:
    """`2026-09-14T07:05:09.12Z`; fraction digits as in `time_text`."""
    days, rest = divmod(us, DAY_US)
    return f"{date_text(days)}T{time_text(rest, digits)}Z"


def timestamp_us(text: str) -> int:
    """The microseconds since 1970 of what `timestamp_text` gave. Raises DecodeError."""
    date, separator, time = text.partition("T")
    if not separator:
        raise DecodeError("not an ISO timestamp", kind="timestamp")
    return date_days(date) * DAY_US + time_us(time)


def interval_text(months: int, days: int, us: int) -> str:
    """`P1Y2M3DT4H5M6.78S`: every part is there, each with its own sign."""
    month_sign = -1 if months < 0 else 1
    years, rest = divmod(abs(months), 12)
    sign = -1 if us < 0 else 1
    seconds, fraction = divmod(abs(us), SECOND_US)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = f"{second}" + (f".{fraction:06d}".rstrip("0") if fraction else "")
    minus = "-" if sign < 0 and (second or fraction) else ""
    return (
        f"P{month_sign * years}Y{month_sign * rest}M{days}DT"
        f"{sign * hour}H{sign * minute}M{minus}{text}S"
    )


def interval_parts(text: str) -> tuple[int, int, int]:
    """Months, days and microseconds of what `interval_text` gave. Raises DecodeError."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise DecodeError("not an ISO interval", kind="interval")
    years, months, days, hours, minutes, minus, seconds, fraction = match.groups()
    second_us = int(seconds) * SECOND_US + int((fraction or "").ljust(6, "0"))
    us = (int(hours) * 3600 + int(minutes) * 60) * SECOND_US + (-second_us if minus else second_us)
    return int(years) * 12 + int(months), int(days), us
