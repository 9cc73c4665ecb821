"""Decoders against a real server: values go in as binary, and come out as the text we decode."""

import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.pq import ExecStatus

from cdc.schema import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
    Array,
    Bytes,
    Float64,
    Int64,
    LogicalType,
    String,
    TimestampTz,
)  # fmt: skip
from connectors.postgres import values
from connectors.postgres.catalog import captured_tables, describe
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.decoders import SESSION_SETTINGS, decoder
from tests.conformance.capture import require_features
from tests.lab import PostgresDatabase, PostgresServer

pytestmark = pytest.mark.postgres

GOLDENS = Path(__file__).parents[3] / "shared" / "goldens" / "postgres"
Connection = psycopg.Connection[tuple[Any, ...]]
Render = Callable[[int, bytes], bytes]

# Postgres counts from 2000-01-01. Source: src/include/datatype/timestamp.h.
DAYS_2000 = 10_957
US_2000 = DAYS_2000 * 86_400_000_000
TIMESTAMP_MIN, TIMESTAMP_END = -211_813_488_000_000_000, 9_223_371_331_200_000_000
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.integers(TIMESTAMP_MIN, TIMESTAMP_END - 1)
oracle = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def session(url: str) -> Connection:
    options = " ".join(
        f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in SESSION_SETTINGS.items()
    )
    return psycopg.connect(url, autocommit=True, options=options, client_encoding="UTF8")


@pytest.fixture(scope="module")
def connection(postgres_server: PostgresServer) -> Iterator[Connection]:
    with session(postgres_server.url()) as connection:
        yield connection


@pytest.fixture(scope="module")
def render(connection: Connection) -> Render:
    """The server's text of a value whose binary form is given."""

    def of(oid: int, binary: bytes) -> bytes:
        result = connection.pgconn.exec_params(b"SELECT $1", [binary], [oid], [1], 0)
        assert result.status == ExecStatus.TUPLES_OK, result.error_message
        text = result.get_value(0, 0)
        assert text is not None
        return text

    return of


@given(INT64)
@oracle
def test_integers(render: Render, number: int) -> None:
    assert values.int64(render(20, struct.pack(">q", number))) == number


@given(st.floats())
@oracle
def test_doubles(render: Render, number: float) -> None:
    decoded = values.float64(render(701, struct.pack(">d", number)))

    assert struct.pack(">d", decoded) == struct.pack(">d", number) or math.isnan(number)
    assert math.isnan(decoded) == math.isnan(number)


@given(st.floats(width=32))
@oracle
def test_floats(render: Render, number: float) -> None:
    decoded = values.float32(render(700, struct.pack(">f", number)))

    assert struct.pack(">f", decoded) == struct.pack(">f", number) or math.isnan(number)
    assert math.isnan(decoded) == math.isnan(number)


@given(INT64)
@oracle
def test_money(render: Render, cents: int) -> None:
    units, rest = divmod(abs(cents), 100)
    sign = "-" if cents < 0 else ""

    assert values.money(render(790, struct.pack(">q", cents))) == f"{sign}{units}.{rest:02}"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=7))
@oracle
def test_numerics(connection: Connection, number: Any) -> None:
    cursor = connection.execute("SELECT %s::numeric", (number,))
    assert cursor.pgresult is not None
    raw = cursor.pgresult.get_value(0, 0)
    assert raw is not None

    # The server has no negative zero.
    assert values.decimal(raw) == f"{number if number else abs(number):f}"


@given(st.integers(-2_451_545, 2_145_031_948))
@oracle
def test_dates(render: Render, days: int) -> None:
    assert values.date(render(1082, struct.pack(">i", days))) == days + DAYS_2000


@given(st.integers(0, 86_400_000_000))
@oracle
def test_times(render: Render, micros: int) -> None:
    assert values.time(render(1083, struct.pack(">q", micros))) == micros


@given(st.integers(0, 86_400_000_000), st.integers(-57_599, 57_599))
@oracle
def test_times_with_offset(render: Render, micros: int, east_s: int) -> None:
    # The server keeps seconds west of UTC.
    raw = render(1266, struct.pack(">qi", micros, -east_s))

    assert values.timetz(raw) == (micros, east_s)


@given(INSTANTS)
@oracle
def test_timestamps(render: Render, micros: int) -> None:
    assert values.timestamp(render(1114, struct.pack(">q", micros))) == micros + US_2000


@given(INSTANTS)
@oracle
def test_timestamps_with_zone(render: Render, micros: int) -> None:
    assert values.timestamptz(render(1184, struct.pack(">q", micros))) == micros + US_2000


def test_infinities(render: Render) -> None:
    low, high = struct.pack(">q", -(2**63)), struct.pack(">q", 2**63 - 1)

    assert values.date(render(1082, struct.pack(">i", 2**31 - 1))) == DATE_INFINITY
    assert values.date(render(1082, struct.pack(">i", -(2**31)))) == DATE_MINUS_INFINITY
    for oid, decode in ((1114, values.timestamp), (1184, values.timestamptz)):
        assert decode(render(oid, high)) == TIMESTAMP_INFINITY
        assert decode(render(oid, low)) == TIMESTAMP_MINUS_INFINITY


@given(INT32, INT32, INT64)
@oracle
def test_intervals(render: Render, months: int, days: int, micros: int) -> None:
    raw = render(1186, struct.pack(">qii", micros, days, months))

    assert values.interval(raw) == (months, days, micros)


