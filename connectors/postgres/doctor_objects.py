"""What `cdc check` says about the slot and the publication of a Postgres source."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.errors import SourceRefused
from cdc.protocols import Finding
from connectors.postgres.config import Config
from connectors.postgres.doctor_tables import listed, quoted
from connectors.postgres.slots import read_slot, require_ours
from connectors.postgres.tables import CapturedTable

_OPERATIONS: Final = ("insert", "update", "delete", "truncate")
_READ_PUBLICATION: Final[LiteralString] = """
SELECT pg_catalog.to_jsonb(p), pg_catalog.pg_has_role(p.pubowner, 'USAGE')
FROM pg_catalog.pg_publication p WHERE p.pubname = %s
"""
_READ_PUBLISHED: Final[LiteralString] = """
SELECT c.oid::pg_catalog.int8
FROM pg_catalog.pg_publication_tables t
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE t.pubname = %s
"""
# As JSON: servers before 15 have neither column lists nor row filters.
_READ_NARROWED: Final[LiteralString] = """
SELECT pg_catalog.concat(n.nspname, '.', c.relname)
FROM pg_catalog.pg_publication p
JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(r) AS entry) AS j
WHERE p.pubname = %s AND (j.entry ->> 'prqual' IS NOT NULL OR j.entry ->> 'prattrs' IS NOT NULL)
ORDER BY 1
"""
_READ_OWNED: Final[LiteralString] = """
SELECT c.oid::pg_catalog.int8 FROM pg_catalog.pg_class c
WHERE c.oid = ANY (%s::pg_catalog.oid[]) AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
"""


def slot_findings(
    connection: psycopg.Connection[tuple[Any, ...]], database: str, name: str, config: Config
) -> Iterator[Finding]:
    """Whether the slot is there, is of the right kind, alive and free."""
    slot = read_slot(connection, name)
    literal = sql.Literal(name).as_string(None)
    drop = f"SELECT pg_drop_replication_slot({literal});"
    if slot is None:
        if config.create_slot:
            yield Finding("ok", "slot", name, f"slot {name} is made at the first start")
        else:
            yield Finding(
                "error",
                "slot",
                name,
                f"there is no slot {name}, and create_slot is false",
                f"SELECT pg_create_logical_replication_slot({literal}, 'pgoutput');",
            )
        return
    try:
        require_ours(slot, database)
    except SourceRefused as error:
        yield Finding("error", "slot", name, error.message, f"Configure another `slot`, or: {drop}")
        return
    if slot.lost:
        yield Finding(
            "error",
            "slot-lost",
            name,
            f"slot {name} is lost: {slot.lost}",
            f"{drop} then `cdc reset` the source for a new snapshot",
        )
    elif slot.active_pid is not None:
        yield Finding(
            "warning",
            "slot-active",
            name,
            f"slot {name} is being read by server process {slot.active_pid}: right if this pipeline"
            " runs, else somebody else takes its changes",
            sql.SQL("SELECT * FROM pg_stat_replication WHERE pid = {};")
            .format(slot.active_pid)
            .as_string(None),
        )
    else:
        yield Finding("ok", "slot", name, f"slot {name} is there and free")


def publication_findings(
    connection: psycopg.Connection[tuple[Any, ...]],
    user: str,
    database: str,
    name: str,
    tables: Sequence[CapturedTable],
    config: Config,
) -> Iterator[Finding]:
    """Whether the publication covers the tables whole, or can be made or completed."""
    owned = {oid for (oid,) in connection.execute(_READ_OWNED, ([table.oid for table in tables],))}
    foreign = [table for table in tables if table.oid not in owned]
    found = connection.execute(_READ_PUBLICATION, (name,)).fetchall()
    if not found:
        yield from _absent(connection, user, database, name, tables, foreign, config)
        return
    row, is_owner = found[0]
    yield from _shape(connection, name, row, tables)
    published = {oid for (oid,) in connection.execute(_READ_PUBLISHED, (name,))}
    lacking = [table for table in tables if table.oid not in published]
    if not lacking:
        yield Finding("ok", "publication", name, f"publication {name} covers every table")
        return
    names = listed([table.qualified_name for table in lacking])
    if config.create_publication and is_owner and not set(lacking) & set(foreign):
        message = f"{names} will be added to publication {name} at the next start"
        yield Finding("ok", "publication-tables", name, message)
        return
    yield Finding(
        "error",
        "publication-tables",
        name,
        f"publication {name} lacks {names}",
        f"ALTER PUBLICATION {_identifier(name)} ADD TABLE {', '.join(map(quoted, lacking))};",
    )


def create_publication_text(name: str, tables: Sequence[CapturedTable]) -> str:
    """The statement that makes the publication."""
    return (
        f"CREATE PUBLICATION {_identifier(name)} FOR TABLE {', '.join(map(quoted, tables))}"
        f" WITH (publish = '{', '.join(_OPERATIONS)}');"
    )


def _absent(
    connection: psycopg.Connection[tuple[Any, ...]],
    user: str,
    database: str,
    name: str,
    tables: Sequence[CapturedTable],
    foreign: Sequence[CapturedTable],
    config: Config,
) -> Iterator[Finding]:
    if not tables:
        return
    create = create_publication_text(name, tables)
    if not config.create_publication:
        message = f"there is no publication {name}, and create_publication is false"
        yield Finding("error", "publication", name, message, create)
        return
    allowed = connection.execute(
        "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"
    ).fetchall()[0][0]
    if not allowed:
        role = sql.Identifier(user).as_string(None)
        grant = f"GRANT CREATE ON DATABASE {_identifier(database)} TO {role};"
        yield Finding(
            "error",
            "publication-right",
            name,
            f"there is no publication {name}, and the role {user} has no CREATE on database"
            f" {database} to make it",
            f"{grant} or let an administrator run: {create}",
        )
    if foreign:
        names = listed([table.qualified_name for table in foreign])
        yield Finding(
            "error",
            "publication-right",
            name,
            f"there is no publication {name}, and only the owner of {names} can publish them",
            f"Let their owner (or an administrator) run: {create}",
        )
    if allowed and not foreign:
        message = f"publication {name} is made at the first start"
        yield Finding("ok", "publication", name, message)


def _shape(
    connection: psycopg.Connection[tuple[Any, ...]],
    name: str,
    row: dict[str, Any],
    tables: Sequence[CapturedTable],
) -> Iterator[Finding]:
    absent = [operation for operation in _OPERATIONS if row.get(f"pub{operation}") is False]
    if absent:
        yield Finding(
            "error",
            "publication-operations",
            name,
            f"publication {name} does not publish {', '.join(absent)}",
            f"ALTER PUBLICATION {_identifier(name)} SET (publish = '{', '.join(_OPERATIONS)}');",
        )
    if row.get("pubviaroot") and any(table.root is not None for table in tables):
        yield Finding(
            "error",
            "publication-root",
            name,
            f"publication {name} publishes partitions under their root's name",
            f"ALTER PUBLICATION {_identifier(name)} SET (publish_via_partition_root = false);",
        )
    narrowed = [table for (table,) in connection.execute(_READ_NARROWED, (name,))]
    ours = sorted({table.qualified_name for table in tables} & set(narrowed))
    if ours:
        yield Finding(
            "error",
            "publication-narrowed",
            name,
            f"publication {name} has column lists or row filters for {listed(ours)}, which a"
            " snapshot would not follow",
            "Publish these tables whole, and leave columns out with a `columns` transform.",
        )


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string(None)
