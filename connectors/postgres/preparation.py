"""What happens before the first row: decide where to go on, and make what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from cdc.checkpoint import HEAL, Checkpoint
from cdc.errors import PositionLost, SlotLost, SourceRefused, TransientError
from cdc.notes import Note
from connectors.postgres import catalog
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.config import Config
from connectors.postgres.connection import translated
from connectors.postgres.failover import ensure_failover, refuse_unreadable_standby
from connectors.postgres.history import Server, resumed_on
from connectors.postgres.home import Home
from connectors.postgres.names import Names, made_by
from connectors.postgres.position import StreamPosition
from connectors.postgres.publication_facts import published_roots, read_publication
from connectors.postgres.publications import ensure_publication, require_published
from connectors.postgres.replication import ReplicationConnection, System
from connectors.postgres.resume import (
    Origin,
    Resume,
    part_name,
    resume_of,
    table_part,
    tables_done,
    tables_narrowed,
)
from connectors.postgres.slots import (
    SlotState,
    drop_slot,
    read_slot,
    require_ours,
    require_resumable,
)
from connectors.postgres.tables import CapturedTable

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a start does.

    `resume` is where to go on, None when a slot must be made first. `unread` are the tables whose
    rows are still to be read. `parts` change the checkpoint with the first batch. `facts` are
    those of `tables` by oid. `anew` says why all is read again, None when that is not so.
    `narrowed` is what the publication has for each table, see Publication.
    """

    origin: Origin
    resume: Resume | None
    tables: tuple[CapturedTable, ...]
    unread: tuple[CapturedTable, ...]
    parts: dict[str, bytes | None]
    facts: Mapping[int, catalog.TableFacts]
    anew: str | None = None
    narrowed: Mapping[int, str | None] = field(default_factory=dict)

    def notes(self) -> tuple[Note, ...]:
        """What a person should know about it."""
        if self.anew is None:
            return ()
        return (
            Note(
                "warning",
                "begun-anew",
                f"a new snapshot brings every row that exists, because {self.anew}",
                "Rows that were deleted meanwhile are not noticed: fill the stores that must not "
                "have them afresh (empty them, then `cdc reset SINK`).",
            ),
        )


def captured(
    connection: Connection,
    config: Config,
    rules: ColumnRules,
    publication: str | None = None,
) -> tuple[list[CapturedTable], dict[int, catalog.TableFacts]]:
    """The captured tables, all of them in order, and what the catalog says of each, by oid.

    The publication, if it is there, decides whether partitions are captured or their roots.

    Raises SchemaError or SourceRefused when one of them cannot be captured.
    """
    with translated("reading the catalog"):
        roots = published_roots(connection, publication) if publication else ()
        tables = catalog.captured_tables(connection, config.tables, config.exclude_tables, roots)
        facts = catalog.describe(connection, [table.oid for table in tables], rules)
    catalog.refuse_unsupported(facts.values())
    keyless = [table.qualified_name for table in tables if not table.has_key]
    if keyless and config.keyless_tables == "refuse":
        raise SourceRefused(
            f"tables without a key: {', '.join(keyless)}",
            hint="Give them a primary key, exclude them, or set `keyless_tables: emit`.",
        )
    return tables, facts


def plan_start(
    connection: Connection,
    replication: ReplicationConnection,
    home: Home,
    config: Config,
    names: Names,
    checkpoint: Checkpoint | None,
    rules: ColumnRules,
) -> Plan:
    """The plan of this start. Raises PositionLost when the checkpoint cannot be resumed from."""
    if config.snapshot == "only":
        tables, _ = captured(connection, config, rules)
        return _plan_snapshot_only(tables, replication.identify(), home, names, checkpoint)
    return _plan_stream(connection, replication, home, config, names, checkpoint, rules)


def _plan_snapshot_only(
    tables: Sequence[CapturedTable],
    system: System,
    home: Home,
    names: Names,
    checkpoint: Checkpoint | None,
) -> Plan:
    """The plan of `snapshot: only`: what is not read yet, without slot or publication."""
    origin = _origin(system, home, names)
    parts: dict[str, bytes | None] = {}
    if _shall_heal(checkpoint):
        parts, checkpoint = dict.fromkeys(_all_parts(checkpoint)), None
    resume = resume_of(checkpoint)
    done = tables_done(checkpoint)
    unread = tuple(table for table in tables if (table.qualified_name, table.oid) not in done)
    if resume is not None and resume.stage == "complete":
        unread = ()
    elif resume is None or resume.stage != "snapshot":
        resume = Resume("snapshot", origin, StreamPosition(system.flushed), system.flushed)
    return Plan(origin, resume, tuple(tables), unread, parts, {})


