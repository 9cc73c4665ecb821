"""Publications: made or completed when that is allowed, and what they must be like."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.errors import PositionLost, SourceRefused
from connectors.postgres.connection import rows_of, translated
from connectors.postgres.publication_facts import OPERATIONS, Publication, read_publication
from connectors.postgres.tables import CapturedTable

_EXISTING: Final[LiteralString] = """
SELECT c.oid::pg_catalog.int8 FROM pg_catalog.pg_class c
WHERE c.oid = ANY (%s::pg_catalog.oid[])
"""

Connection = psycopg.Connection[tuple[Any, ...]]


def unpublished(
    connection: Connection, name: str, tables: Sequence[CapturedTable]
) -> list[CapturedTable]:
    """The tables that an existing publication lacks; none when there is no such publication."""
    found = read_publication(connection, name)
    return [] if found is None else _lacking(found, tables)


def is_of_all_tables(connection: Connection, name: str) -> bool:
    """Whether the publication has every table from its beginning, by itself."""
    found = read_publication(connection, name)
    return found is not None and found.all_tables


def require_published(
    connection: Connection,
    name: str,
    tables: Sequence[CapturedTable],
    narrowed: Mapping[int, str | None],
) -> None:
    """Raise when the server leaves out changes of tables that still exist, which it does not say.

    PositionLost for a table that the publication had and has no more, SourceRefused when it has
    been narrowed; `narrowed` says how it was for tables that are known. A publication that is gone
    is left to the stream, which ends with an error.
    """
    doing = f"looking at publication {name}"
    found = read_publication(connection, name)
    if found is None:
        return
    _require_whole(name, found, tables)
    _require_same(name, found, tables, narrowed)
    gone = _lacking(found, tables)
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
    found = read_publication(connection, name)
    if found is None:
        _create(connection, name, tables, comment, may_change=may_change, standby=standby)
        return
    _require_whole(name, found, tables)
    missing = _lacking(found, tables)
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


def _lacking(found: Publication, tables: Sequence[CapturedTable]) -> list[CapturedTable]:
    return [table for table in tables if table.oid not in found.tables]


def _require_whole(name: str, found: Publication, tables: Sequence[CapturedTable]) -> None:
    quoted = _text(sql.Identifier(name))
    if found.absent:
        raise SourceRefused(
            f"publication {name} does not publish {', '.join(found.absent)}",
            hint=f"Run: ALTER PUBLICATION {quoted} SET (publish = '{', '.join(OPERATIONS)}')",
        )
    if found.via_root and any(table.root is not None for table in tables):
        raise SourceRefused(
            f"publication {name} publishes partitions under their root's name",
            hint="Let `tables` name the root, or run: "
            f"ALTER PUBLICATION {quoted} SET (publish_via_partition_root = false)",
        )


def _require_same(
    name: str,
    found: Publication,
    tables: Sequence[CapturedTable],
    narrowed: Mapping[int, str | None],
) -> None:
    """What was read of a table, and what is streamed of it, must be the same rows and columns."""
    other = [
        table
        for table in tables
        if table.oid in narrowed and found.narrowed.get(table.oid) != narrowed[table.oid]
    ]
    if other:
        raise SourceRefused(
            f"publication {name} has another column list or row filter than when the rows of "
            f"{_listed(other)} were read",
            hint="Give it back the one it had, or run `cdc reset SOURCE` to read the rows again.",
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
