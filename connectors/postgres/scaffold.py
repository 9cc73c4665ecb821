"""The first and the last step with a Postgres source: `cdc init` and `cdc drop`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc.errors import ConfigError, SourceRefused
from cdc.protocols import SourceContext
from cdc.secret import Secret
from connectors.postgres.catalog import TableFacts, describe
from connectors.postgres.config import Config
from connectors.postgres.connection import Dialer, translated
from connectors.postgres.doctor_objects import create_publication_text
from connectors.postgres.doctor_tables import quoted
from connectors.postgres.heartbeats import drop_table
from connectors.postgres.names import default_publication, default_slot, made_by
from connectors.postgres.slots import read_slot
from connectors.postgres.tables import CapturedTable, captured_tables

_CONNECT_TIMEOUT_S: Final = 10.0
_SINK_TABLES_MAX: Final = 3
_ROLE: Final = "cdc"
_ROLE_LINE: Final = (
    f"    # As you connected; the role {_ROLE} of the SQL beside this file has the least rights."
)
# Short enough for the sink's longer name to be legal too.
_NAME_LETTERS_MAX: Final = 30

_READ_SERVER: Final[LiteralString] = """
SELECT pg_catalog.current_database()::pg_catalog.text,
       pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('wal_level')
"""
_READ_PUBLICATION: Final[LiteralString] = """
SELECT pg_catalog.obj_description(p.oid, 'pg_publication')
FROM pg_catalog.pg_publication p WHERE p.pubname = %s
"""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What `cdc init` writes: the text of cdc.yaml, and SQL for an administrator (may be empty)."""

    config: str
    sql: str


@dataclass(frozen=True, slots=True)
class _Survey:
    """What was seen: the tables, what is against capturing some of them, by qualified name."""

    name: str
    database: str
    version: str
    wal_level: str
    tables: Sequence[CapturedTable]
    objections: Mapping[str, str]

    @property
    def capturable(self) -> list[CapturedTable]:
        """The tables with nothing against them."""
        return [table for table in self.tables if table.qualified_name not in self.objections]


def scaffold(url: str) -> Scaffold:
    """Look at a database and propose a pipeline for it. Changes nothing.

    Raises ConfigError for an address that is none or a database without tables, SourceRefused or
    TransientError when there is no connection.
    """
    dialer = Dialer(Secret(url), None, None, _CONNECT_TIMEOUT_S, "tidewire init")
    connection = dialer.connect()
    with connection, translated("looking at the database"):
        database, version, wal_level = connection.execute(_READ_SERVER).fetchall()[0]
        tables = captured_tables(connection, ["*"])
        facts = describe(connection, [table.oid for table in tables])
    if not tables:
        raise ConfigError(
            f"database {database} has no tables to capture",
            hint="Name another database at the end of the URL, or create the tables first.",
        )
    objections = {
        table.qualified_name: reason
        for table in tables
        if (reason := _objection(table, facts.get(table.oid)))
    }
    survey = _Survey(_pipeline_name(database), database, version, wal_level, tables, objections)
    return Scaffold(_config_text(survey, url), _sql_text(survey))


def _objection(table: CapturedTable, facts: TableFacts | None) -> str:
    """Why a table is proposed only as a comment, empty when there is nothing against it."""
    if facts is None:
        return "dropped meanwhile"
    if facts.unsupported:
        columns = ", ".join(f"{one.column} ({one.type_text})" for one in facts.unsupported)
        return f"types not captured yet: {columns}"
    if not facts.schema.key:
        return "no primary key: its changes would have no key"
    if table.identity == "n" or (table.identity == "d" and not table.has_primary):
        return f"no replica identity: ALTER TABLE {quoted(table)} REPLICA IDENTITY FULL"
    return ""


def _pipeline_name(database: str) -> str:
    """A legal name after the database's: a letter, then letters, digits and underscores."""
    kept = re.sub(r"[^a-z0-9]+", "_", database.lower()).strip("_")
    named = kept if kept[:1].isalpha() else f"db_{kept}".strip("_")
    return named[:_NAME_LETTERS_MAX].rstrip("_")


def _config_text(survey: _Survey, url: str) -> str:
    address, has_password = _url_without_password(url)
    user = conninfo_to_dict(url).get("user")
    login_line = "    password: ${env:CDC_DB_PASSWORD}"
    lines = [
        f"# Captures database {_one_line(survey.database)} (PostgreSQL {survey.version}).",
        "# Check it with `cdc check`, run it with `cdc run`.",
        f"name: {survey.name}",
        "state_dir: ./state",
        "",
        "log:",
        "  type: embedded            # on this machine; `kafka` for a cluster",
        "",
        "sources:",
        f"  {survey.name}:",
        "    type: postgres",
        *([] if user == _ROLE else [_ROLE_LINE]),
        f"    url: {_yaml(address)}",
        login_line if has_password else login_line.replace("    ", "    # ", 1),
        "    tables:                 # globs work too: public.*",
        *_table_lines(survey),
        "    snapshot: initial       # the rows that are there, then every change",
        "",
        "sinks:",
        f"  {survey.name}_search:   # documents and full-text search in one SQLite file",
        "    type: sqlite",
        f"    from: [{', '.join(_sink_tables(survey))}]",
        "    path: ./state/search.db",
        "",
    ]
    return "\n".join(lines)


