"""The values that flow: changes on their way into the log, and records in it.

A hot module: plain Python that setup.py compiles (declarations in event.pxd). Instances are treated
as immutable by everybody but their maker, except `Record.sequence`, which the capture loop sets.
"""

from typing import Final, Literal

from cdc.checkpoint import Checkpoint, Position
from cdc.rows import (
    FORM_BOOLEAN,
    FORM_DATE,
    FORM_FLOAT,
    FORM_INTEGER,
    FORM_NUMERIC,
    FORM_OPAQUE,
    FORM_TEXT,
    FORM_TIME,
    FORM_TIMESTAMP,
    FORM_TIMESTAMP_UTC,
    FORM_UUID,
    UNCHANGED,
    RawRow,
    Row,
    RowLayout,
    Unchanged,
    raw_row,
)
from cdc.schema import TableSchema

__all__ = [
    "CREATE", "DELETE", "EVERY_PARTITION", "FORM_BOOLEAN", "FORM_DATE", "FORM_FLOAT",
    "FORM_INTEGER", "FORM_NUMERIC", "FORM_OPAQUE", "FORM_TEXT", "FORM_TIME", "FORM_TIMESTAMP",
    "FORM_TIMESTAMP_UTC", "FORM_UUID", "READ", "TRUNCATE", "UNCHANGED", "UPDATE", "Batch",
    "ChangeEvent", "Op", "RawRow", "Record", "Row", "RowLayout", "Stored", "Topic", "Transaction",
    "Unchanged", "any_for_every_partition", "change", "keyed_record", "raw_row", "stamp",
    "transaction",
]  # fmt: skip

Op = Literal["r", "c", "u", "d", "t", "m", "b", "e", "s", "h"]
"""Debezium's letters of changes, and ours of what is no change of a row: cdc/rowless.py."""

READ: Final = "r"
CREATE: Final = "c"
UPDATE: Final = "u"
DELETE: Final = "d"
TRUNCATE: Final = "t"


class Transaction:
    """What all changes of one source transaction share.

    `id` is the source's own name for it (an xid in decimal, a GTID). `commit_time_us` is
    microseconds since 1970 UTC. `xid` is the 32-bit transaction id, None where there is none.
    `prior_position` is the position of the last commit before this one, as a number (LSN), None
    when none is known. `origin` and `origin_position` name the replication origin, else None.
    Snapshot rows of one table share one that stands for the snapshot's own transaction.
    """

    __slots__ = ("commit_time_us", "id", "origin", "origin_position", "prior_position", "xid")

    def __init__(
        self,
        id: str,  # noqa: A002
        commit_time_us: int,
        xid: int | None = None,
        prior_position: int | None = None,
        origin: str | None = None,
        origin_position: int | None = None,
    ) -> None:
        self.id = id
        self.commit_time_us = commit_time_us
        self.xid = xid
        self.prior_position = prior_position
        self.origin = origin
        self.origin_position = origin_position


def transaction(
    id: str,  # noqa: A002
    commit_time_us: int,
    xid: int,
    prior_position: int | None,
) -> Transaction:
    """A transaction without an origin: a constructor that costs less when compiled."""
    made: Transaction = Transaction.__new__(Transaction)
    made.id = id
    made.commit_time_us = commit_time_us
    made.xid = xid
    made.prior_position = prior_position
    made.origin = None
    made.origin_position = None
    return made


class ChangeEvent:
    """One change of one row (or one truncate of one table).

    `before` and `after` are rows aligned with `table.columns`, or None (cdc/rowless.py has what is
    no row). In `before` of a delete or a key change, columns that the source does not send are
    UNCHANGED; in `after`, UNCHANGED means that the column kept its value. `ordinal` counts the
    changes of the transaction from 0, before transforms. `position` is the change's own place in
    the source as a number (Postgres: LSN).
    `snapshot` is None for streamed changes, else Debezium's marker (`first`, `true`, `last`, ...).
    `sequence` is the record's sequence on the way out of a log, 0 on the way in.
    """

    __slots__ = (
        "after",
        "before",
        "op",
        "ordinal",
        "position",
        "sequence",
        "snapshot",
        "table",
        "transaction",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - made once per change, by position
        self,
        op: str,
        table: TableSchema,
        before: Row | None,
        after: Row | None,
        transaction: Transaction | None,
        ordinal: int = 0,
        position: int = 0,
        snapshot: str | None = None,
        sequence: int = 0,
    ) -> None:
        self.op = op
        self.table = table
        self.before = before
        self.after = after
        self.transaction = transaction
        self.ordinal = ordinal
        self.position = position
        self.snapshot = snapshot
        self.sequence = sequence

    def with_rows(self, table: TableSchema, before: Row | None, after: Row | None) -> "ChangeEvent":
        """The same change of another structure and other rows: what a transform returns."""
        return ChangeEvent(
            self.op,
            table,
            before,
            after,
            self.transaction,
            self.ordinal,
            self.position,
            self.snapshot,
            self.sequence,
        )

    def __repr__(self) -> str:
        return f"<{self.op} of {self.table.qualified_name} at {self.position}/{self.ordinal}>"


