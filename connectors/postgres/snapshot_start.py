"""How a snapshot begins: its view, what to read, and how many processes do it."""

import os
from typing import Final

from cdc.protocols import SourceContext
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.config import Config
from connectors.postgres.connection import Dialer
from connectors.postgres.lsn import Lsn
from connectors.postgres.parallel_snapshot import ParallelSnapshot, tasks_of
from connectors.postgres.snapshot import LocalSnapshot, Snapshot
from connectors.postgres.table_reads import Wishes, plan_reads
from connectors.postgres.tables import CapturedTable
from connectors.postgres.view import export_view, open_view

PAGE_BYTES: Final = 8192
READERS_BY_DEFAULT_MAX: Final = 4


def readers_wanted(config: Config, processors: int) -> int:
    """How many readers the configuration asks for, or what suits the machine.

    A reader keeps about one processor busy here and one at the server, and the writer most of
    another one.
    """
    if config.snapshot_readers is not None:
        return config.snapshot_readers
    return max(1, min(READERS_BY_DEFAULT_MAX, processors // 2))


def start_snapshot(
    dialer: Dialer,
    config: Config,
    context: SourceContext,
    unread: tuple[CapturedTable, ...],
    wishes: Wishes,
    publication: str,
    position: Lsn,
    exported: str | None,
) -> Snapshot:
    """Open the view, exported or as the database is now, and begin to read in it."""
    connection = dialer.connect()
    try:
        open_view(connection, exported)
        published_as = None if config.snapshot == "only" else publication
        reads = plan_reads(connection, unread, wishes, published_as)
        tasks = tasks_of(reads, max(1, config.snapshot_chunk_bytes_max // PAGE_BYTES))
        count = min(readers_wanted(config, len(os.sched_getaffinity(0))), len(tasks))
        if count > 1 and context.start_readers is not None:
            opening = (export_view(connection), dialer.address, int(position))
            readers = context.start_readers(count, opening)
            return ParallelSnapshot(
                connection, readers, reads, tasks, position, ColumnRules.of(context)
            )
        return LocalSnapshot(
            connection,
            reads,
            position,
            config.snapshot_lot_rows_max,
            config.snapshot_lot_bytes_max,
            ColumnRules.of(context),
        )
    except BaseException:
        connection.close()
        raise
