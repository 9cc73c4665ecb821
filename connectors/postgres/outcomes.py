"""Which subtransactions were rolled back, as the server's own record of commits says."""

from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString

import psycopg

from cdc.errors import SourceRefused
from connectors.postgres.connection import rows_of
from connectors.postgres.xids import READ_NEXT_XID, full_xid

Connection = psycopg.Connection[tuple[Any, ...]]

_READ: Final[LiteralString] = """
SELECT xid::pg_catalog.text::pg_catalog.int8,
       pg_catalog.pg_xact_status(xid::pg_catalog.text::pg_catalog.xid8)
FROM pg_catalog.unnest(%s::pg_catalog.int8[]) AS one (xid)
WHERE pg_catalog.pg_xact_status(xid::pg_catalog.text::pg_catalog.xid8)
      IS DISTINCT FROM 'committed'
"""


class Outcomes:
    """Asks the server; needs no right of its own.

    A server whose decoding was interrupted may stream changes of a subtransaction from its own
    spill file, and then never say that it was rolled back: it marks only those as streamed of which
    something is in memory. All of 14 to 18 do.
    Source: PostgreSQL src/backend/replication/logical/reorderbuffer.c, ReorderBufferTruncateTXN.
    """

    def __init__(self, connection: Callable[[], Connection]) -> None:
        """`connection` gives an open one to the server that is streamed from."""
        self._connection = connection

    def rolled_back(self, xids: Sequence[int]) -> set[int]:
        """Those among these subtransactions of a committed transaction.

        Raises TransientError for a lost connection.
        """
        doing = "asking which subtransactions were rolled back"
        connection = self._connection()
        ((next_xid,),) = rows_of(connection, doing, READ_NEXT_XID)
        full = {full_xid(xid, next_xid): xid for xid in xids}
        gone: set[int] = set()
        for xid, status in rows_of(connection, doing, _READ, (list(full),)):
            if status is None:
                # Kept by the server as long as a slot needs the catalog of that time.
                raise SourceRefused(
                    f"the server does not know any more whether transaction {xid} was committed",
                    hint="Run `cdc reset SOURCE` to forget the checkpoint and take a new snapshot.",
                )
            if status == "aborted":
                gone.add(full[xid])
        return gone
