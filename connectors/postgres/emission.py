"""What a stream gives besides changes of rows: messages, begins and ends of transactions."""

from collections.abc import Sequence
from typing import Final

from cdc.rowless import rowless_table
from cdc.schema import TableSchema
from connectors.postgres.tables import matches

HEARTBEAT_PREFIX: Final = "tidewire-heartbeat"
"""Messages with this prefix are our own: they move the position, and nobody else sees them."""


class Emission:
    """What was asked for. `table` stands in for a table in events that have none."""

    def __init__(
        self,
        database: str,
        messages: Sequence[str] = ("*",),
        exclude_messages: Sequence[str] = (),
        *,
        transactions: bool = False,
    ) -> None:
        """The messages are globs of prefixes; `transactions` asks for their begins and ends."""
        self.table: TableSchema = rowless_table(database)
        self.transactions = transactions
        self._messages = messages
        self._exclude_messages = exclude_messages

    def wants(self, prefix: str) -> bool:
        """Whether a message with this prefix becomes an event."""
        return (
            prefix != HEARTBEAT_PREFIX
            and any(matches(prefix, glob) for glob in self._messages)
            and not any(matches(prefix, glob) for glob in self._exclude_messages)
        )