@given(st.binary(max_size=200))
@oracle
def test_bytes(render: Render, content: bytes) -> None:
    assert values.bytea(render(17, content)) == content


@given(st.uuids())
@oracle
def test_uuids(render: Render, identifier: Any) -> None:
    assert values.uuid(render(2950, identifier.bytes)) == str(identifier)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(TEXTS)
@oracle
def test_texts(render: Render, content: str) -> None:
    assert values.text(render(25, content.encode())) == content


def nested(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    """Arrays of one dimension, or rectangular ones of two, with nulls."""
    nullable = st.none() | items
    flat = st.lists(nullable, max_size=6).map(tuple)
    square = st.integers(1, 3).flatmap(
        lambda width: st.lists(
            st.lists(nullable, min_size=width, max_size=width).map(tuple), min_size=1, max_size=3
        ).map(tuple)
    )
    return flat | square


def as_lists(value: object) -> object:
    return [as_lists(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("item", "name", "items"),
    [
        (
            String(),
            "text",
            TEXTS | st.sampled_from(["NULL", "null", "", "{}", '"', "\\", ",", " "]),
        ),
        (Int64(), "int8", INT64),
        (Float64(), "float8", st.floats(allow_nan=False)),
        (Bytes(), "bytea", st.binary(max_size=8)),
    ],
)
def test_arrays(
    connection: Connection, item: LogicalType, name: str, items: st.SearchStrategy[object]
) -> None:
    decode = decoder(Array(item))

    @given(nested(items))
    @oracle
    def check(value: tuple[object, ...]) -> None:
        cursor = connection.execute(f"SELECT %s::{name}[]".encode(), (as_lists(value),))
        assert cursor.pgresult is not None
        raw = cursor.pgresult.get_value(0, 0)
        assert raw is not None
        assert decode(raw) == value

    check()


def test_lower_bounds_are_dropped(connection: Connection) -> None:
    cursor = connection.execute(
        "SELECT '[-1:0][3:4]={{2026-01-01,infinity},{NULL,2026-01-02}}'::timestamptz[]"
    )
    assert cursor.pgresult is not None
    raw = cursor.pgresult.get_value(0, 0)
    assert raw is not None

    assert decoder(Array(TimestampTz()))(raw) == (
        (1767225600000000, TIMESTAMP_INFINITY),
        (None, 1767312000000000),
    )


COPY_ESCAPES = {
    b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\",
}  # fmt: skip


def copied(line: bytes) -> list[bytes | None]:
    """The fields of a line of COPY text. Source: PostgreSQL manual, COPY, Text Format."""
    fields = line.removesuffix(b"\n").split(b"\t")
    return [None if field == b"\\N" else _without_marks(field) for field in fields]


def _without_marks(field: bytes) -> bytes:
    out, position = bytearray(), 0
    while position < len(field):
        if field[position] == 92:
            escape = field[position + 1 : position + 2]
            out += COPY_ESCAPES[escape]
            position += 2
        else:
            out.append(field[position])
            position += 1
    return bytes(out)


def streamed(message: bytes) -> list[bytes | None]:
    """The fields of an Insert. Source: PostgreSQL manual, Logical Replication Message Formats."""
    assert message[:1] == b"I"
    assert message[5:6] == b"N"
    (count,) = struct.unpack(">h", message[6:8])
    fields: list[bytes | None] = []
    position = 8
    for _ in range(count):
        kind = message[position : position + 1]
        position += 1
        if kind == b"n":
            fields.append(None)
            continue
        (length,) = struct.unpack(">i", message[position : position + 4])
        fields.append(message[position + 4 : position + 4 + length])
        position += 4 + length
    return fields


@pytest.mark.skipif(not GOLDENS.exists(), reason="the recorded Debezium runs are not here")
def test_copy_and_stream_give_the_same_value_for_every_type(
    postgres_database: PostgresDatabase,
) -> None:
    slot = f"values_{postgres_database.name}"
    setup = (GOLDENS / "types_setup.sql").read_text()
    require_features(postgres_database, setup)
    structure, marker, rows = setup.partition("select ins(1);")
    with session(postgres_database.url) as connection:
        connection.execute(b"SET search_path = public")
        connection.execute(structure.encode())
        connection.execute(b"CREATE PUBLICATION p FOR ALL TABLES")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
        connection.execute((marker + rows).encode())
        connection.execute(b"SET search_path = ''")
        (table,) = captured_tables(connection, ["public.all_types"])
        facts = describe(connection, [table.oid], ColumnRules((("*", "*"),)))[table.oid]
        with connection.cursor().copy(
            "COPY (SELECT * FROM public.all_types ORDER BY id) TO STDOUT"
        ) as copy:
            snapshot = [copied(bytes(line)) for line in copy]
        messages = connection.execute(
            "SELECT data FROM pg_catalog.pg_logical_slot_peek_binary_changes(%s, NULL, NULL,"
            " 'proto_version', '1', 'publication_names', 'p')",
            (slot,),
        ).fetchall()
    oid = struct.pack(">i", table.oid)
    stream = [streamed(data) for (data,) in messages if data[:5] == b"I" + oid]

    def decoded(row: list[bytes | None]) -> list[object]:
        return [
            None if raw is None else decode(raw)
            for raw, decode in zip(row, facts.layout.decoders, strict=True)
        ]

    assert len(stream) == 2
    assert [decoded(row) for row in snapshot] == [decoded(row) for row in stream]
    assert None not in decoded(stream[0])
