"""`cdc init` and `cdc drop` on a real server."""

from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql

from cdc.config import load
from cdc.errors import ConfigError, SourceRefused
from cdc.protocols import SourceContext
from cdc.secret import Secret
from connectors.postgres.catalog import captured_tables
from connectors.postgres.config import Config
from connectors.postgres.names import made_by
from connectors.postgres.scaffold import drop, scaffold
from tests.integration import odd_type
from tests.lab import PostgresDatabase

pytestmark = pytest.mark.postgres


@pytest.fixture
def context(tmp_path: Path, postgres_database: PostgresDatabase) -> SourceContext:
    # Slot names are the server's, not the database's: one pipeline name per test.
    return SourceContext(postgres_database.name.replace("_", ""), "src", "src", tmp_path)


def test_proposal_holds_what_can_be_captured_and_says_why_not_the_rest(
    postgres_database: PostgresDatabase,
) -> None:
    postgres_database.execute(
        "CREATE TABLE products (id int PRIMARY KEY, name text)",
        'CREATE TABLE "Odd ""name" (id int PRIMARY KEY)',
        "CREATE TABLE keyless (id int)",
        odd_type.MAKE,
        "CREATE TABLE places (id int PRIMARY KEY, place odd_place)",
        odd_type.SPOIL,
        "INSERT INTO products SELECT n, n::text FROM generate_series(1, 1000) n",
        "ANALYZE products",
    )
    url = postgres_database.url.replace("postgres@", "postgres:secret-word@")

    proposal = scaffold(url)

    config = yaml.safe_load(proposal.config)
    (source,) = config["sources"].values()
    assert source["tables"] == ['public.Odd "name', "public.products"]
    assert source["url"] == postgres_database.url
    assert "secret-word" not in proposal.config + proposal.sql
    assert "public.products" in next(iter(config["sinks"].values()))["from"]
    assert '# - "public.keyless"' in proposal.config
    assert "no primary key" in proposal.config
    assert "place (public.odd_place)" in proposal.config
    assert "about 1000 rows" in proposal.config
    assert "the role cdc of the SQL beside this file" in proposal.config


def test_proposal_is_a_configuration_as_it_stands(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute("CREATE TABLE products (id int PRIMARY KEY, name text)")
    file = tmp_path / "cdc.yaml"

    file.write_text(scaffold(postgres_database.url).config)

    config = load(file)
    assert list(config.sources) == [config.name]


def test_proposed_statements_make_a_role_that_passes_the_check(
    postgres_database: PostgresDatabase,
) -> None:
    postgres_database.execute("CREATE TABLE products (id int PRIMARY KEY)")
    role, _ = postgres_database.create_role("LOGIN")
    postgres_database.execute(f"ALTER ROLE {role} REPLICATION")

    statements = scaffold(postgres_database.url).sql.replace('"cdc"', role).splitlines()

    postgres_database.execute(*[line for line in statements if "CREATE ROLE" not in line])
    with postgres_database.connect() as connection:
        row = connection.execute(
            "SELECT has_table_privilege(%s, 'public.products', 'SELECT')", (role,)
        ).fetchone()
    assert row == (True,)
    postgres_database.execute(f"DROP OWNED BY {role}")


def test_empty_database_is_one_clear_error(postgres_database: PostgresDatabase) -> None:
    with pytest.raises(ConfigError, match="no tables to capture"):
        scaffold(postgres_database.url)


def test_bad_address_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError) as refused:
        scaffold("user:secret-word@host/db")

    assert "secret-word" not in str(refused.value)


def test_drop_removes_what_tidewire_made_and_nothing_else(
    postgres_database: PostgresDatabase, context: SourceContext
) -> None:
    name = f"cdc_{context.pipeline}_src"
    comment = made_by(context.pipeline, context.name)
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY)",
        f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')",
        f"SELECT pg_create_logical_replication_slot('{name}_other', 'pgoutput')",
        f"CREATE PUBLICATION {name} FOR TABLE t",
        f"COMMENT ON PUBLICATION {name} IS '{comment}'",
        "CREATE PUBLICATION of_the_user FOR TABLE t",
    )
    config = Config(url=Secret(postgres_database.url), tables=("public.t",))

    removed = drop(config, context)

    assert removed == [f"replication slot {name}", f"publication {name}"]
    assert drop(config, context) == []
    with postgres_database.connect() as connection:
        left = connection.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
            " UNION ALL SELECT pubname FROM pg_publication"
        ).fetchall()
    assert left == [(f"{name}_other",), ("of_the_user",)]


def test_drop_leaves_what_the_configuration_names(
    postgres_database: PostgresDatabase, context: SourceContext
) -> None:
    slot = f"mine_{context.pipeline}"
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY)",
        f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
        "CREATE PUBLICATION mine FOR TABLE t",
    )
    config = Config(
        url=Secret(postgres_database.url), tables=("public.t",), slot=slot, publication="mine"
    )

    assert drop(config, context) == []


def test_drop_of_a_slot_in_use_is_refused_and_removes_nothing(
    postgres_database: PostgresDatabase, context: SourceContext
) -> None:
    name = f"cdc_{context.pipeline}_src"
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY)",
        f"CREATE PUBLICATION {name} FOR TABLE t",
        f"COMMENT ON PUBLICATION {name} IS '{made_by(context.pipeline, context.name)}'",
        f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')",
    )
    config = Config(url=Secret(postgres_database.url), tables=("public.t",))
    reader = psycopg.connect(
        postgres_database.url, replication="database", autocommit=True, application_name="thief"
    )
    start = sql.SQL(
        "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names {})"
    ).format(sql.Identifier(name), sql.Literal(name))
    reader.pgconn.exec_(start.as_string(reader).encode())

    with pytest.raises(SourceRefused, match="thief"):
        drop(config, context)

    reader.close()
    with postgres_database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_publication").fetchone() == (1,)
        assert captured_tables(connection, ["public.t"])
