"""What `cdc check` says about the slot and the publication of a Postgres source."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.errors import SourceRefused
from cdc.protocols import Finding
from connectors.postgres.config import Config
from connectors.postgres.doctor_tables import listed, quoted
from connectors.postgres.publication_facts import OPERATIONS, Publication, read_publication
from connectors.postgres.slots import read_slot, require_ours
from connectors.postgres.tables import CapturedTable

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
            message = f"there is no slot {name} yet: it is made at the first start"
            again = " (a source that has run before has lost it: `cdc heal` it)"
            yield Finding("ok", "slot", name, message + again)
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
            "`cdc heal` the source: a new slot and a new snapshot",
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
    *,
    standby: bool = False,
) -> Iterator[Finding]:
    """Whether the publication covers the tables whole, or can be made or completed."""
    owned = {oid for (oid,) in connection.execute(_READ_OWNED, ([table.oid for table in tables],))}
    foreign = [table for table in tables if table.oid not in owned]
    found = read_publication(connection, name)
    if found is None and standby and tables:
        message = f"there is no publication {name}, and a standby cannot make one"
        create = create_publication_text(name, tables)
        yield Finding("error", "publication", name, message, f"On the primary: {create}")
        return
    if found is None:
        yield from _absent(connection, user, database, name, tables, foreign, config)
        return
    yield from _shape(name, found, tables)
    lacking = [table for table in tables if table.oid not in found.tables]
    if not lacking:
        yield Finding("ok", "publication", name, f"publication {name} covers every table")
        return
    names = listed([table.qualified_name for table in lacking])
    may_add = config.create_publication and found.is_ours and not standby
    if may_add and not set(lacking) & set(foreign):
        message = f"{names} will be added to publication {name} at the next start"
        yield Finding("ok", "publication-tables", name, message)
        return
    yield Finding(
        "error",
        "publication-tables",
        name,
        f"publication {name} lacks {names}",
        f"{'On the primary: ' if standby else ''}ALTER PUBLICATION {_identifier(name)}"
        f" ADD TABLE {', '.join(map(quoted, lacking))};",
    )


def create_publication_text(name: str, tables: Sequence[CapturedTable]) -> str:
    """The statement that makes the publication."""
    return (
        f"CREATE PUBLICATION {_identifier(name)} FOR TABLE {', '.join(map(quoted, tables))}"
        f" WITH (publish = '{', '.join(OPERATIONS)}');"
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


def _shape(name: str, found: Publication, tables: Sequence[CapturedTable]) -> Iterator[Finding]:
    if found.absent:
        yield Finding(
            "error",
            "publication-operations",
            name,
            f"publication {name} does not publish {', '.join(found.absent)}",
            f"ALTER PUBLICATION {_identifier(name)} SET (publish = '{', '.join(OPERATIONS)}');",
        )
    if found.via_root and any(table.root is not None for table in tables):
        yield Finding(
            "error",
            "publication-root",
            name,
            f"publication {name} publishes partitions under their root's name",
            "Let `tables` name the root, or run: "
            f"ALTER PUBLICATION {_identifier(name)} SET (publish_via_partition_root = false);",
        )
    ours = sorted(table.qualified_name for table in tables if table.oid in found.narrowed)
    if ours:
        yield Finding(
            "warning",
            "publication-narrowed",
            name,
            f"publication {name} has column lists or row filters for {listed(ours)}: only those"
            " columns and rows are captured, by snapshot and stream alike",
            "If that is not meant, publish these tables whole.",
        )


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string(None)
