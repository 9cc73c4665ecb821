"""Every contract between the core and its components, and the values that only contracts use.

All calls are synchronous. Components never import each other; the loops know only these contracts.
A component module holds its frozen pydantic `Config` and a factory; the registry finds it by name:

    connectors.<type>        Config, create(config, context: SourceContext) -> Source
    sinks.<type>             Config, create(config, context: SinkContext) -> Sink
    cdc.logs.<type>          Config, create(config, context: LogContext) -> Log
    cdc.transforms.<type>    Config, create(config) -> Transform

What a source needs to read rows in several processes is in cdc/reading.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from cdc.checkpoint import Checkpoint, Position
from cdc.event import Batch, ChangeEvent, Record, Row, Stored, Topic
from cdc.notes import Note, Retention
from cdc.orders import Orders
from cdc.reading import StartReaders
from cdc.schema import TableSchema

# --- findings: what `cdc check` prints ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    `severity`: an `error` keeps the pipeline from working or loses data, a `warning` may surprise
    later, `ok` is a precondition that holds (so that a user sees what was looked at). `code` is
    stable, in kebab case. `subject` names the setting, table or topic. `fix` is the SQL, setting or
    command that mends it, empty for `ok`.
    """

    severity: Literal["error", "warning", "ok"]
    code: str
    subject: str
    message: str
    fix: str = ""


# --- sources --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How a source shows that it lives while nothing changes, every `interval_s`.

    `topic`: by a record on the heartbeat topic, which the capture loop writes. `message`, `table`:
    by a write at the database, a logical message or a row of that table (`schema.table`), which
    the source makes when `create_table` allows it.
    """

    interval_s: float
    topic: bool = True
    message: bool = True
    table: str | None = None
    create_table: bool = True


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given besides its own configuration.

    `pipeline` and `name` identify it everywhere (slot, publication and lease names derive from
    them). `topic_prefix` names its topics. `state_dir` is a folder of its own for spill files.
    `excluded_columns` are globs of qualified table names, and of columns there, that a transform
    takes out of every row: the source need not know their types. `described_columns` are globs of
    `schema.table.column`: these columns have the attributes `type_name`, `length` and `scale`.
    `transaction_metadata` asks for an event at the begin and the end of every transaction
    (`begin_event`, `end_event`).
    `start_readers` starts processes that read rows beside this one; None: there are none to have.
    `heartbeat` is what is asked for at the database itself, None for nothing.
    """

    pipeline: str
    name: str
    topic_prefix: str
    state_dir: Path
    excluded_columns: tuple[tuple[str, str], ...] = ()
    described_columns: tuple[str, ...] = ()
    transaction_metadata: bool = False
    start_readers: StartReaders | None = None
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class MarkCurrent:
    """Command: remember the write position of the source as of now under the id `mark`.

    The first batch at or behind that position lists the id in `Batch.marks`.
    """

    mark: str


@dataclass(frozen=True, slots=True)
class IgnoreLimits:
    """Command: go on although a limit has been reached, until it has been kept once more.

    The only command that may come before `acquire`.
    """


SourceCommand = MarkCurrent | IgnoreLimits


