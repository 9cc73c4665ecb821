"""Reading from a standby: it may be promoted, or follow its primary to another timeline."""

from typing import Any, Final, LiteralString, Protocol

import psycopg

from cdc.notes import Note
from connectors.postgres.connection import rows_of

# The name of a WAL file begins with its timeline. A standby may not ask for one; what it has
# checkpointed comes a little later, which is soon enough.
# Source: PostgreSQL src/include/access/xlog_internal.h, XLogFileName.
_TIMELINE: Final[LiteralString] = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
       THEN (SELECT c.timeline_id::pg_catalog.text FROM pg_catalog.pg_control_checkpoint() c)
       ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(
                pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END,
       pg_catalog.pg_is_in_recovery()
"""
_INTERVAL_S: Final = 5.0


def waiting_note(slot: str) -> Note:
    """Why nothing happens while a slot is made on a standby.

    The server waits for a record of the transactions that run on the primary, which an idle one
    does not write. Source: PostgreSQL manual, pg_log_standby_snapshot.
    """
    return Note(
        "info",
        "waiting-for-primary",
        f"making replication slot {slot} on a standby waits until its primary writes something",
        "If it lasts, run on the primary: SELECT pg_log_standby_snapshot();",
    )


class Streamed(Protocol):
    """The part of a stream that knows its timeline."""

    timeline: int


class TimelineWatch:
    """Keeps the stored timeline that of the server, which changes under a stream from a standby.

    A server that goes on running never takes back what it has replayed, so everything that was read
    from it is in the history of its new timeline, whatever the moment of the change.
    """

    interval_s: Final = _INTERVAL_S
    while_waiting: Final = False

    def __init__(self, stream: Streamed) -> None:
        self._stream = stream

    def look(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Ask for the timeline."""
        text, standby = rows_of(connection, "asking for the timeline", _TIMELINE)[0]
        timeline = int(text) if standby else int(text, 16)
        # A checkpoint of a standby may be older than what the stream began with.
        self._stream.timeline = max(self._stream.timeline, timeline)
