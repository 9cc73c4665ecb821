"""Captured tables, structures, keys and defaults, against a real server's catalog."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.errors import ConfigError, SchemaError
from cdc.schema import (
    NO_DEFAULT,
    Array,
    Decimal,
    Enum,
    Int32,
    Int64,
    LogicalType,
    String,
    Timestamp,
)  # fmt: skip
from connectors.postgres.catalog import (
    TableFacts,
    captured_tables,
    describe,
    refuse_unsupported,
)
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.decoders import SESSION_SETTINGS
from connectors.postgres.logical_types import BUILT_IN_OIDS, Types, types_of
from connectors.postgres.pgoutput import Relation, RelationColumn
from connectors.postgres.resolution import resolve
from tests.integration import odd_type
from tests.lab import PostgresDatabase

pytestmark = pytest.mark.postgres

GOLDENS = Path(__file__).parents[3] / "shared" / "goldens" / "postgres"
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def connection(postgres_database: PostgresDatabase) -> Iterator[Connection]:
    options = " ".join(
        f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in SESSION_SETTINGS.items()
    )
    with psycopg.connect(postgres_database.url, autocommit=True, options=options) as connection:
        yield connection


def names_of(connection: Connection, *tables: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return [table.qualified_name for table in captured_tables(connection, tables, exclude)]


def facts_of(connection: Connection, name: str, **arguments: Any) -> TableFacts:
    (table,) = captured_tables(connection, [name])
    return describe(connection, [table.oid], **arguments)[table.oid]


def relation_of(facts: TableFacts, *columns: RelationColumn, identity: str = "d") -> Relation:
    return Relation(facts.oid, facts.schema.namespace, facts.schema.table, identity, columns)


# --- captured tables ------------------------------------------------------------------------------


def test_globs_mean_ordinary_tables_and_leaves_and_never_the_catalog(
    connection: Connection,
) -> None:
    connection.execute(
        b"CREATE TABLE public.a (id int); CREATE TABLE public.b (id int);"
        b"CREATE UNLOGGED TABLE public.u (id int); CREATE VIEW public.v AS SELECT 1 AS x;"
        b"CREATE SCHEMA s; CREATE TABLE s.a (id int);"
        b"CREATE TABLE s.part (id int, at date) PARTITION BY RANGE (at);"
        b"CREATE TABLE s.part_1 PARTITION OF s.part FOR VALUES FROM ('2026-01-01')"
        b" TO ('2027-01-01') PARTITION BY LIST (id);"
        b"CREATE TABLE s.leaf PARTITION OF s.part_1 FOR VALUES IN (1)"
    )

    assert names_of(connection, "*.*") == ["public.a", "public.b", "s.a", "s.leaf"]
    assert names_of(connection, "public.*", exclude=("*.a",)) == ["public.b"]
    assert names_of(connection, "?.a") == ["s.a"]
    assert names_of(connection, "s.part") == ["s.leaf"]
    assert names_of(connection, "s.*", exclude=("s.part",)) == ["s.a"]
    assert captured_tables(connection, ["s.leaf"])[0].root == "s.part"


def test_brackets_and_dots_in_a_name_are_plain_characters(connection: Connection) -> None:
    connection.execute(b'CREATE TABLE public."a[b]" (id int); CREATE TABLE public.ab (id int)')

    assert names_of(connection, "public.a[b]") == ["public.a[b]"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("public.order", r"no table public\.order in the database; did you mean public\.orders\?"),
        ("public.seen", "is a view"),
        ("public.fast", "is an unlogged table"),
    ],
)
def test_name_that_means_no_table_is_refused_with_the_reason(
    connection: Connection, name: str, message: str
) -> None:
    connection.execute(
        b"CREATE TABLE public.orders (id int); CREATE VIEW public.seen AS SELECT 1 AS x;"
        b"CREATE UNLOGGED TABLE public.fast (id int)"
    )

    with pytest.raises(ConfigError, match=message):
        captured_tables(connection, [name])


# --- structure ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ddl", "key"),
    [
        ("CREATE TABLE t (a int, b int, c int, PRIMARY KEY (c, a))", ("c", "a")),
        ("CREATE TABLE t (a int NOT NULL, b int NOT NULL UNIQUE, UNIQUE (a))", ("b",)),
        ("CREATE TABLE t (a int UNIQUE)", ()),
        ("CREATE TABLE t (a int NOT NULL, UNIQUE (a) DEFERRABLE)", ()),
        ("CREATE TABLE t (a int NOT NULL); CREATE UNIQUE INDEX ON t (a) WHERE a > 0", ()),
        ("CREATE TABLE t (a int NOT NULL); CREATE UNIQUE INDEX ON t ((a + 1))", ()),
        ("CREATE TABLE t (a int NOT NULL); CREATE INDEX ON t (a)", ()),
        (
            "CREATE TABLE t (a int NOT NULL, b int); CREATE UNIQUE INDEX ON t (a) INCLUDE (b)",
            ("a",),
        ),
        (
            (
                "CREATE TABLE t (a int NOT NULL UNIQUE, b int NOT NULL UNIQUE);"
                "ALTER TABLE t REPLICA IDENTITY USING INDEX t_b_key"
            ),
            ("b",),
        ),
        (
            (
                "CREATE TABLE t (a int PRIMARY KEY, b int NOT NULL UNIQUE);"
                "ALTER TABLE t REPLICA IDENTITY USING INDEX t_b_key"
            ),
            ("a",),
        ),
        ("CREATE TABLE t (a int PRIMARY KEY DEFERRABLE)", ()),
        (
            "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED NOT NULL UNIQUE)",
            (),
        ),
    ],
)
def test_key_is_what_identifies_a_row_at_every_moment(
    connection: Connection, ddl: str, key: tuple[str, ...]
) -> None:
    connection.execute(b"SET search_path = public")
    connection.execute(ddl.encode())
    connection.execute(b"SET search_path = ''")

    facts = facts_of(connection, "public.t")

    assert facts.schema.key_names == key


def test_types_are_resolved_through_domains_arrays_and_enums(connection: Connection) -> None:
    connection.execute(
        b"CREATE TYPE public.mood AS ENUM ('sad', 'happy');"
        b"ALTER TYPE public.mood ADD VALUE 'ok' BEFORE 'happy'"
    )
    connection.execute(
        b"CREATE DOMAIN public.amount AS numeric(12,2);"
        b"CREATE DOMAIN public.price AS public.amount NOT NULL;"
        b"CREATE DOMAIN public.moods AS public.mood[];"
        b"CREATE TABLE public.t (a public.price, b public.mood, c public.moods, d public.price[],"
        b" e numeric(5,3)[], f varchar(7), g timestamp(3), h oid, i int[][])"
    )

    facts = facts_of(connection, "public.t")

    mood = Enum(("sad", "ok", "happy"))
    types: list[LogicalType] = [column.type for column in facts.schema.columns]
    assert types == [
        Decimal(12, 2), mood, Array(mood), Array(Decimal(12, 2)), Array(Decimal(5, 3)),
        String("varchar", 7), Timestamp(3), Int64(), Array(Int32()),
    ]  # fmt: skip
    assert [column.nullable for column in facts.schema.columns] == [False] + [True] * 8
    assert types_of(json.loads(json.dumps(facts.types.content()))) == facts.types


def test_every_built_in_oid_is_the_type_that_the_server_calls_so(connection: Connection) -> None:
    rows = connection.execute(
        "SELECT t.oid::int8, t.typname::text, t.typarray::int8 FROM pg_catalog.pg_type t"
        " WHERE t.oid = ANY (%s::oid[])",
        (sorted(BUILT_IN_OIDS),),
    ).fetchall()
    types = Types()

    assert {oid for oid, *_ in rows} == BUILT_IN_OIDS
    for oid, name, array in rows:
        if array:
            item = types.resolve(oid, -1)
            assert item is not None
            assert types.resolve(array, -1) == Array(item)
            if isinstance(item, String) and item.kind != "xml":
                assert item.kind == name


def test_generated_columns_are_left_out(connection: Connection) -> None:
    connection.execute(
        b"CREATE TABLE public.t"
        b" (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a + 1) STORED, c int)"
    )

    facts = facts_of(connection, "public.t")

    assert [column.name for column in facts.schema.columns] == ["a", "c"]
    assert [column.generated for column in facts.columns] == [False, True, False]


@pytest.mark.parametrize(
    ("ddl", "partial"),
    [
        ("CREATE TABLE public.t (a int PRIMARY KEY, b text)", True),
        ("CREATE TABLE public.t (a int PRIMARY KEY, b bigint)", False),
        (
            (
                "CREATE TABLE public.t (a int PRIMARY KEY, b text);"
                "ALTER TABLE public.t REPLICA IDENTITY FULL"
            ),
            False,
        ),
        ("CREATE TABLE public.t (a int PRIMARY KEY, b varchar(10))", False),
    ],
)
def test_partial_says_whether_unchanged_values_may_be_missing(
    connection: Connection, ddl: str, partial: bool
) -> None:
    connection.execute(ddl.encode())

    assert facts_of(connection, "public.t").schema.partial == partial


def test_unsupported_types_are_all_named_unless_excluded(connection: Connection) -> None:
    connection.execute(odd_type.MAKE.encode())
    connection.execute(
        b"CREATE TABLE public.t (a int PRIMARY KEY, b public.odd_place, c public.odd_place[])"
    )
    connection.execute(odd_type.SPOIL.encode())

    facts = facts_of(connection, "public.t")

    with pytest.raises(SchemaError, match=r"t\.b \(public\.odd_place\), public\.t\.c \(.*\[\]\)"):
        refuse_unsupported([facts])
    excluded = facts_of(
        connection, "public.t", rules=ColumnRules((("public.*", "b"), ("*.t", "c")))
    )
    refuse_unsupported([excluded])
    assert excluded.layout.decoders[1](b"(1)") == "(1)"


# --- relations ------------------------------------------------------------------------------------


@pytest.fixture
def facts(connection: Connection) -> TableFacts:
    connection.execute(
        b"CREATE TABLE public.t (id int PRIMARY KEY, n int NOT NULL DEFAULT 7, s varchar(5))"
    )
    return facts_of(connection, "public.t")


def test_relation_that_agrees_gives_what_the_catalog_says(facts: TableFacts) -> None:
    relation = relation_of(
        facts,
        RelationColumn("id", 23, -1, True),
        RelationColumn("n", 23, -1, False),
        RelationColumn("s", 1043, 9, False),
    )

    resolved = resolve(relation, 1 << 40, [facts.known()], facts.types, "db", {})

    assert replace(facts.schema, database="db") == resolved.schema
    assert resolved.withheld is None


# --- defaults -------------------------------------------------------------------------------------


def golden_defaults() -> dict[str, object]:
    """Defaults by column in the schema of `defaults`, without those of types not covered."""
    with (GOLDENS / "types_default.jsonl").open() as lines:
        for line in lines:
            record = json.loads(line)
            schema = json.loads(record.get("schema_text", "{}"))
            if schema.get("name") == "acme.public.defaults.Envelope":
                (after,) = [field for field in schema["fields"] if field["field"] == "after"]
                return {
                    field["field"]: field.get("default", NO_DEFAULT) for field in after["fields"]
                }
    raise AssertionError("the golden has no such schema")


# Where Debezium's default is wrong, and what the column's default is (docs: differences).
RIGHT: dict[str, object] = {
    "n_text": 'it\'s "x"',
    "n_char": "ab  ",
    "o_cast": NO_DEFAULT,
    # Shown where decimals are text or doubles; the schema of a struct has no place for it.
    "n_numfree": "12.500",
}
# The same default in Debezium's encoding and as a logical value.
ENCODED: dict[str, tuple[object, object]] = {
    "n_num": ("MFc=", "12.375"),
    "n_tstz": ("2026-09-14T05:05:09.120000Z", 1789362309120000),
    "n_tstznow": ("1970-01-01T00:00:00.000000Z", 0),
    "n_ts3": (1789369509120, 1789369509120000),
    "n_interval": (93600000000, (0, 1, 7200000000)),
    "n_bit1": (True, "1"),
    "n_bit8": ("BQ==", "00000101"),
}


@pytest.mark.skipif(not GOLDENS.exists(), reason="the recorded Debezium runs are not here")
def test_defaults_are_debeziums_where_those_are_right(connection: Connection) -> None:
    if connection.info.server_version < 150_000:
        pytest.skip("negative scales came with version 15")
    connection.execute(b"SET search_path = public")
    connection.execute((GOLDENS / "types_setup.sql").read_bytes())
    connection.execute(b"SET search_path = ''")

    facts = facts_of(connection, "public.defaults")

    golden = golden_defaults()
    assert golden.keys() == {column.name for column in facts.schema.columns}
    for column in facts.schema.columns:
        expected = golden[column.name]
        if column.name in ENCODED:
            shown, logical = ENCODED[column.name]
            assert shown == expected
            expected = logical
        expected = RIGHT.get(column.name, expected)
        assert (column.name, column.default) == (column.name, expected)


@pytest.mark.parametrize(
    ("column", "default"),
    [
        ("numeric(8,3) DEFAULT -12.3", "-12.300"),
        ("float8 DEFAULT 1e10", 1e10),
        ("real DEFAULT 'NaN'", "nan"),
        ("bigint DEFAULT -9223372036854775808", -9223372036854775808),
        ("int DEFAULT 2.5", 3),
        ("int DEFAULT 5::smallint", 5),
        ("text DEFAULT E'a\\nb\\\\c'", "a\nb\\c"),
        ("text DEFAULT '(now())'", "(now())"),
        ("time(0) DEFAULT '01:02:03.7'", 3724000000),
        ("varchar(5) DEFAULT 7", "7"),
        ("boolean DEFAULT (NOT true)", NO_DEFAULT),
        ("int DEFAULT 2 + 3", NO_DEFAULT),
        ("int DEFAULT abs(-3)", 0),
        ("text DEFAULT current_user", ""),
        ("timestamptz DEFAULT (now() AT TIME ZONE 'utc')", 0),
        ("date DEFAULT current_date + 1", 0),
        ("numeric(3,1) DEFAULT 12345", NO_DEFAULT),
        ("text DEFAULT NULL", NO_DEFAULT),
        ("int GENERATED ALWAYS AS IDENTITY", NO_DEFAULT),
        ("bytea DEFAULT '\\x01'", NO_DEFAULT),
        ("int[] DEFAULT '{1}'", NO_DEFAULT),
        ("jsonb DEFAULT jsonb_build_object('a', 1)", "{}"),
        ("interval year to month DEFAULT '1 year'", (12, 0, 0)),
        ("bit varying(5) DEFAULT B'101'", "101"),
    ],
)
def test_default_is_the_value_that_a_new_row_would_get(
    connection: Connection, column: str, default: object
) -> None:
    connection.execute(f"CREATE TABLE public.t (d {column})".encode())

    found = facts_of(connection, "public.t").schema.columns[0].default

    assert (str(found) if default == "nan" else found) == default


def test_no_function_of_the_user_runs_for_a_default(connection: Connection) -> None:
    connection.execute(
        b"CREATE TABLE public.seen (id int);"
        b"CREATE FUNCTION public.trap(anyelement) RETURNS boolean LANGUAGE sql AS"
        b" 'INSERT INTO public.seen VALUES (1); SELECT true';"
        b"CREATE DOMAIN public.trapped AS int CHECK (public.trap(VALUE));"
        b"CREATE TABLE public.t (a public.trapped DEFAULT 5, b boolean DEFAULT public.trap(1),"
        b" c int DEFAULT 6::public.trapped)"
    )

    facts = facts_of(connection, "public.t")

    assert [column.default for column in facts.schema.columns] == [5, False, NO_DEFAULT]
    assert connection.execute("SELECT count(*) FROM public.seen").fetchone() == (0,)


def test_one_impossible_default_does_not_hide_the_others(connection: Connection) -> None:
    connection.execute(
        b"CREATE TABLE public.t (a int DEFAULT 1, b numeric(3,1) DEFAULT 12345, c int DEFAULT 3)"
    )

    facts = facts_of(connection, "public.t")

    assert [column.default for column in facts.schema.columns] == [1, NO_DEFAULT, 3]
