"""Heartbeats: small writes of ours, so that the slot of an idle database moves on."""

from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.errors import SourceRefused
from cdc.protocols import Heartbeat, SourceContext
from connectors.postgres.config import Config
from connectors.postgres.connection import rows_of, translated
from connectors.postgres.emission import HEARTBEAT_PREFIX
from connectors.postgres.names import Names, made_by

Connection = psycopg.Connection[tuple[Any, ...]]

_IN_RECOVERY: Final[LiteralString] = "SELECT pg_catalog.pg_is_in_recovery()"
_EMIT: Final[LiteralString] = "SELECT pg_catalog.pg_logical_emit_message(true, %s, %s)"
_EXISTS: Final[LiteralString] = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')
)
"""
_SCHEMA: Final[LiteralString] = """
SELECT pg_catalog.has_schema_privilege(n.oid, 'CREATE')
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
FROM pg_catalog.pg_namespace n
WHERE n.nspname = %s
"""
_COMMENT: Final[LiteralString] = """
SELECT pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""


def table_identifier(name: str) -> sql.Identifier:
    """`schema.table` as SQL."""
    return sql.Identifier(*name.split(".", 1))


def without_own_table(config: Config, heartbeat: Heartbeat | None) -> Config:
    """The configuration, with the heartbeat table captured only where it is named exactly."""
    table = None if heartbeat is None else heartbeat.table
    if table is None or table in config.tables:
        return config
    return config.model_copy(update={"exclude_tables": (*config.exclude_tables, table)})


def create_statement(name: str) -> sql.Composed:
    """What makes a heartbeat table."""
    return sql.SQL(
        "CREATE TABLE {} (source text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
    ).format(table_identifier(name))


def table_exists(connection: Connection, table: str) -> bool:
    """Whether there is a table `schema.table`."""
    schema, _, name = table.partition(".")
    return bool(rows_of(connection, f"looking for {table}", _EXISTS, (schema, name))[0][0])


def may_create(connection: Connection, table: str) -> bool | None:
    """Whether this role may make `schema.table`; None when there is no such schema."""
    schema, _, _ = table.partition(".")
    found = rows_of(connection, f"looking for schema {schema}", _SCHEMA, (schema,))
    return bool(found[0][0]) if found else None


def administrators_sql(connection: Connection, table: str) -> str:
    """What an administrator runs so that this role has a table to write heartbeats to."""
    statements = [create_statement(table)]
    names = {
        "schema": sql.Identifier(table.partition(".")[0]),
        "table": table_identifier(table),
        "role": sql.Identifier(connection.info.user),
    }
    if may_create(connection, table) is None:
        statements.insert(0, sql.SQL("CREATE SCHEMA {schema}").format(**names))
    statements.append(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
    statements.append(writing_right(connection, table))
    return " ".join(f"{each.as_string(None)};" for each in statements)


def writing_right(connection: Connection, table: str) -> sql.Composed:
    """What lets this role write to its heartbeat table."""
    return sql.SQL("GRANT INSERT, SELECT, UPDATE ON {} TO {}").format(
        table_identifier(table), sql.Identifier(connection.info.user)
    )


def drop_table(connection: Connection, table: str, context: SourceContext) -> bool:
    """Drop a heartbeat table if Tidewire made it; whether it was."""
    schema, _, name = table.partition(".")
    found = connection.execute(_COMMENT, (schema, name)).fetchall()
    if not found or found[0][0] != made_by(context.pipeline, context.name):
        return False
    connection.execute(sql.SQL("DROP TABLE {}").format(table_identifier(table)))
    return True


class HeartbeatWatch:
    """Beats at its interval; a watch like the others, but one that writes."""

    while_waiting: Final = False

    def __init__(self, names: Names, heartbeat: Heartbeat) -> None:
        self.interval_s = heartbeat.interval_s
        self._names = names
        self._heartbeat = heartbeat
        self._ready = False

    def look(self, connection: Connection) -> None:
        """Beat once. Raises SourceRefused, with the SQL that mends it, when that is not allowed."""
        if not self._ready:
            self._prepare(connection)
            self._ready = True
        table = self._heartbeat.table
        who = f"{self._names.pipeline}.{self._names.source}"
        with translated("writing a heartbeat"):
            if table is None:
                connection.execute(_EMIT, (HEARTBEAT_PREFIX, who))
                return
            statement = sql.SQL(
                "INSERT INTO {} AS h (source, at) VALUES (%s, pg_catalog.clock_timestamp())"
                " ON CONFLICT (source) DO UPDATE SET at = excluded.at"
            ).format(table_identifier(table))
            try:
                connection.execute(statement, (who,))
            except psycopg.errors.InsufficientPrivilege as error:
                raise _without_right(connection, table, error) from error

    def _prepare(self, connection: Connection) -> None:
        """Make sure that writing is possible here, and that there is something to write to."""
        if rows_of(connection, "asking for the server's role", _IN_RECOVERY)[0][0]:
            raise SourceRefused(
                "heartbeats cannot be written on a standby",
                hint="Set `message: false` of `heartbeat` and no `table`; at the primary write: "
                f"SELECT pg_logical_emit_message(true, '{HEARTBEAT_PREFIX}', '');",
            )
        table = self._heartbeat.table
        if table is None:
            return
        if table_exists(connection, table):
            return
        create = create_statement(table)
        refused = SourceRefused(
            f"there is no heartbeat table {table}",
            hint=f"Run as an administrator: {administrators_sql(connection, table)}",
        )
        if not self._heartbeat.create_table:
            raise refused
        comment = sql.SQL("COMMENT ON TABLE {} IS {}").format(
            table_identifier(table),
            sql.Literal(made_by(self._names.pipeline, self._names.source)),
        )
        with translated(f"making heartbeat table {table}"):
            try:
                with connection.transaction():
                    connection.execute(create)
                    connection.execute(comment)
            except (
                psycopg.errors.InsufficientPrivilege,
                psycopg.errors.InvalidSchemaName,
            ) as error:
                raise refused from error


def _without_right(connection: Connection, table: str, error: psycopg.Error) -> SourceRefused:
    return SourceRefused(
        f"the heartbeat table {table} cannot be written: {error.diag.message_primary}",
        hint=f"Run: {writing_right(connection, table).as_string(None)};",
    )
