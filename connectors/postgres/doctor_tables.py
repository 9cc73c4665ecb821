"""What `cdc check` says about the tables of a Postgres source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.protocols import Finding
from connectors.postgres.catalog import TableFacts
from connectors.postgres.config import Config
from connectors.postgres.keys import Index, choose_key, read_indexes
from connectors.postgres.tables import CapturedTable

_READ_RIGHTS: Final[LiteralString] = """
SELECT c.oid::pg_catalog.int8,
       pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'),
       pg_catalog.has_table_privilege(c.oid, 'SELECT'),
       pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_class c
WHERE c.oid = ANY (%s::pg_catalog.oid[])
"""
_NAMES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: the tables, what the catalog says about them, and for whom."""

    connection: psycopg.Connection[tuple[Any, ...]]
    user: str
    tables: Sequence[CapturedTable]
    facts: Mapping[int, TableFacts]


def table_findings(subject: Subject, missing: Sequence[str], config: Config) -> Iterator[Finding]:
    """Findings about existence, rights, keys, identities and types."""
    for sentence in missing:
        yield Finding(
            "error", "table-not-found", "tables", sentence, "Correct `tables`, or create the table."
        )
    if not subject.tables:
        yield Finding(
            "error",
            "no-tables",
            "tables",
            "`tables` means no table that exists",
            "Correct `tables` and `exclude_tables`, or create the tables first.",
        )
        return
    names = listed([table.qualified_name for table in subject.tables])
    yield Finding("ok", "tables", "tables", f"{counted(len(subject.tables))}: {names}")
    yield from _rights(subject, config)
    yield from _identities(subject, config)
    yield from _partial(subject)
    yield from _types(subject)


def quoted(table: CapturedTable) -> str:
    """The table's name as SQL."""
    return sql.Identifier(table.namespace, table.table).as_string(None)


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are more."""
    more = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _rights(subject: Subject, config: Config) -> Iterator[Finding]:
    oids = [table.oid for table in subject.tables]
    rights = {row[0]: row[1:] for row in subject.connection.execute(_READ_RIGHTS, (oids,))}
    role = sql.Identifier(subject.user).as_string(None)
    refused_schemas = set()
    complete = True
    for table in subject.tables:
        usage, select, filtered = rights.get(table.oid, (True, True, False))
        if not usage and table.namespace not in refused_schemas:
            refused_schemas.add(table.namespace)
            complete = False
            schema = sql.Identifier(table.namespace).as_string(None)
            yield Finding(
                "error",
                "schema-usage",
                table.namespace,
                f"the role {subject.user} has no USAGE on schema {table.namespace}",
                f"GRANT USAGE ON SCHEMA {schema} TO {role};",
            )
        if config.snapshot == "never":
            continue
        if not select:
            complete = False
            yield Finding(
                "error",
                "table-select",
                table.qualified_name,
                f"the role {subject.user} has no SELECT on {table.qualified_name}",
                f"GRANT SELECT ON TABLE {quoted(table)} TO {role};",
            )
        if filtered:
            complete = False
            yield Finding(
                "error",
                "row-security",
                table.qualified_name,
                f"row security would hide rows of {table.qualified_name} from a snapshot",
                f"ALTER ROLE {role} BYPASSRLS;",
            )
    if complete:
        yield Finding("ok", "table-rights", subject.user, "the role may read every table")


def _identities(subject: Subject, config: Config) -> Iterator[Finding]:
    indexes = read_indexes(subject.connection, [table.oid for table in subject.tables])
    good = 0
    for table in subject.tables:
        own = indexes.get(table.oid, [])
        found = [*_identity(table, own), *_key(table, subject, config)]
        good += not found
        yield from found
    if good:
        message = f"{counted(good)} with a key, and changes carry it"
        yield Finding("ok", "keys", "tables", message)


def _identity(table: CapturedTable, indexes: Sequence[Index]) -> Iterator[Finding]:
    name = table.qualified_name
    identity_index = next((index for index in indexes if index.identity), None)
    key = choose_key(indexes)
    full = f"ALTER TABLE {quoted(table)} REPLICA IDENTITY FULL;"
    default = f"ALTER TABLE {quoted(table)} REPLICA IDENTITY DEFAULT;"
    if table.identity == "n" or (table.identity == "i" and identity_index is None):
        what = "NOTHING" if table.identity == "n" else "an index that is gone"
        yield Finding(
            "error",
            "replica-identity",
            name,
            f"the replica identity of {name} is {what}: the server refuses updates and deletes of"
            " it once it is published",
            default if table.has_primary else full,
        )
    elif table.identity == "d" and not table.has_primary:
        yield Finding(
            "error",
            "replica-identity",
            name,
            f"{name} has no primary key for its replica identity (DEFAULT): the server refuses"
            " updates and deletes of it once it is published",
            f"ALTER TABLE {quoted(table)} ADD PRIMARY KEY (...); or: {full}",
        )
    elif (
        table.identity == "i"
        and identity_index is not None
        and not set(key.columns) <= set(identity_index.columns)
    ):
        yield Finding(
            "error",
            "replica-identity",
            name,
            f"the replica identity of {name} is an index without its primary key: deletes would"
            " come without their key",
            default,
        )


def _key(table: CapturedTable, subject: Subject, config: Config) -> Iterator[Finding]:
    facts = subject.facts.get(table.oid)
    if facts is None or facts.schema.key:
        return
    yield Finding(
        "error" if config.keyless_tables == "refuse" else "warning",
        "no-key",
        table.qualified_name,
        f"{table.qualified_name} has no primary key and no unique index over NOT NULL columns: its"
        " changes have no key, sinks cannot follow updates, and its topic is not compacted",
        f"ALTER TABLE {quoted(table)} ADD PRIMARY KEY (...);",
    )


def _partial(subject: Subject) -> Iterator[Finding]:
    partial = [
        table
        for table in subject.tables
        if (facts := subject.facts.get(table.oid)) is not None and facts.schema.partial
    ]
    if partial:
        names = listed([table.qualified_name for table in partial])
        statements = " ".join(
            f"ALTER TABLE {quoted(table)} REPLICA IDENTITY FULL;" for table in partial[:_NAMES_MAX]
        )
        yield Finding(
            "warning",
            "partial-rows",
            "tables",
            f"updates of {names} may lack large values that did not change, so that a compacted"
            " topic is no complete history; sinks patch documents, but where such an update changes"
            " the key they cannot make the new document and keep a dead letter in its place",
            f"To have every value in every change (more WAL): {statements}",
        )


def _types(subject: Subject) -> Iterator[Finding]:
    supported = True
    for facts in subject.facts.values():
        if not facts.unsupported:
            continue
        supported = False
        table = facts.schema.qualified_name
        columns = ", ".join(f"{one.column} ({one.type_text})" for one in facts.unsupported)
        excluded = ", ".join(f'"{one.column}"' for one in facts.unsupported)
        yield Finding(
            "error",
            "unsupported-type",
            table,
            f"columns of {table} have types that are not captured yet: {columns}",
            "Add to the source's transforms:"
            f' {{type: columns, tables: ["{table}"], exclude: [{excluded}]}}'
            " (or add the table to `exclude_tables`)",
        )
    if supported:
        yield Finding("ok", "types", "tables", "every column has a type that is captured")


def counted(tables: int) -> str:
    """`1 table`, `2 tables`."""
    return f"{tables} table{'' if tables == 1 else 's'}"
