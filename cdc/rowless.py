"""Events that are no rows: messages, begins and ends of transactions, structures, signs of life.

They go the way of changes, in the source's order. Their table is one without a name, so that who
works by table sees them coming without looking at the letter of every change. Transforms are not
bound to them, serializers write records of their own for them or none, and no sink sees them.
"""

from typing import Final

from cdc.event import ChangeEvent, Transaction
from cdc.schema import TableSchema

MESSAGE: Final = "m"
BEGIN: Final = "b"
END: Final = "e"
STRUCTURE: Final = "s"
HEARTBEAT: Final = "h"


def rowless_table(database: str) -> TableSchema:
    """What stands in for a table in these events: no names but the database's, no columns.

    A source makes one and keeps it.
    """
    return TableSchema(database, "", "", ())


def is_rowless(table: TableSchema) -> bool:
    """Whether it stands in for a table; no table of a database has an empty name."""
    return not table.table


def message_event(
    rowless: TableSchema,
    prefix: str,
    content: bytes,
    transaction: Transaction | None,
    ordinal: int,
    position: int,
) -> ChangeEvent:
    """A logical decoding message; `after` is the pair of prefix and content.

    One inside a transaction is a change like others: it has an ordinal, and the source counts it
    for its resume position. One outside has no transaction, ordinal 0 and its own position, which
    is from then on the `prior_position` of the transactions behind it.
    Source: PostgreSQL manual, Logical Replication Message Formats, Message.
    """
    return ChangeEvent(MESSAGE, rowless, None, (prefix, content), transaction, ordinal, position)


def begin_event(rowless: TableSchema, transaction: Transaction, position: int) -> ChangeEvent:
    """A transaction begins; in front of its first change, at that one's position.

    Only when the source was asked for them (`SourceContext.transaction_metadata`). A resumed
    source repeats it exactly when the checkpoint it resumes from is before it.
    """
    return ChangeEvent(BEGIN, rowless, None, None, transaction, 0, position)


def end_event(
    rowless: TableSchema, transaction: Transaction, ordinal: int, position: int
) -> ChangeEvent:
    """A transaction ends, behind its last change; when asked for, and also when it had none.

    `ordinal` is what its next change would have had, `position` where its commit record ends.
    """
    return ChangeEvent(END, rowless, None, None, transaction, ordinal, position)


def structure_event(
    rowless: TableSchema,
    old: TableSchema | None,
    new: TableSchema | None,
    transaction: Transaction | None,
    position: int,
) -> ChangeEvent:
    """A table's structure changed, in front of the first change that has the new one.

    `before` is a tuple of the old structure, None when the table is new to us; `after` one of the
    new structure, None when it is gone. Has no ordinal: a source does not count it, and repeats it
    when its checkpoint is before it.
    """
    before = None if old is None else (old,)
    after = None if new is None else (new,)
    return ChangeEvent(STRUCTURE, rowless, before, after, transaction, 0, position)


def heartbeat_event(rowless: TableSchema) -> ChangeEvent:
    """A sign of life. The capture loop makes it; no source does."""
    return ChangeEvent(HEARTBEAT, rowless, None, None, None)
