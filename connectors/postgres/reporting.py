"""What a source says of itself: its stage, where it is, and how far it is behind."""

from cdc.checkpoint import Position
from cdc.protocols import SourceProgress
from connectors.postgres.lagging import lag
from connectors.postgres.lsn import Lsn
from connectors.postgres.snapshot_progress import Tally
from connectors.postgres.standing import Standing
from connectors.postgres.streaming import Streaming
from connectors.postgres.watches import Watches


def progress_of(
    streaming: Streaming | None,
    tally: Tally | None,
    standing: Standing,
    watches: Watches,
    server_lsn: Lsn | None,
    *,
    reads_rows: bool,
) -> SourceProgress:
    """Stage, position and lag as last heard.

    `reads_rows`: without a stream, whether a snapshot has begun. `server_lsn` is how far the
    server's log was flushed, None while unknown.
    """
    tables = () if tally is None else tally.tables()
    whole = None if tally is None else tally.whole()
    kept, notes = standing.retention, (*standing.notes, *watches.notes)
    if streaming is None:
        return SourceProgress(
            "snapshot" if reads_rows else "starting",
            None,
            None,
            None,
            tables,
            whole,
            retention=kept,
            notes=notes,
        )
    return SourceProgress(
        "streaming",
        Position(str(streaming.lsn)),
        *lag(server_lsn, streaming.lsn, streaming.last_commit_us),
        tables,
        whole,
        open_transactions=streaming.open_transactions,
        retention=kept,
        notes=notes,
    )
