"""Logical values as the fields of documents: JSON-able, exact, and the same for every sink.

| logical type | field |
|---|---|
| Boolean, integers | as they are |
| Float32, Float64 | number; `NaN`, `Infinity`, `-Infinity` as these strings, since JSON has none |
| Decimal | the exact text |
| String and its kinds, Uuid, Enum, Bits | text |
| Bytes | base64 |
| Date | `2026-11-23`; years beyond 9999 or before 1 with sign: `+10000-01-01`, `-0043-03-15` |
| Time, TimeTz | `12:30:00.5`, `12:30:00+02:00` |
| Timestamp, TimestampTz | `2026-11-23T12:30:00.5`, with `Z` for TimestampTz |
| infinities of dates and timestamps | `infinity`, `-infinity` |
| Interval | ISO 8601: `P1Y2M3DT4H5M6.5S` |
| Json | the parsed structure; a number that no double can hold stays text |
| Array, Vector | list |
| Map (hstore) | object of texts and nulls |
| Point | `{"x": 2.5, "y": -4.0}` |
| Geometry | `{"srid": 4326, "wkb": ...}`: EWKB in base64; srid is null where there is none |
| SparseVector | `{"dimensions": 6, "values": {"1": 0.5}}`, by index from 1 |

A number would be nearer for NaN only as null, and null means something else: a store that takes no
text there rejects the document, which is visible, and nothing wrong is stored.
"""

import base64
import json
import math
from collections.abc import Callable
from typing import Final

from cdc.errors import DecodeError
from cdc.schema import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
    Array,
    Bytes,
    Date,
    Float32,
    Float64,
    Geometry,
    Interval,
    Json,
    LogicalType,
    Point,
    SparseVector,
    Time,
    Timestamp,
    TimestampTz,
    TimeTz,
    Vector,
    is_dimension,
)

Convert = Callable[[object], object]

_DAY_US: Final = 86_400_000_000


def converter(kind: LogicalType) -> Convert | None:
    """How a value of this type, which is not None, becomes a field; None: it is one already."""
    if not isinstance(kind, Array):
        return _CONVERTERS.get(type(kind))
    item = converter(kind.item)
    return lambda value: _list(value, kind.item, item)


def _list(value: object, kind: LogicalType, item: Convert | None) -> object:
    """The list of an array or of one more dimension of it."""
    assert isinstance(value, tuple)
    # Arrays of more dimensions are nested tuples.
    return [
        _list(part, kind, item)
        if is_dimension(part, kind)
        else part
        if part is None or item is None
        else item(part)
        for part in value
    ]


def _float(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _base64(value: object) -> object:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()


def _json(value: object) -> object:
    assert isinstance(value, str)
    try:
        return json.loads(value, parse_float=_json_number)
    except (ValueError, RecursionError) as error:
        raise DecodeError("a JSON value cannot be parsed", kind="document") from error


def _json_number(text: str) -> object:
    number = float(text)
    return number if math.isfinite(number) else text


def _integer(value: object) -> int:
    assert isinstance(value, int)
    return value


def _integers(value: object) -> tuple[int, ...]:
    assert isinstance(value, tuple)
    return value


def _date(value: object) -> object:
    days = _integer(value)
    if days == DATE_INFINITY:
        return "infinity"
    if days == DATE_MINUS_INFINITY:
        return "-infinity"
    return date_text(days)


def _time(value: object) -> object:
    return time_text(_integer(value))


def _timestamp(value: object) -> object:
    return _instant_text(_integer(value), "")


def _timestamptz(value: object) -> object:
    return _instant_text(_integer(value), "Z")


def _instant_text(instant_us: int, zone: str) -> str:
    if instant_us == TIMESTAMP_INFINITY:
        return "infinity"
    if instant_us == TIMESTAMP_MINUS_INFINITY:
        return "-infinity"
    days, of_day_us = divmod(instant_us, _DAY_US)
    return f"{date_text(days)}T{time_text(of_day_us)}{zone}"


def _timetz(value: object) -> object:
    of_day_us, offset_s = _integers(value)
    minutes, seconds = divmod(abs(offset_s), 60)
    zone = f"{'-' if offset_s < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return time_text(of_day_us) + zone + (f":{seconds:02}" if seconds else "")


def _interval(value: object) -> object:
    months, days, rest_us = _integers(value)
    return interval_text(months, days, rest_us)


def _point(value: object) -> object:
    assert isinstance(value, tuple)
    x, y = value
    return {"x": _float(x), "y": _float(y)}


def _geometry(value: object) -> object:
    assert isinstance(value, tuple)
    srid, ewkb = value
    return {"srid": srid, "wkb": _base64(ewkb)}


def _vector(value: object) -> object:
    assert isinstance(value, tuple)
    return list(value)


def _sparse_vector(value: object) -> object:
    assert isinstance(value, tuple)
    dimensions, numbers = value
    return {
        "dimensions": dimensions,
        "values": {str(index): number for index, number in numbers.items()},
    }


def date_text(days: int) -> str:
    """ISO 8601 of the day `days` after 1970-01-01, proleptic Gregorian, of any year.

    Source: the days-to-civil method of H. Hinnant, which counts eras of 400 years from March on.
    """
    era, of_era = divmod(days + 719_468, 146_097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * of_year + 2) // 153
    day = of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + era * 400 + (month <= 2)
    if 0 <= year <= 9999:
        return f"{year:04}-{month:02}-{day:02}"
    return f"{'-' if year < 0 else '+'}{abs(year):04}-{month:02}-{day:02}"


def time_text(time_us: int) -> str:
    """`HH:MM:SS` with the fraction that is not zero; signed, and beyond 24 hours, as given."""
    seconds, fraction_us = divmod(abs(time_us), 1_000_000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{_fraction(fraction_us)}"
    return f"-{text}" if time_us < 0 else text


def _fraction(fraction_us: int) -> str:
    return f".{fraction_us:06}".rstrip("0") if fraction_us else ""


def interval_text(months: int, days: int, rest_us: int) -> str:
    """ISO 8601 duration; each part has its own sign, parts that are zero are left out."""
    years, months = _divided(months, 12)
    hours, rest_us = _divided(rest_us, 3_600_000_000)
    minutes, rest_us = _divided(rest_us, 60_000_000)
    seconds, fraction_us = divmod(abs(rest_us), 1_000_000)
    date = "".join(f"{n}{unit}" for n, unit in ((years, "Y"), (months, "M"), (days, "D")) if n)
    time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n)
    if rest_us:
        time += f"{'-' if rest_us < 0 else ''}{seconds}{_fraction(fraction_us)}S"
    if not date and not time:
        return "PT0S"
    return f"P{date}" + (f"T{time}" if time else "")


def _divided(number: int, by: int) -> tuple[int, int]:
    # Towards zero, so that both parts have the sign of the whole.
    whole, rest = divmod(abs(number), by)
    return (-whole, -rest) if number < 0 else (whole, rest)


_CONVERTERS: Final[dict[type[LogicalType], Convert]] = {
    Float32: _float,
    Float64: _float,
    Bytes: _base64,
    Json: _json,
    Date: _date,
    Time: _time,
    Timestamp: _timestamp,
    TimestampTz: _timestamptz,
    TimeTz: _timetz,
    Interval: _interval,
    Point: _point,
    Geometry: _geometry,
    Vector: _vector,
    SparseVector: _sparse_vector,
}
