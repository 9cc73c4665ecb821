"""Publications: made or completed when that is allowed, and what they must be like."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.errors import PositionLost, SourceRefused
from connectors.postgres.connection import rows_of, translated
from connectors.postgres.tables import CapturedTable

_READ: Final[LiteralString] = """
SELECT pg_catalog.to_jsonb(p) FROM pg_catalog.pg_publication p WHERE p.pubname = %s
"""
_TABLES: Final[LiteralString] = """
SELECT c.oid::pg_catalog.int8
FROM pg_catalog.pg_publication_tables t
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE t.pubname = %s
"""
# As JSON: servers before 15 have neither column lists nor row filters.
_NARROWED: Final[LiteralString] = """
SELECT r.prrelid::pg_catalog.regclass::pg_catalog.text
FROM pg_catalog.pg_publication p
JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid,
     LATERAL (SELECT pg_catalog.to_jsonb(r) AS entry) j
WHERE p.pubname = %s AND (j.entry ->> 'prqual' IS NOT NULL OR j.entry ->> 'prattrs' IS NOT NULL)
"""
_EXISTING: Final[LiteralString] = """
SELECT c.oid::pg_catalog.int8 FROM pg_catalog.pg_class c
WHERE c.oid = ANY (%s::pg_catalog.oid[])
"""
_OPERATIONS: Final = ("insert", "update", "delete", "truncate")

Connection = psycopg.Connection[tuple[Any, ...]]


def unpublished(
    connection: Connection, name: str, tables: Sequence[CapturedTable]
) -> list[CapturedTable]:
    """The tables that an existing publication lacks; none when there is no such publication."""
    doing = f"looking at publication {name}"
    if not rows_of(connection, doing, _READ, (name,)):
        return []
    published = {oid for (oid,) in rows_of(connection, doing, _TABLES, (name,))}
    return [table for table in tables if table.oid not in published]


def is_of_all_tables(connection: Connection, name: str) -> bool:
    """Whether the publication has every table from its beginning, by itself."""
    found = rows_of(connection, f"looking at publication {name}", _READ, (name,))
    return bool(found) and bool(found[0][0].get("puballtables"))


def require_published(connection: Connection, name: str, tables: Sequence[CapturedTable]) -> None:
    """Raise when the server leaves out changes of tables that still exist, which it does not say.

    PositionLost for a table that the publication had and has no more, SourceRefused when it has
    been narrowed. A publication that is gone is left to the stream, which ends with an error.
    """
    doing = f"looking at publication {name}"
    found = rows_of(connection, doing, _READ, (name,))
    if not found:
        return
    _require_whole(connection, name, found[0][0], tables)
    gone = unpublished(connection, name, tables)
    if gone:
        oids = [table.oid for table in gone]
        existing = {oid for (oid,) in rows_of(connection, doing, _EXISTING, (oids,))}
        gone = [table for table in gone if table.oid in existing]
    if gone:
        raise PositionLost(
            f"publication {name} no longer has {_listed(gone)}, whose changes since then were "
            "not sent"
        )


def ensure_publication(
    connection: Connection,
    name: str,
    tables: Sequence[CapturedTable],
    comment: str,
    *,
    may_change: bool,
    standby: bool = False,
) -> None:
    """Make the publication, or add what is missing; a given one is only looked at.

    On a standby nothing can be made: its primary must have it.

    Raises SourceRefused, with the SQL that mends it, when changes of some table would not come.
    """
    doing = f"looking at publication {name}"
    found = rows_of(connection, doing, _READ, (name,))
    if not found:
        _create(connection, name, tables, comment, may_change=may_change, standby=standby)
        return
    _require_whole(connection, name, found[0][0], tables)
    missing = unpublished(connection, name, tables)
    if missing:
        statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(
            sql.Identifier(name), _names(missing)
        )
        if not may_change or standby:
            where = " on the primary" if standby else ""
            raise SourceRefused(
                f"publication {name} lacks {_listed(missing)}",
                hint=f"Run{where}: {_text(statement)}",
            )
        _refuse_unidentified(missing)
        _execute(connection, statement, f"adding tables to publication {name}")


def _create(
    connection: Connection,
    name: str,
    tables: Sequence[CapturedTable],
    comment: str,
    *,
    may_change: bool,
    standby: bool,
) -> None:
    statement = sql.SQL(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish = 'insert, update, delete, truncate')"
    ).format(sql.Identifier(name), _names(tables))
    if not may_change or standby:
        why = "the server is a standby" if standby else "create_publication is false"
        where = " on the primary" if standby else ""
        raise SourceRefused(
            f"there is no publication {name}, and {why}",
            hint=f"Run{where}: {_text(statement)}"
            if tables
            else "Create it with the tables to capture.",
        )
    if not tables:
        raise SourceRefused(
            "`tables` of the source means no table that exists",
            hint="Correct `tables`, or create the tables first.",
        )
    _refuse_unidentified(tables)
    remark = sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(
        sql.Identifier(name), sql.Literal(comment)
    )
    doing = f"creating publication {name}"
    with translated(doing), connection.transaction():
        _execute(connection, statement, doing)
        connection.execute(remark)


def _execute(connection: Connection, statement: sql.Composed, doing: str) -> None:
    with translated(doing):
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            raise SourceRefused(
                f"{doing} failed: {error.diag.message_primary}",
                hint=f"Let the owner of the tables run: {_text(statement)}",
            ) from error


def _require_whole(
    connection: Connection, name: str, row: dict[str, Any], tables: Sequence[CapturedTable]
) -> None:
    absent = [operation for operation in _OPERATIONS if row.get(f"pub{operation}") is False]
    quoted = _text(sql.Identifier(name))
    if absent:
        raise SourceRefused(
            f"publication {name} does not publish {', '.join(absent)}",
            hint=f"Run: ALTER PUBLICATION {quoted} SET (publish = '{', '.join(_OPERATIONS)}')",
        )
    if row.get("pubviaroot") and any(table.root is not None for table in tables):
        raise SourceRefused(
            f"publication {name} publishes partitions under their root's name",
            hint=f"Run: ALTER PUBLICATION {quoted} SET (publish_via_partition_root = false)",
        )
    narrowed = rows_of(connection, f"looking at publication {name}", _NARROWED, (name,))
    if narrowed:
        raise SourceRefused(
            f"publication {name} has column lists or row filters, which snapshots would not "
            f"follow: {', '.join(table for (table,) in narrowed)}",
            hint="Publish these tables whole, and leave columns out with a `columns` transform.",
        )


def _refuse_unidentified(tables: Sequence[CapturedTable]) -> None:
    """Do not publish updates of tables without replica identity: writers would get errors."""
    unidentified = [
        table
        for table in tables
        if table.identity == "n" or (table.identity == "d" and not table.has_primary)
    ]
    if unidentified:
        statements = "; ".join(
            f"ALTER TABLE {_text(_name(table))} REPLICA IDENTITY FULL" for table in unidentified
        )
        raise SourceRefused(
            f"the server would refuse every update and delete of {_listed(unidentified)} once they "
            "are published, because they have no replica identity",
            hint=f"Run: {statements} (or exclude them, or make the publication yourself)",
        )


def _name(table: CapturedTable) -> sql.Identifier:
    return sql.Identifier(table.namespace, table.table)


def _names(tables: Sequence[CapturedTable]) -> sql.Composed:
    return sql.SQL(", ").join(_name(table) for table in tables)


def _listed(tables: Sequence[CapturedTable]) -> str:
    return ", ".join(table.qualified_name for table in tables)


def _text(statement: sql.Composable) -> str:
    return statement.as_string(None)