@dataclass(frozen=True, slots=True)
class TableProgress:
    """How far the snapshot of one table is.

    `rows_estimated` and `bytes_estimated` are the database's own: the planner's number of rows, and
    the size on disk. `bytes_done` is the part of the latter that is behind us.
    """

    table: str
    rows_done: int
    rows_estimated: int | None
    done: bool
    bytes_done: int = 0
    bytes_estimated: int | None = None


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """How far the snapshot is as a whole, over the tables that were unread at its start.

    `rows_estimated` is None while some table has no estimate. `eta_s` is how long it will take at
    the speed so far, by bytes; None while too little is done to tell.
    """

    tables: int
    tables_done: int
    rows_done: int
    rows_estimated: int | None
    bytes_done: int
    bytes_estimated: int
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class OpenTransactions:
    """Transactions that a source has received before their commit, and keeps until then.

    `memory_bytes` and `spilled_bytes` are what they take in memory and in files. `changes_given` is
    how many changes of a committed one were given so far; None while none is being given.
    """

    count: int
    memory_bytes: int
    spilled_bytes: int
    changes_given: int | None = None


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """A source's own view of where it is; cheap to make.

    `phase` is `starting`, `snapshot` or `streaming`. `position` is what was last received,
    `lag_bytes` how far that is behind the server's write position as last heard, `lag_s` the age of
    the last change received (0.0 when nothing is left to receive); None while unknown. `tables`
    may be a part of them where there are very many; `snapshot` counts all. `open_transactions` is
    None for a source that keeps none, `retention` while unknown; `notes` are for a person to know.
    """

    phase: Literal["starting", "snapshot", "streaming"]
    position: Position | None = None
    lag_bytes: int | None = None
    lag_s: float | None = None
    tables: tuple[TableProgress, ...] = ()
    snapshot: SnapshotProgress | None = None
    open_transactions: OpenTransactions | None = None
    retention: Retention | None = None
    notes: tuple[Note, ...] = ()


class Source(Protocol):
    """A database that is captured. Order of calls: acquire, (log is opened), start, poll ... close.

    Any call may raise TransientError: the loop then closes the source, makes a new one and begins
    again with `acquire`. Any other CdcError is terminal.
    """

    def check(self) -> list[Finding]:
        """Every precondition, failed ones with the fix; changes nothing.

        Uses connections of its own and may be called without any other call.
        """
        ...

    def acquire(self, timeout_s: float) -> bool:
        """Take the lease; False after `timeout_s` when somebody else holds it. Fences nobody."""
        ...

    def start(self, checkpoint: Checkpoint | None) -> None:
        """Make what is needed at the server if allowed, then resume exactly behind `checkpoint`.

        None: nothing is stored yet; the snapshot policy decides. Raises PositionLost when the
        server no longer has what follows the checkpoint.
        """
        ...

    def poll(self, timeout_s: float) -> Batch | None:
        """Snapshot rows and streamed changes in commit order, or None if nothing came in time.

        Never blocks much longer than `timeout_s`. A batch is at most a few MiB or one row.
        """
        ...

    def ack(self, position: Position) -> None:
        """The database may forget everything up to `position`. Repeatable; never goes back."""
        ...

    def keepalive(self) -> None:
        """Tell the server that we live, and check the lease.

        Cheap; the loop calls it at least every second, whatever else blocks.
        Raises LeaseLost when the lease is gone.
        """
        ...

    def command(self, command: SourceCommand) -> None:
        """Take a command; it acts at the next `poll`."""
        ...

    def progress(self) -> SourceProgress:
        """Where the source is. Cheap; no I/O."""
        ...

    def close(self) -> None:
        """Give back connections and the lease. Repeatable; never raises for a dead peer."""
        ...


Key = tuple[object, ...]
"""Logical values of the key columns, in key-definition order."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one key range in key order, and the view of the database they were read in.

    `view` is in the source's own notation. `last` is the key to go on behind, None at the end.
    """

    table: TableSchema
    rows: Sequence[Row]
    view: str
    last: Key | None


@runtime_checkable
class Readable(Protocol):
    """A source that can be read by key range: incremental snapshot, verify, reconcile."""

    def read(self, table: TableSchema, after: Key | None, rows_max: int) -> Chunk:
        """Up to `rows_max` rows behind `after` (None: from the beginning), in key order."""
        ...


# --- logs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogContext:
    """What a log is given besides its own configuration."""

    pipeline: str
    state_dir: Path


class Partition(NamedTuple):
    """One ordered part of a topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as `cdc topics` lists it. `size_bytes` None: the log cannot tell."""

    name: str
    partitions: int
    records: int
    size_bytes: int | None
    compacted: bool