def change(
    op: str,
    table: TableSchema,
    before: Row | None,
    after: Row | None,
    transaction: Transaction | None,
    ordinal: int,
    position: int,
    snapshot: str | None,
) -> ChangeEvent:
    """The same as the constructor, which costs more from compiled code."""
    event: ChangeEvent = ChangeEvent.__new__(ChangeEvent)
    event.op = op
    event.table = table
    event.before = before
    event.after = after
    event.transaction = transaction
    event.ordinal = ordinal
    event.position = position
    event.snapshot = snapshot
    event.sequence = 0
    return event


class Batch:
    """What one `Source.poll` gives.

    `checkpoint` is the change of the resume state behind this batch. `ackable` is the position that
    the database may forget up to once this batch is durable, or None. `size_bytes` is what the
    source received for it. `marks` are the ids of MarkCurrent commands whose position this batch
    has reached or passed; a batch may have marks, a checkpoint and an ackable without any event.
    `records` stand behind the events: `encoded` changes that readers have encoded already.
    """

    __slots__ = ("ackable", "checkpoint", "encoded", "events", "marks", "records", "size_bytes")

    def __init__(
        self,
        events: list[ChangeEvent],
        checkpoint: Checkpoint,
        ackable: Position | None,
        size_bytes: int,
        marks: tuple[str, ...] = (),
        records: "list[Record] | None" = None,
        encoded: int = 0,
    ) -> None:
        self.events = events
        self.checkpoint = checkpoint
        self.ackable = ackable
        self.size_bytes = size_bytes
        self.marks = marks
        self.records = records
        self.encoded = encoded


class Topic:
    """A topic as its writer wants it: one object shared by all records for it.

    `compacted` asks for compaction by key; a topic of a table without a key is never compacted,
    because compaction refuses null keys. `internal` topics (schemas) have one partition.
    """

    __slots__ = ("compacted", "internal", "name")

    def __init__(self, name: str, compacted: bool, internal: bool = False) -> None:  # noqa: FBT001, FBT002
        self.name = name
        self.compacted = compacted
        self.internal = internal


EVERY_PARTITION: Final = -2
_EVERY_PARTITION: Final = EVERY_PARTITION


class Record:
    """A record on its way into a log.

    `mark` is what follows the sequence in the `cdc` header: `.<schema id>[.<bitmap>]`, None for
    records that are no rows and carry no header. `headers` are the others, in order. `partition`
    None means by key (murmur2, as Java clients do); EVERY_PARTITION asks the capture loop for one
    copy in each. `sequence` is 0 until the capture loop sets it.
    """

    __slots__ = ("headers", "key", "mark", "partition", "sequence", "topic", "value")

    def __init__(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        mark: bytes | None = None,
        headers: tuple[tuple[str, bytes], ...] = (),
        partition: int | None = None,
        sequence: int = 0,
    ) -> None:
        self.topic = topic
        self.key = key
        self.value = value
        self.mark = mark
        self.headers = headers
        self.partition = partition
        self.sequence = sequence

    def all_headers(self) -> list[tuple[str, bytes]]:
        """The headers as written: `cdc` first where the record has a mark, then the others."""
        if self.mark is None:
            return list(self.headers)
        headers = [("cdc", str(self.sequence).encode("ascii") + self.mark)]
        if self.headers:
            headers.extend(self.headers)
        return headers


def keyed_record(
    topic: Topic,
    key: bytes | None,
    value: bytes | None,
    mark: bytes,
    headers: tuple[tuple[str, bytes], ...],
) -> Record:
    """The record of a row, placed by its key: a constructor that costs less when compiled."""
    record: Record = Record.__new__(Record)
    record.topic = topic
    record.key = key
    record.value = value
    record.mark = mark
    record.headers = headers
    record.partition = None
    record.sequence = 0
    return record


def stamp(records: list[Record], first: int) -> int:
    """Give the records the numbers from `first` on; returns the number that follows."""
    following = first
    for record in records:
        record.sequence = following
        following += 1
    return following


def any_for_every_partition(records: list[Record]) -> bool:
    """Whether one of the records asks for a copy in each partition."""
    for record in records:
        if record.partition is not None and record.partition == _EVERY_PARTITION:
            return True
    return False


class Stored:
    """A record as a log gives it back. `timestamp_us` is microseconds since 1970 UTC."""

    __slots__ = ("headers", "key", "offset", "partition", "timestamp_us", "topic", "value")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...],
        timestamp_us: int,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp_us = timestamp_us
