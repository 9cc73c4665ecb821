"""The stream of a source, with what is looked at beside it, while it is followed."""

from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from cdc.protocols import Heartbeat, SourceContext
from connectors.postgres.announcements import Announcements
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.config import Config
from connectors.postgres.emission import Emission
from connectors.postgres.facts import Facts
from connectors.postgres.failover import VERSION_MIN as FAILOVER_VERSION_MIN
from connectors.postgres.failover import StandbyWatch
from connectors.postgres.heartbeats import HeartbeatWatch
from connectors.postgres.in_progress import TransactionsInProgress
from connectors.postgres.marks import Marks
from connectors.postgres.names import Names, made_by
from connectors.postgres.newcomers import Newcomers
from connectors.postgres.outcomes import Outcomes
from connectors.postgres.replication import ReplicationConnection
from connectors.postgres.resume import Resume
from connectors.postgres.spill import SpillFolder
from connectors.postgres.standby import TimelineWatch
from connectors.postgres.streaming import Streaming
from connectors.postgres.structures import Structures
from connectors.postgres.watches import PublicationWatch, Watches

Connection = psycopg.Connection[tuple[Any, ...]]


def begin_stream(
    config: Config,
    context: SourceContext,
    replication: ReplicationConnection,
    resume: Resume,
    facts: Facts,
    marks: Marks,
    connection: Callable[[], Connection],
    announcements: Announcements | None,
) -> Streaming:
    """The stream behind `resume`, over a connection that has started it.

    `connection` gives one for questions.
    """
    structures = Structures(
        connection,
        resume.origin.database,
        config.tables,
        config.exclude_tables,
        ColumnRules.of(context),
        facts,
    )
    streaming = Streaming(
        replication,
        resume,
        structures,
        facts,
        marks,
        TransactionsInProgress(
            SpillFolder(context.state_dir / "in-progress", config.spill_bytes_max),
            config.transaction_memory_bytes,
        ),
        Emission(
            resume.origin.database,
            config.messages,
            config.exclude_messages,
            transactions=context.transaction_metadata,
        ),
        Outcomes(connection),
    )
    if announcements is not None:
        streaming.announce(announcements)
    return streaming


def newcomers_of(config: Config, context: SourceContext, names: Names, facts: Facts) -> Newcomers:
    """The watch for new tables; it is told what is captured by `begin`."""
    return Newcomers(
        config,
        names.publication,
        made_by(names.pipeline, names.source),
        ColumnRules.of(context),
        facts,
        Announcements(facts) if config.schema_changes else None,
    )


def watch_stream(
    watches: Watches,
    streaming: Streaming,
    newcomers: Newcomers,
    names: Names,
    home: tuple[int, bool],
    heartbeat: Heartbeat | None,
    narrowed: Mapping[int, str | None],
) -> None:
    """Add everything that is looked at beside a stream.

    `home` is the server's version, and whether it is a standby. `narrowed` is how the publication
    narrowed tables when their rows were read.
    """
    version, standby = home
    watches.add(newcomers)
    watches.add(PublicationWatch(names.publication, lambda: newcomers.tables, narrowed))
    if version >= FAILOVER_VERSION_MIN:
        watches.add(StandbyWatch(names.slot))
    if standby:
        watches.add(TimelineWatch(streaming))
    if heartbeat is not None and (heartbeat.message or heartbeat.table):
        watches.add(HeartbeatWatch(names, heartbeat))
    # What is as it is now is what later looks compare with.
    watches.look()