class LogWriter(Protocol):
    """The one writer of one source. No call blocks longer than its timeout by much.

    False means not done yet: call again with the same arguments. TransientError means that the
    outcome is unknown: close the writer, make a new one and read back with `open` where we are.
    """

    exactly_once: bool
    """Whether records and checkpoint become durable together; False: at least once."""

    def open(self) -> Checkpoint | None:
        """Fence older writers, discard what they left uncommitted, return the stored state.

        None when nothing is stored. May block for tens of seconds. Called once per writer.
        """
        ...

    def partitions(self, topic: Topic) -> int:
        """How many partitions `topic` has; creates it when it does not exist and that is allowed.

        May block for a few seconds the first time; answers from memory later.
        """
        ...

    def append(self, records: Sequence[Record], timeout_s: float) -> bool:
        """Take records in order, all with their sequence set. False: not all were taken yet.

        After False, the next call must be with the same records; the writer remembers how many
        it has. Nothing is visible to readers before `commit`.
        """
        ...

    def commit(self, checkpoint: Checkpoint, timeout_s: float) -> bool:
        """True: every appended record AND the checkpoint's changed parts are durable, atomically.

        False: not durable yet; call again with the same checkpoint. Raises Fenced when another
        writer has opened since.
        """
        ...

    def close(self) -> None:
        """Discard what was not committed and give back everything. Repeatable."""
        ...


SeekTo = Literal["beginning", "end"] | int | Mapping[Partition, int]
"""Beginning, end, the first record at or behind a time (microseconds since 1970), or offsets."""


class LogReader(Protocol):
    """One member of a reading group (or a reader without one, which commits nothing)."""

    def poll(self, records_max: int, timeout_s: float) -> Sequence[Stored]:
        """Committed records only, in order within a partition; empty after `timeout_s`."""
        ...

    def commit(self, stored: Sequence[Stored]) -> None:
        """All records up to and including these are done; durable on return. Repeatable."""
        ...

    def ends(self) -> Mapping[Partition, int]:
        """The offset behind the last committed record of every partition read, now, or later.

        Never before a record whose commit has returned; what is not committed may be counted.
        """
        ...

    def positions(self) -> Mapping[Partition, int]:
        """The offset that the group's next reader would start from, for every partition read."""
        ...

    def seek(self, where: SeekTo) -> None:
        """Go on from there. Without effect on what is committed until the next `commit`."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait without losing group membership. May return early."""
        ...

    def close(self) -> None:
        """Leave the group. Repeatable."""
        ...


class Log(Protocol):
    """A log as configured: makes writers and readers, and answers questions about itself."""

    compacts: bool
    """Whether topics of tables with a key are compacted by key."""

    def writer(self, source: str) -> LogWriter:
        """A writer for this source; opens nothing yet."""
        ...

    def reader(self, topics: Sequence[str], group: str | None) -> LogReader:
        """A reader of these topics, which may hold `*` globs and need not exist yet.

        Starts where the group committed last, at the beginning when it never did. None: no group,
        starts at the beginning and `commit` is refused with ValueError.
        """
        ...

    def topics(self) -> list[TopicInfo]:
        """Every topic of the pipeline, by name; internal ones too."""
        ...

    def forget(self, group: str) -> None:
        """Delete what the group committed, so that it starts at the beginning. Repeatable."""
        ...

    def check(self) -> list[Finding]:
        """Every precondition, failed ones with the fix; changes nothing."""
        ...


# --- between the two ------------------------------------------------------------------------------


class Schemas(Protocol):
    """Where a decoder finds the structure that a record's schema id names."""

    def find(self, schema_id: str) -> TableSchema:
        """The structure with this id; waits for it, bounded. Raises SchemaError if it is unknown.

        It may not be readable yet: commits become visible topic by topic.
        """
        ...


