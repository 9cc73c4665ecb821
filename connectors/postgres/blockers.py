"""Who is waited for: old transactions that hold a new slot, or a view of our own, back."""

from collections.abc import Callable
from typing import Any, Final, LiteralString

import psycopg

from cdc.notes import Note
from connectors.postgres.connection import rows_of
from connectors.postgres.retention import duration_text

Connection = psycopg.Connection[tuple[Any, ...]]

_INTERVAL_S: Final = 2.0
# Sessions of others show neither age nor state to a role without pg_read_all_stats.
# Only transactions that have written hold anybody back; one that was prepared has no session.
_OPEN: Final[LiteralString] = """
SELECT a.pid, a.usename::pg_catalog.text, a.datname::pg_catalog.text,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::pg_catalog.float8,
       NULL::pg_catalog.text, pg_catalog.age(a.backend_xid)
FROM pg_catalog.pg_stat_activity a
WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
UNION ALL
SELECT NULL, p.owner::pg_catalog.text, p.database::pg_catalog.text,
       extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::pg_catalog.float8,
       p.gid, pg_catalog.age(p.transaction)
FROM pg_catalog.pg_prepared_xacts p
ORDER BY 6 DESC
"""


class Transactions:
    """The open transactions that have written, the oldest first."""

    def __init__(self, connection: Connection) -> None:
        """Ask the server."""
        self._rows = rows_of(connection, "looking for open transactions", _OPEN)

    def __len__(self) -> int:
        return len(self._rows)

    def oldest(self) -> tuple[str, str, float | None]:
        """What the oldest one is called, what ends it, and its age in seconds, None if hidden."""
        pid, user, database, age_s, gid, _ = self._rows[0]
        age = "" if age_s is None else f", open for {duration_text(age_s)}"
        if gid is not None:
            quoted = gid.replace("'", "''")
            return (
                f"prepared transaction '{gid}' of {user} in database {database}{age}",
                f"COMMIT PREPARED '{quoted}' or ROLLBACK PREPARED '{quoted}', in that database.",
                age_s,
            )
        return (
            f"the transaction of server process {pid} ({user}, database {database}{age})",
            f"Wait for it, or end it: SELECT pg_terminate_backend({pid});",
            age_s,
        )


class BlockersWatch:
    """Says who is waited for, as long as we wait."""

    interval_s: Final = _INTERVAL_S
    while_waiting: Final = False

    def __init__(self, waiting_to: Callable[[], str | None]) -> None:
        """`waiting_to` says what we wait to do, None when we do not wait."""
        self.notes: tuple[Note, ...] = ()
        self._waiting_to = waiting_to

    def look(self, connection: Connection) -> None:
        """Look for the oldest transaction, if somebody waits."""
        self.notes = ()
        doing = self._waiting_to()
        if doing is None:
            return
        transactions = Transactions(connection)
        if not transactions:
            return
        oldest, remedy, _ = transactions.oldest()
        others = len(transactions) - 1
        more = f" and {others} more" if others else ""
        self.notes = (
            Note(
                "warning", "waiting-for-transactions", f"{doing} waits for {oldest}{more}", remedy
            ),
        )
