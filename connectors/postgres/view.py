"""The one view of the database that all rows of a snapshot are read in."""

from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.errors import TransientError
from cdc.event import Transaction
from connectors.postgres.connection import rows_of, translated

Connection = psycopg.Connection[tuple[Any, ...]]

SAVEPOINT: Final = "rows"

_BEGIN: Final[LiteralString] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# A lock that somebody holds against readers ends this attempt, not the patience of the whole loop.
# Ranges of a table must be read by place even where statistics or settings suggest otherwise, and
# a reader is one process of the server.
_SETTINGS: Final[LiteralString] = """
SET LOCAL lock_timeout = '2s';
SET LOCAL enable_tidscan = on;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL synchronize_seqscans = off
"""
_SAVEPOINT: Final[LiteralString] = "SAVEPOINT rows"
_CLOCK: Final[LiteralString] = """
SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8,
       pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text
"""
_EXPORT: Final[LiteralString] = "SELECT pg_catalog.pg_export_snapshot()"
_HORIZON: Final[LiteralString] = """
SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.text,
       pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text
"""


def open_view(connection: Connection, exported: str | None) -> None:
    """Fix what is seen: the exported view, or the database as it is now.

    Raises TransientError when the exported view is gone.
    """
    with translated("opening the snapshot's view"):
        connection.execute(_BEGIN)
        if exported is not None:
            statement = sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported))
            try:
                connection.execute(statement)
            except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject) as error:
                raise TransientError(
                    "the view of the snapshot is gone",
                    hint="Its connection was lost; the snapshot goes on in a new view.",
                ) from error
        connection.execute(_SETTINGS)
        connection.execute(_CLOCK)


def begin_reading(connection: Connection) -> None:
    """Set the savepoint that each range goes back to, which gives up its lock.

    A view cannot be exported behind it.
    """
    with translated("opening the snapshot's view"):
        connection.execute(_SAVEPOINT)


def export_view(connection: Connection) -> str:
    """The name under which other connections can open this view while this one is open."""
    (name,) = rows_of(connection, "exporting the snapshot's view", _EXPORT)[0]
    return str(name)


def transaction_of(connection: Connection) -> Transaction:
    """What stands for the view in records: the first transaction it cannot see, at this moment."""
    now_us, xmax = rows_of(connection, "asking for the time", _CLOCK)[0]
    return Transaction(xmax, now_us, int(xmax) & 0xFFFFFFFF)


def horizon(connection: Connection) -> tuple[int, int]:
    """The oldest transaction that is still open, and the one that will come next."""
    oldest, coming = rows_of(connection, "looking for open transactions", _HORIZON)[0]
    return int(oldest), int(coming)