def _plan_stream(
    connection: Connection,
    replication: ReplicationConnection,
    home: Home,
    config: Config,
    names: Names,
    checkpoint: Checkpoint | None,
    rules: ColumnRules,
) -> Plan:
    """The plan of every other start; makes or completes the publication.

    Raises PositionLost when the checkpoint cannot be resumed from, unless the configuration or a
    person allows to begin anew.
    """
    tables, facts = captured(connection, config, rules, names.publication)
    system = replication.identify()
    slot = read_slot(connection, names.slot)
    if slot is not None:
        require_ours(slot, system.database)
        _require_free(slot)
    refuse_unreadable_standby(slot, home)
    ensure_failover(replication, home, slot, names.slot, wanted=config.failover)
    resume = resume_of(checkpoint)
    heal = _shall_heal(checkpoint)
    anew = f"`cdc heal {names.source}` was run" if heal else None
    if heal or (resume is not None and resume.stage == "complete"):
        # A snapshot without a stream: what changed since is unknown.
        resume = None
    parts: dict[str, bytes | None] = {}
    if resume is not None:
        try:
            resume = _resumable(replication, system, home, slot, names, resume)
        except PositionLost as error:
            if not _may_begin_anew(config, error):
                raise
            resume, anew = None, error.message
    if resume is None:
        # Replaced in one commit with the first parts of the new beginning.
        parts = dict.fromkeys(_all_parts(checkpoint))
        checkpoint = None
        slot = _slot_to_begin_with(connection, slot, config, names, heal=heal)
    done = tables_done(checkpoint)
    here = {(table.qualified_name, table.oid) for table in tables}
    # From now on changes of these pass by unseen: if they are captured again, they are read again.
    parts.update((part_name(name), None) for name, oid in done if (name, oid) not in here)
    known = [table for table in tables if (table.qualified_name, table.oid) in done]
    require_published(connection, names.publication, known, tables_narrowed(checkpoint))
    ensure_publication(
        connection,
        names.publication,
        tables,
        made_by(names.pipeline, names.source),
        may_change=config.create_publication,
        standby=home.standby,
    )
    unread = tuple(table for table in tables if (table.qualified_name, table.oid) not in done)
    found = read_publication(connection, names.publication)
    narrowed = {
        table.oid: None if found is None else found.narrowed.get(table.oid) for table in tables
    }
    if config.snapshot == "never":
        parts.update(table_part(table, None, narrowed[table.oid]) for table in unread)
        unread = ()
    origin = _origin(system, home, names)
    if resume is not None:
        resume = replace(resume, origin=origin)
    elif slot is not None and slot.confirmed is not None:
        resume = Resume("snapshot", origin, StreamPosition(slot.confirmed), slot.confirmed)
    return Plan(origin, resume, tuple(tables), unread, parts, facts, anew, narrowed)


def _shall_heal(checkpoint: Checkpoint | None) -> bool:
    return checkpoint is not None and HEAL in checkpoint.parts


def _all_parts(checkpoint: Checkpoint | None) -> list[str]:
    """What is forgotten when the source begins anew: facts about older structures as well."""
    return [] if checkpoint is None else list(checkpoint.parts)


def _may_begin_anew(config: Config, error: PositionLost) -> bool:
    """Whether that loss may be made up for with a new snapshot, without asking."""
    return config.snapshot == "when_needed" or (isinstance(error, SlotLost) and config.begins_anew)


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
            hint="Correct `url`, or run `cdc heal SOURCE` to begin anew with this one.",
        )
    require_resumable(slot, names, position.lsn)
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
    connection: Connection, slot: SlotState | None, config: Config, names: Names, *, heal: bool
) -> SlotState | None:
    """The slot as it is, or None when one is to be made.

    `heal`: a person wants another one, whatever this one is like.
    """
    if slot is not None and (slot.lost or heal):
        wanted = heal or config.snapshot == "when_needed" or config.begins_anew
        if config.create_slot and wanted:
            drop_slot(connection, slot.name)
            slot = None
        elif slot.lost:
            raise SourceRefused(
                f"replication slot {slot.name} is invalidated: {slot.lost}",
                hint=f"Run: SELECT pg_drop_replication_slot('{slot.name}');",
            )
    if slot is None and not config.create_slot:
        raise SourceRefused(
            f"there is no replication slot {names.slot}, and create_slot is false",
            hint=f"Run: SELECT pg_create_logical_replication_slot('{names.slot}', 'pgoutput');",
        )
    return slot