class Serializer(Protocol):
    """Turns changes into records and back.

    Holds plans per table, and from the begin of a transaction to its end, where the source gives
    these, the counters of its changes; no other state.
    """

    def encode(self, events: Sequence[ChangeEvent]) -> list[Record]:
        """Records in order, with sequence 0; none for events that it has no record for.

        Includes tombstones, key-change pairs, and, before the first record of each structure,
        that structure for the schemas topic.
        """
        ...

    def orders(self) -> Orders | None:
        """The counters up to the last event encoded; None outside transactions that are counted."""
        ...

    def resume(self, facts: Sequence[Orders]) -> None:
        """Go on counting behind one of `facts`, which the first change tells (`orders.resumed`).

        Called before the first `encode`. Until that change, `orders` gives the last of them.
        """
        ...

    def decode(self, stored: Stored) -> ChangeEvent | None:
        """The change in a record; None only for records that change no row (heartbeats, markers).

        A tombstone gives a delete whose `before` holds only the key. Raises DecodeError or
        SchemaError for what it does not understand.
        """
        ...


class Transform(Protocol):
    """Changes events between source and serializer."""

    def bind(self, table: TableSchema) -> Callable[[ChangeEvent], ChangeEvent | None] | None:
        """What to do with this structure's events; None: does not touch them, costs nothing.

        Called once per structure. The function returns the event, a changed one, or None (drop).
        Raises ConfigError for what the configuration may not do to this table.
        """
        ...


# --- sinks ----------------------------------------------------------------------------------------

Document = Mapping[str, object]
"""JSON-able fields: str, int, float, bool, None, lists and dicts of them."""


@dataclass(frozen=True, slots=True)
class Upsert:
    """The whole document."""

    document: Document


@dataclass(frozen=True, slots=True)
class Patch:
    """Some fields of a document; the others kept their values.

    A store that does not have the document at all rejects it: the missing fields are unknown.
    """

    fields: Document


@dataclass(frozen=True, slots=True)
class Delete:
    """The document is gone."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """Every document of the target that is older than the mutation's version is gone."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of a store.

    `target` is the qualified name of the table (`public.products`). `id` is the document's id
    there, empty for Truncate. `version` is the sequence: a mutation that is not newer than what
    the store has (or had, for a while after a delete) must change nothing.
    """

    target: str
    id: str
    version: int
    action: Upsert | Patch | Delete | Truncate


@dataclass(frozen=True, slots=True)
class Rejected:
    """A mutation that the store refuses for good. `index` is its place in the `write` call.

    `reason` is the store's own words, without row values where the store repeats them.
    """

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink is given besides its own configuration.

    `id_templates` are the templates that its mapping makes ids with, by `schema.table`; `*` is the
    rule of all other tables, None means that the key alone makes the id.
    """

    pipeline: str
    name: str
    state_dir: Path
    id_templates: Mapping[str, str | None] = field(default_factory=dict)

    def id_template(self, target: str) -> str | None:
        """The template that ids of this table are made with, None when there is none."""
        return self.id_templates.get(target, self.id_templates.get("*"))


class Sink(Protocol):
    """A derived store."""

    def check(self) -> list[Finding]:
        """Every precondition, failed ones with the fix; changes nothing."""
        ...

    def apply_schema(self, table: TableSchema) -> None:
        """Prepare for documents of this structure; before the first mutation of it. Repeatable.

        Raises SchemaError to refuse it.
        """
        ...

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        """Apply in order per (target, id); durable on return; may be repeated with the same.

        Versions decide: what is not newer changes nothing and is no rejection. Raises
        TransientError when all must be tried again, SinkRefused when trying again is no use.
        """
        ...

    def close(self) -> None:
        """Give back connections. Repeatable; never raises for a dead peer."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that a sink could not take: where, why, and the original bytes."""

    stored: Stored
    reason: str
    failed_at_us: int


class DeadLetters(Protocol):
    """Where a sink's rejected records are kept until somebody works on them."""

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Durable on return. A record that is there already is replaced, not doubled."""
        ...

    def count(self) -> int:
        """How many are kept."""
        ...

    def close(self) -> None:
        """Give back the store. Repeatable."""
        ...