def _table_lines(survey: _Survey) -> list[str]:
    lines = []
    for table in survey.tables:
        rows = "" if table.rows_estimated is None else f"about {table.rows_estimated} rows, "
        facts = f"{rows}{_size(table.size_bytes)}"
        name = _yaml(table.qualified_name)
        reason = survey.objections.get(table.qualified_name)
        if reason:
            lines.append(f"      # - {name}   # {facts}; {_one_line(reason)}")
        else:
            lines.append(f"      - {name}   # {facts}")
    if not survey.capturable:
        # A list of comments alone would be null.
        lines.append("      []")
    return lines


def _sink_tables(survey: _Survey) -> list[str]:
    """The largest tables, which are what people search."""
    by_size = sorted(survey.capturable, key=lambda table: table.size_bytes, reverse=True)
    return [_yaml(table.qualified_name) for table in by_size[:_SINK_TABLES_MAX]]


def _sql_text(survey: _Survey) -> str:
    """Statements for an administrator: settings, a role with the least rights, the publication."""
    role, database = sql.Identifier(_ROLE).as_string(None), _identifier(survey.database)
    lines = []
    if survey.wal_level != "logical":
        lines.append("ALTER SYSTEM SET wal_level = 'logical';  -- then restart the server")
    lines += [
        f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '...';",
        f"GRANT CONNECT ON DATABASE {database} TO {role};",
    ]
    for schema in sorted({table.namespace for table in survey.capturable}):
        lines.append(f"GRANT USAGE ON SCHEMA {_identifier(schema)} TO {role};")
    if survey.capturable:
        names = ", ".join(map(quoted, survey.capturable))
        lines.append(f"GRANT SELECT ON TABLE {names} TO {role};")
        publication = default_publication(survey.name, survey.name)
        lines.append(create_publication_text(publication, survey.capturable))
    return "\n".join(lines) + "\n"


def _url_without_password(url: str) -> tuple[str, bool]:
    """The address without its password, and whether there was one.

    The password belongs into the environment. Raises ConfigError for an address that is none.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Not chained: the driver's message may repeat the password.
        raise ConfigError(
            "the URL is no Postgres address",
            hint="Write it as postgresql://USER@HOST:PORT/DATABASE",
        ) from None
    if parts.pop("password", None) is None:
        return url, False
    split = urlsplit(url)
    login, _, place = split.netloc.rpartition("@")
    plain = urlunsplit(split._replace(netloc=f"{login.partition(':')[0]}@{place}"))
    if split.scheme in {"postgres", "postgresql"} and conninfo_to_dict(plain) == parts:
        return plain, True
    return make_conninfo("", **parts), True


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _yaml(text: str) -> str:
    """Text as a double-quoted YAML scalar."""
    escaped = "".join(
        f"\\U{ord(letter):08x}" if not letter.isprintable() else letter
        for letter in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'


def _size(size_bytes: int) -> str:
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.0f} {unit}"
    return f"{size_bytes} bytes"


# --- the last step --------------------------------------------------------------------------------


def drop(config: Config, context: SourceContext) -> list[str]:
    """Remove what Tidewire made: slot, publication, heartbeat table; a sentence for each removed.

    Repeatable. What the configuration names is the user's: a slot is ours when it has the default
    name, a publication or a table when it has our comment. Raises SourceRefused, before anything
    is removed, when the slot is in use.
    """
    dialer = Dialer(
        config.url,
        config.password,
        config.password_command,
        config.connect_timeout_s,
        f"tidewire drop {context.name}",
    )
    removed = []
    connection = dialer.connect()
    with connection, translated(f"dropping what source {context.name} has made"):
        slot = default_slot(context.pipeline, context.name)
        if config.slot in {None, slot} and _drop_slot(connection, slot):
            removed.append(f"replication slot {slot}")
        publication = config.publication or default_publication(context.pipeline, context.name)
        if _is_our_publication(connection, publication, context):
            connection.execute(
                sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(publication))
            )
            removed.append(f"publication {publication}")
        table = None if context.heartbeat is None else context.heartbeat.table
        if table is not None and drop_table(connection, table, context):
            removed.append(f"heartbeat table {table}")
    return removed


def _drop_slot(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> bool:
    slot = read_slot(connection, name)
    if slot is None:
        return False
    (database,) = connection.execute("SELECT pg_catalog.current_database()").fetchall()[0]
    if slot.plugin != "pgoutput" or slot.database != database:
        # Somebody else uses our default name; it is not ours to drop.
        return False
    if slot.active_pid is not None:
        reader = _reader(connection, slot.active_pid)
        raise SourceRefused(
            f"replication slot {name} is in use by server process {slot.active_pid}{reader}",
            hint="Stop the pipeline (or whoever reads it), then drop again.",
        )
    connection.execute("SELECT pg_catalog.pg_drop_replication_slot(%s)", (name,))
    return True


def _reader(connection: psycopg.Connection[tuple[Any, ...]], pid: int) -> str:
    rows = connection.execute(
        "SELECT application_name, usename::pg_catalog.text, client_addr::pg_catalog.text"
        " FROM pg_catalog.pg_stat_replication WHERE pid = %s",
        (pid,),
    ).fetchall()
    known = [str(value) for value in (rows[0] if rows else ()) if value]
    return f" ({', '.join(known)})" if known else ""


def _is_our_publication(
    connection: psycopg.Connection[tuple[Any, ...]], name: str, context: SourceContext
) -> bool:
    rows = connection.execute(_READ_PUBLICATION, (name,)).fetchall()
    if not rows:
        return False
    return bool(rows[0][0] == made_by(context.pipeline, context.name))
