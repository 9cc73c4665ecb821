"""Real texts of PostgreSQL 15.18, 17.10 and 18.6 (intervals without end: 17 and later)."""

import math
from collections.abc import Callable

import pytest

from cdc.errors import DecodeError
from cdc.schema import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
)
from connectors.postgres import values

Case = tuple[Callable[[bytes], object], bytes, object]

VALUES: list[Case] = [
    (values.boolean, b"t", True),
    (values.boolean, b"f", False),
    (values.int8, b"-128", -128),
    (values.int16, b"-32768", -32768),
    (values.int32, b"2147483647", 2147483647),
    (values.int64, b"-9223372036854775808", -9223372036854775808),
    (values.uint64, b"18446744073709551615", 18446744073709551615),
    (values.float64, b"1e+300", 1e300),
    (values.float64, b"-2.25", -2.25),
    (values.float64, b"Infinity", math.inf),
    (values.float64, b"-Infinity", -math.inf),
    (values.float32, b"3.14159", 3.141590118408203),
    (values.float32, b"3.4028235e+38", 3.4028234663852886e38),
    (values.decimal, b"12345678.90", "12345678.90"),
    (values.decimal, b"-0.000123", "-0.000123"),
    (values.decimal, b"12300", "12300"),
    (values.decimal, b"NaN", "NaN"),
    (values.decimal, b"-Infinity", "-Infinity"),
    (values.money, b"$12,345.67", "12345.67"),
    (values.money, b"-$1.50", "-1.50"),
    (values.money, b"-$92,233,720,368,547,758.08", "-92233720368547758.08"),
    (values.text, "ünï 😀".encode(), "ünï 😀"),
    (values.text, b"", ""),
    (values.bytea, b"\\x", b""),
    (values.bytea, b"\\xdeadbeef00ff", b"\xde\xad\xbe\xef\x00\xff"),
    (values.date, b"2026-09-14", 20710),
    (values.date, b"1970-01-01", 0),
    (values.date, b"0044-03-15 BC", -735160),
    (values.date, b"4714-11-24 BC", -2440588),
    (values.date, b"5874897-12-31", 2145042905),
    (values.date, b"2024-02-29", 19782),
    (values.date, b"infinity", DATE_INFINITY),
    (values.date, b"-infinity", DATE_MINUS_INFINITY),
    (values.time, b"04:05:06.789123", 14706789123),
    (values.time, b"04:05:06.7", 14706700000),
    (values.time, b"24:00:00", 86400000000),
    (values.timetz, b"04:05:11.789-08", (14711789000, -28800)),
    (values.timetz, b"04:05:11+05:30", (14711000000, 19800)),
    (values.timetz, b"04:05:11.789-08:30:15", (14711789000, -30615)),
    (values.timetz, b"24:00:00+00", (86400000000, 0)),
    (values.timestamp, b"2026-09-14 07:05:09.12", 1789369509120000),
    (values.timestamp, b"4713-01-01 00:00:00 BC", -210863520000000000),
    (values.timestamp, b"294276-12-31 23:59:59.999999", 9224318015999999999),
    (values.timestamp, b"1969-12-31 23:59:59.999999", -1),
    (values.timestamp, b"infinity", TIMESTAMP_INFINITY),
    (values.timestamp, b"-infinity", TIMESTAMP_MINUS_INFINITY),
    (values.timestamptz, b"2026-09-14 05:05:09.12+00", 1789362309120000),
    (values.timestamptz, b"2026-09-14 10:35:09.12+05:30", 1789362309120000),
    (values.timestamptz, b"0044-03-15 13:01:02+00 BC", -63517777138000000),
    (values.timestamptz, b"-infinity", TIMESTAMP_MINUS_INFINITY),
    (values.interval, b"1 year 2 mons 3 days 04:05:06.78", (14, 3, 14706780000)),
    (values.interval, b"-1 years -2 mons +3 days -04:05:06.5", (-14, 3, -14706500000)),
    (values.interval, b"00:00:00", (0, 0, 0)),
    (values.interval, b"1 mon", (1, 0, 0)),
    (values.interval, b"-178000000 years", (-2136000000, 0, 0)),
    (values.interval, b"2562047788:00:54.775807", (0, 0, 9223372036854775807)),
    (values.interval, b"-2562047788:00:54.775808", (0, 0, -9223372036854775808)),
    (values.interval, b"infinity", values.INTERVAL_INFINITY),
    (values.interval, b"-infinity", values.INTERVAL_MINUS_INFINITY),
    (
        values.uuid,
        b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    (values.bits, b"00010", "00010"),
    (values.bits, b"", ""),
]

BAD: list[tuple[Callable[[bytes], object], bytes]] = [
    *((values.boolean, raw) for raw in (b"", b"true", b"1", b"T")),
    *(
        (values.int32, raw)
        for raw in (b"", b"-", b"+1", b" 1", b"1 ", b"1_0", b"--1", b"1.0", b"2147483648", b"\xb2")
    ),
    (values.int8, b"128"),
    (values.int16, b"-32769"),
    (values.int64, b"9223372036854775808"),
    (values.uint64, b"-1"),
    *((values.float64, raw) for raw in (b"", b"nan", b"inf", b"1_0", b" 1", b"1e", b"0x1p3")),
    *((values.float32, raw) for raw in (b"3.5e+38", b"x")),
    *(
        (values.decimal, raw)
        for raw in (b"", b"-", b".", b"1.", b".5", b"1e5", b"1-2", b"1.2.3", b"+1", b"nan", b"1_0")
    ),
    *((values.money, raw) for raw in (b"", b"1.50", b"$1", b"$.50", b"$1.5x", "1,50 €".encode())),
    *((values.text, raw) for raw in (b"\xff", b"\xed\xa0\x80", b"a\xc3")),
    *((values.bytea, raw) for raw in (b"", b"abc", b"\\xabc", b"\\xzz", b"\\001")),
    *(
        (values.date, raw)
        for raw in (
            b"", b"2026-13-01", b"2026-00-01", b"2026-02-29", b"1900-02-29", b"2026-04-31",
            b"2026-01-32", b"2026-01-00", b"0000-01-01", b"26-01-01", b"2026/01/01", b"09-14-2026",
            b"2026-9-14", b"2026-09-14 AD", b"99999999-01-01", b"2026-09-1x", b"Infinity",
        )
    ),
    *(
        (values.time, raw)
        for raw in (
            b"", b"24:00:01", b"24:00:00.000001", b"25:00:00", b"04:60:00", b"04:05:60", b"4:05:06",
            b"04:05", b"04:05:06.", b"04:05:06.1234567", b"04:05:06,1", b"04-05-06",
        )
    ),
    *(
        (values.timetz, raw)
        for raw in (b"", b"04:05:06", b"04:05:06+", b"04:05:06+5", b"04:05:06+05:3", b"x+05",
                    b"04:05:06+05:60", b"04:05:06+05:30:1")
    ),
    *(
        (values.timestamp, raw)
        for raw in (b"", b"2026-09-14", b"2026-09-14 24:00:00", b"2026-09-14T07:05:09",
                    b"2026-09-14 07:05:09+00", b" 07:05:09", b"14.09.2026 07:05:09")
    ),
    *(
        (values.timestamptz, raw)
        for raw in (b"", b"2026-09-14 07:05:09", b"2026-09-14 24:00:00+00",
                    b"2026-09-14 07:05:09 CET",
                    b"2026-09-14 07:05:09+0")
    ),
    *(
        (values.interval, raw)
        for raw in (
            b"", b"1", b"1 week", b"x days", b"1 days 04:05", b"P1D", b"@ 1 day", b"1-2",
            b"2147483648 days", b"178956971 years", b"9999999999:00:00", b"--04:05:06",
            b"1 day 04:05:06 ago",
        )
    ),
    *(
        (values.uuid, raw)
        for raw in (
            b"", b"a0eebc999c0b4ef8bb6d6bb9bd380a11", b"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            b"a0eebc9-99c0b-4ef8-bb6d-6bb9bd380a11", b"g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        )
    ),
    (values.bits, b"012"),
]  # fmt: skip


@pytest.mark.parametrize(("decode", "raw", "value"), VALUES)
def test_server_text_gives_its_logical_value(
    decode: Callable[[bytes], object], raw: bytes, value: object
) -> None:
    decoded = decode(raw)

    assert value == decoded
    assert type(value) is type(decoded)


def test_not_a_number_is_a_float_of_its_own() -> None:
    assert math.isnan(values.float64(b"NaN"))
    assert math.isnan(values.float32(b"NaN"))


@pytest.mark.parametrize(("decode", "raw"), BAD)
def test_text_that_no_server_writes_is_refused_and_not_repeated(
    decode: Callable[[bytes], object], raw: bytes
) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(raw)

    assert len(raw) < 4 or raw.decode(errors="replace") not in str(refused.value)
    assert refused.value.__cause__ is None
