"""Dates, times, timestamps and intervals as Debezium's semantic types, by `time_precision`.

Infinite dates and timestamps keep the numbers that Debezium's stream writes, in every unit.
"""

from cdc import schema as logical
from cdc.serializers import temporal
from cdc.serializers.connect import CONNECT_DATE, CONNECT_TIME, CONNECT_TIMESTAMP
from cdc.serializers.decimals import Unrepresentable
from cdc.serializers.mapping import INT64_MAX, INT64_MIN, Convert, Mapping, as_int, int64, named
from cdc.serializers.options import Options

_INFINITIES = {
    logical.TIMESTAMP_INFINITY: "infinity",
    logical.TIMESTAMP_MINUS_INFINITY: "-infinity",
}
_INFINITY_NUMBERS = {text: us for us, text in _INFINITIES.items()}
_NANO_INFINITIES = {
    logical.TIMESTAMP_INFINITY: INT64_MAX,
    logical.TIMESTAMP_MINUS_INFINITY: INT64_MIN,
}
_NANO_INFINITY_NUMBERS = {ns: us for us, ns in _NANO_INFINITIES.items()}


def date(_: logical.LogicalType, options: Options) -> Mapping:
    """Days, or ISO text."""
    if options.time_precision == "connect":
        return Mapping(named("int32", CONNECT_DATE), zero=0)
    if options.time_precision != "isostring":
        return Mapping(named("int32", "io.debezium.time.Date"), zero=0)

    # The infinities need no case of their own: as days they give Debezium's text for them.
    return Mapping(
        named("string", "io.debezium.time.IsoDate"),
        "1970-01-01Z",
        lambda value: temporal.date_text(as_int(value)) + "Z",
        lambda value: temporal.date_days(str(value)),
    )


def time(kind: logical.LogicalType, options: Options) -> Mapping:
    """Milliseconds, microseconds or nanoseconds of the day, or ISO text."""
    assert isinstance(kind, logical.Time)
    mode = options.time_precision
    if mode == "isostring":
        return Mapping(
            named("string", "io.debezium.time.IsoTime"), "00:00:00Z", _write_iso_time, _read_time
        )
    if mode == "connect":
        return _millis("int32", CONNECT_TIME, _write_connect_time)
    if mode == "nanoseconds":
        return Mapping(named("int64", "io.debezium.time.NanoTime"), 0, _nano_time, _from_nanos)
    if mode == "adaptive" and kind.precision <= 3:
        return _millis("int32", "io.debezium.time.Time", _to_millis)
    return Mapping(named("int64", "io.debezium.time.MicroTime"), zero=0)


def timestamp(kind: logical.LogicalType, options: Options) -> Mapping:
    """Milliseconds, microseconds or nanoseconds since 1970, or ISO text; read as if UTC."""
    assert isinstance(kind, logical.Timestamp)
    mode = options.time_precision
    if mode == "isostring":
        return Mapping(
            named("string", "io.debezium.time.IsoTimestamp"),
            "1970-01-01T00:00:00Z",
            lambda value: temporal.timestamp_text(as_int(value)),
            lambda value: temporal.timestamp_us(str(value)),
        )
    if mode == "connect":
        return _millis("int64", CONNECT_TIMESTAMP, _to_millis)
    if mode == "nanoseconds":
        return Mapping(
            named("int64", "io.debezium.time.NanoTimestamp"), 0, _nano_timestamp, _from_nanos
        )
    if mode != "microseconds" and kind.precision <= 3:
        return _millis("int64", "io.debezium.time.Timestamp", _to_millis)
    return Mapping(named("int64", "io.debezium.time.MicroTimestamp"), 0, _micro_timestamp)


def zoned_timestamp(kind: logical.LogicalType, _: Options) -> Mapping:
    """UTC text with exactly the column's number of fraction digits."""
    assert isinstance(kind, logical.TimestampTz)
    digits = kind.precision

    def write(value: object) -> object:
        us = as_int(value)
        return _INFINITIES.get(us) or temporal.timestamp_text(us, digits)

    def read(value: object) -> object:
        text = str(value)
        return _INFINITY_NUMBERS.get(text) or temporal.timestamp_us(text)

    # The stand-in of a value that was not sent has no fraction, whatever the column's precision.
    return Mapping(
        named("string", "io.debezium.time.ZonedTimestamp"), "1970-01-01T00:00:00Z", write, read
    )


def zoned_time(_: logical.LogicalType, __: Options) -> Mapping:
    """UTC text; the offset is not kept."""

    def write(value: object) -> object:
        assert isinstance(value, tuple)
        us, offset_s = value
        return temporal.time_text((us - offset_s * temporal.SECOND_US) % temporal.DAY_US) + "Z"

    return Mapping(
        named("string", "io.debezium.time.ZonedTime"),
        "00:00:00Z",
        write,
        lambda value: (temporal.time_us(str(value)), 0),
    )


def interval(_: logical.LogicalType, options: Options) -> Mapping:
    """Microseconds with months of average length, or ISO text, which is exact."""
    if options.interval == "string":
        return Mapping(
            named("string", "io.debezium.time.Interval"),
            "P0Y0M0DT0H0M0S",
            lambda value: temporal.interval_text(*_interval_value(value)),
            lambda value: temporal.interval_parts(str(value)),
        )

    def write(value: object) -> object:
        months, days, us = _interval_value(value)
        total_us = months * temporal.MONTH_US + days * temporal.DAY_US + us
        return int64(total_us, "an interval beyond 64 bits of microseconds")

    return Mapping(
        named("int64", "io.debezium.time.MicroDuration"), 0, write, lambda value: (0, 0, value)
    )


def _interval_value(value: object) -> tuple[int, int, int]:
    assert isinstance(value, tuple)
    months, days, us = value
    return months, days, us


def _millis(type_: str, name: str, write: Convert) -> Mapping:
    return Mapping(named(type_, name), 0, write, _from_millis)


def _to_millis(value: object) -> object:
    return as_int(value) // 1000


def _from_millis(value: object) -> object:
    return as_int(value) * 1000


def _from_nanos(value: object) -> object:
    number = as_int(value)
    return _NANO_INFINITY_NUMBERS.get(number) or number // 1000


def _nano_time(value: object) -> object:
    return as_int(value) * 1000


def _micro_timestamp(value: object) -> object:
    # The last 29 years that Postgres knows, up to 294276.
    return int64(as_int(value), "a timestamp beyond 64 bits of microseconds")


def _nano_timestamp(value: object) -> object:
    us = as_int(value)
    return _NANO_INFINITIES.get(us) or int64(
        us * 1000, "a timestamp outside 1677 to 2262 in nanoseconds"
    )


def _write_connect_time(value: object) -> object:
    us = as_int(value)
    if not 0 <= us <= temporal.DAY_US:
        raise Unrepresentable("a time outside one day")
    return us // 1000


def _write_iso_time(value: object) -> object:
    us = as_int(value)
    if not 0 <= us <= temporal.DAY_US:
        raise Unrepresentable("a time outside one day")
    # The end of the day, 24:00, has no other text than its beginning.
    return temporal.time_text(us % temporal.DAY_US) + "Z"


def _read_time(value: object) -> object:
    return temporal.time_us(str(value))
