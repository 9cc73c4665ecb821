"""What happens before the first row: decide where to go on, and make what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from cdc.checkpoint import Checkpoint
from cdc.errors import PositionLost, SourceRefused, TransientError
from connectors.postgres import catalog
from connectors.postgres.config import Config
from connectors.postgres.connection import translated
from connectors.postgres.failover import ensure_failover, refuse_unreadable_standby
from connectors.postgres.history import Server, resumed_on
from connectors.postgres.home import Home
from connectors.postgres.names import made_by
from connectors.postgres.position import StreamPosition
from connectors.postgres.publications import ensure_publication, require_published
from connectors.postgres.replication import ReplicationConnection, System
from connectors.postgres.resume import (
    Origin,
    Resume,
    own_parts,
    part_name,
    resume_of,
    table_part,
    tables_done,
)
from connectors.postgres.slots import (
    SlotState,
    read_slot,
    require_ours,
    require_resumable,
)
from connectors.postgres.tables import CapturedTable

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Names:
    """What this source's objects at the server are called."""

    pipeline: str
    source: str
    slot: str
    publication: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a start does.

    `resume` is where to go on, None when a slot must be made first. `unread` are the tables whose
    rows are still to be read. `parts` change the checkpoint with the first batch. `facts` are
    those of `tables` by oid.
    """

    origin: Origin
    resume: Resume | None
    tables: tuple[CapturedTable, ...]
    unread: tuple[CapturedTable, ...]
    parts: dict[str, bytes | None]
    facts: Mapping[int, catalog.TableFacts]


def captured(
    connection: Connection, config: Config, excluded_columns: catalog.ExcludedColumns
) -> tuple[list[CapturedTable], dict[int, catalog.TableFacts]]:
    """The captured tables, all of them in order, and what the catalog says of each, by oid.

    Raises SchemaError or SourceRefused when one of them cannot be captured.
    """
    with translated("reading the catalog"):
        tables = catalog.captured_tables(connection, config.tables, config.exclude_tables)
        facts = catalog.describe(connection, [table.oid for table in tables], excluded_columns)
    catalog.refuse_unsupported(facts.values())
    keyless = [table.qualified_name for table in tables if not table.has_key]
    if keyless and config.keyless_tables == "refuse":
        raise SourceRefused(
            f"tables without a key: {', '.join(keyless)}",
            hint="Give them a primary key, exclude them, or set `keyless_tables: emit`.",
        )
    return tables, facts


def plan_snapshot_only(
    tables: Sequence[CapturedTable],
    system: System,
    home: Home,
    names: Names,
    checkpoint: Checkpoint | None,
) -> Plan:
    """The plan of `snapshot: only`: what is not read yet, without slot or publication."""
    origin = _origin(system, home, names)
    resume = resume_of(checkpoint)
    done = tables_done(checkpoint)
    unread = tuple(table for table in tables if (table.qualified_name, table.oid) not in done)
    if resume is not None and resume.stage == "complete":
        unread = ()
    elif resume is None or resume.stage != "snapshot":
        resume = Resume("snapshot", origin, StreamPosition(system.flushed), system.flushed)
    return Plan(origin, resume, tuple(tables), unread, {}, {})


def plan_stream(
    connection: Connection,
    replication: ReplicationConnection,
    home: Home,
    config: Config,
    names: Names,
    checkpoint: Checkpoint | None,
    excluded_columns: catalog.ExcludedColumns = (),
) -> Plan:
    """The plan of every other start; makes or completes the publication.

    Raises PositionLost when the checkpoint cannot be resumed from, unless `snapshot: when_needed`
    allows to begin anew.
    """
    tables, facts = captured(connection, config, excluded_columns)
    system = replication.identify()
    slot = read_slot(connection, names.slot)
    if slot is not None:
        require_ours(slot, system.database)
        _require_free(slot)
    refuse_unreadable_standby(slot, home)
    ensure_failover(replication, home, slot, names.slot, wanted=config.failover)
    resume = resume_of(checkpoint)
    if resume is not None and resume.stage == "complete":
        # A snapshot without a stream: what changed since is unknown.
        resume = None
    parts: dict[str, bytes | None] = {}
    if resume is not None:
        try:
            resume = _resumable(replication, system, home, slot, names, resume)
        except PositionLost:
            if config.snapshot != "when_needed":
                raise
            resume = None
    if resume is None:
        parts = dict.fromkeys(own_parts(checkpoint))
        checkpoint = None
        slot = _slot_to_begin_with(connection, slot, config, names)
    done = tables_done(checkpoint)
    here = {(table.qualified_name, table.oid) for table in tables}
    # From now on changes of these pass by unseen: if they are captured again, they are read again.
    parts.update((part_name(name), None) for name, oid in done if (name, oid) not in here)
    known = [table for table in tables if (table.qualified_name, table.oid) in done]
    require_published(connection, names.publication, known)
    ensure_publication(
        connection,
        names.publication,
        tables,
        made_by(names.pipeline, names.source),
        may_change=config.create_publication,
        standby=home.standby,
    )
    unread = tuple(table for table in tables if (table.qualified_name, table.oid) not in done)
    if config.snapshot == "never":
        parts.update(table_part(table, None) for table in unread)
        unread = ()
    origin = _origin(system, home, names)
    if resume is not None:
        resume = replace(resume, origin=origin)
    elif slot is not None and slot.confirmed is not None:
        resume = Resume("snapshot", origin, StreamPosition(slot.confirmed), slot.confirmed)
    return Plan(origin, resume, tuple(tables), unread, parts, facts)


def _origin(system: System, home: Home, names: Names) -> Origin:
    return Origin(
        system.identifier,
        system.timeline,
        system.database,
        names.slot,
        names.publication,
        home.started_us,
    )


def _resumable(
    replication: ReplicationConnection,
    system: System,
    home: Home,
    slot: SlotState | None,
    names: Names,
    resume: Resume,
) -> Resume:
    """Where to go on on this server. Raises PositionLost when that cannot be."""
    origin = resume.origin
    history = None
    if system.identifier == origin.system and system.timeline != origin.timeline:
        history = replication.timeline_history(system.timeline)
    position = resumed_on(Server(system, history, home.started_us, home.standby), resume)
    if system.database != origin.database:
        raise PositionLost(
            f"the stored position belongs to database {origin.database}, not {system.database}",
            hint="Correct `url`, or run `cdc reset SOURCE` to take a new snapshot.",
        )
    require_resumable(slot, names.slot, position.lsn)
    if resume.position.started is not None and origin.publication != names.publication:
        raise SourceRefused(
            f"a transaction is in the log in part, as publication {origin.publication} has it; "
            f"its rest cannot be read through {names.publication}",
            hint=f"Configure `publication: {origin.publication}` until the source has caught up.",
        )
    return replace(resume, position=position)


def _require_free(slot: SlotState) -> None:
    if slot.active_pid is not None:
        raise TransientError(
            f"replication slot {slot.name} is in use by process {slot.active_pid} of the server",
            hint="It is tried again until that one ends; if it is no predecessor of this one, "
            "configure another `slot`.",
        )


def _slot_to_begin_with(
    connection: Connection, slot: SlotState | None, config: Config, names: Names
) -> SlotState | None:
    """The slot as it is, or None when one is to be made."""
    if slot is not None and slot.lost:
        if not (config.create_slot and config.snapshot == "when_needed"):
            raise SourceRefused(
                f"replication slot {slot.name} is invalidated: {slot.lost}",
                hint=f"Run: SELECT pg_drop_replication_slot('{slot.name}');",
            )
        doing = f"dropping the invalidated replication slot {slot.name}"
        with translated(doing):
            connection.execute(
                sql.SQL("SELECT pg_catalog.pg_drop_replication_slot({})").format(
                    sql.Literal(slot.name)
                )
            )
        slot = None
    if slot is None and not config.create_slot:
        raise SourceRefused(
            f"there is no replication slot {names.slot}, and create_slot is false",
            hint=f"Run: SELECT pg_create_logical_replication_slot('{names.slot}', 'pgoutput');",
        )
    return slot
