"""A Source that reads a MemoryDatabase as a real connector reads a real one.

Snapshot: the slot is made first, then tables are read in a view, a few rows a batch. A table that
was not finished is read again under a new view; the stream then begins where the slot began. A
transaction may span several batches; resume skips what the checkpoint counts of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cdc.checkpoint import Checkpoint, Position, decode_part, encode_part
from cdc.errors import DecodeError, LeaseLost, PositionLost
from cdc.event import READ, Batch, ChangeEvent, Transaction
from cdc.protocols import Finding, MarkCurrent, SourceCommand, SourceProgress, TableProgress
from cdc.rowless import begin_event, end_event, rowless_table
from cdc.schema import TableSchema
from cdc.testing.memory_database import MemoryDatabase, WalTransaction

_NO_TABLE: Final = rowless_table("memory")


@dataclass(slots=True)
class _Place:
    """Where the stream is: behind `position`, and behind `count` changes of what follows it."""

    position: int
    transaction: str = ""
    count: int = 0

    def part(self, phase: str) -> bytes:
        return encode_part(
            {
                "phase": phase,
                "position": self.position,
                "transaction": self.transaction,
                "count": self.count,
            }
        )


class MemorySource:
    """A Source. `batch_changes_max` is small, so that small transactions span batches as well.

    `transaction_metadata` as in SourceContext.
    """

    def __init__(
        self,
        database: MemoryDatabase,
        *,
        batch_changes_max: int = 3,
        transaction_metadata: bool = False,
    ) -> None:
        self._database = database
        self._changes_max = batch_changes_max
        self._metadata = transaction_metadata
        self._heard_at_s = database.clock.monotonic_s()
        self._place = _Place(0)
        self._snapshot: Iterator[Batch] | None = None
        self._tables: dict[str, TableProgress] = {}
        self._marks: dict[str, int | None] = {}
        self._started = False

    def check(self) -> list[Finding]:
        """Nothing can be wrong with memory."""
        return [Finding("ok", "source-memory", "memory", "the database is in memory")]

    def acquire(self, timeout_s: float) -> bool:
        """Take the lease if it is free, else wait in vain."""
        if self._database.lease not in {None, self}:
            self._database.clock.sleep_s(timeout_s)
        if self._database.lease not in {None, self}:
            return False
        self._database.lease = self
        self._heard_at_s = self._database.clock.monotonic_s()
        return True

    def start(self, checkpoint: Checkpoint | None) -> None:
        """Begin with a snapshot, or resume."""
        assert self._database.lease is self, "started without the lease"
        self._started = True
        if checkpoint is None:
            self._place = _Place(self._database.create_slot())
            self._snapshot = self._read_tables(frozenset())
            return
        part = checkpoint.parts.get("position")
        if part is None:
            raise DecodeError("the checkpoint has no position", kind="checkpoint")
        stored = decode_part("position", part)
        position, count = stored["position"], stored["count"]
        assert isinstance(position, int)
        assert isinstance(count, int)
        self._place = _Place(position, str(stored["transaction"]), count)
        self._database.resume(position)
        if stored["phase"] == "snapshot":
            done = {name.removeprefix("snapshot:") for name in checkpoint.parts}
            self._snapshot = self._read_tables(frozenset(done))
        elif count:
            following = self._following()
            if not following or following[0].id != self._place.transaction:
                raise PositionLost(f"transaction {self._place.transaction} cannot be read again")

    def poll(self, timeout_s: float) -> Batch | None:
        """The next rows of the snapshot, then changes; waits at most `timeout_s`."""
        assert self._started, "polled before start"
        self._hear()
        self._marks = {
            mark: self._database.end if position is None else position
            for mark, position in self._marks.items()
        }
        if self._snapshot is not None:
            batch = next(self._snapshot, None)
            if batch is not None:
                return batch
            self._snapshot = None
        batch = self._streamed()
        if batch is None and timeout_s > 0:
            self._database.clock.sleep_s(timeout_s)
            self._heard_at_s = self._database.clock.monotonic_s()
            batch = self._streamed()
        return batch

    def ack(self, position: Position) -> None:
        """The database prunes."""
        self._hear()
        self._database.confirm(int(position))

    def keepalive(self) -> None:
        """Be heard, and look at the lease."""
        self._hear()
        if self._database.lease is not self:
            raise LeaseLost("the lease is gone")

    def command(self, command: SourceCommand) -> None:
        """A mark gets its position at the next poll; there are no limits to ignore."""
        if isinstance(command, MarkCurrent):
            self._marks[command.mark] = None

    def progress(self) -> SourceProgress:
        """Where it is; a position is a byte here."""
        if not self._started:
            return SourceProgress("starting")
        following = self._following()
        return SourceProgress(
            phase="streaming" if self._snapshot is None else "snapshot",
            position=Position(str(self._place.position)),
            lag_bytes=self._database.end - self._place.position,
            lag_s=(self._database.clock.wall_us() - following[0].commit_time_us) / 1_000_000
            if following
            else 0.0,
            tables=tuple(self._tables.values()),
        )

    def close(self) -> None:
        """Give back the lease."""
        if self._database.lease is self:
            self._database.lease = None

    def _hear(self) -> None:
        self._heard_at_s = self._database.hear(self._heard_at_s)

    # --- snapshot ---------------------------------------------------------------------------------

    def _read_tables(self, done: frozenset[str]) -> Iterator[Batch]:
        # The view is what the tables hold at this moment.
        view = {name: list(rows.values()) for name, rows in self._database.rows.items()}
        tables = dict(self._database.tables)
        taken_at_us = self._database.clock.wall_us()
        return self._chunks(
            view, tables, done, Transaction(f"view@{self._database.end}", taken_at_us)
        )

    def _chunks(
        self,
        view: dict[str, list[tuple[object, ...]]],
        tables: dict[str, TableSchema],
        done: frozenset[str],
        transaction: Transaction,
    ) -> Iterator[Batch]:
        position = self._place.part("snapshot")
        if not done:
            yield Batch([], Checkpoint({"position": position}), None, 0)
        for name, table in tables.items():
            rows = view.get(name, [])
            self._tables[name] = TableProgress(name, 0, len(rows), name in done)
            if name in done:
                continue
            for begin in range(0, max(len(rows), 1), self._changes_max):
                chunk = rows[begin : begin + self._changes_max]
                events = [
                    ChangeEvent(READ, table, None, row, transaction, begin + n, 0, "true")
                    for n, row in enumerate(chunk)
                ]
                finished = begin + self._changes_max >= len(rows)
                self._tables[name] = TableProgress(name, begin + len(chunk), len(rows), finished)
                parts: dict[str, bytes | None] = {"position": position}
                if finished:
                    parts[f"snapshot:{name}"] = encode_part({"rows": len(rows)})
                yield Batch(events, Checkpoint(parts), None, 50 * len(events))
        ended: dict[str, bytes | None] = {f"snapshot:{name}": None for name in tables}
        ended["position"] = self._place.part("streaming")
        yield Batch([], Checkpoint(ended), Position(str(self._place.position)), 0)

    # --- stream -----------------------------------------------------------------------------------

    def _following(self) -> list[WalTransaction]:
        return [one for one in self._database.wal if one.end > self._place.position]

    def _streamed(self) -> Batch | None:
        events: list[ChangeEvent] = []
        ackable: Position | None = None
        moved = False
        for transaction in self._following():
            room = self._changes_max - len(events)
            if room <= 0:
                break
            begin = self._place.count
            events += self._events(transaction, begin, begin + room)
            moved = True
            if begin + room < len(transaction.changes):
                self._place = _Place(self._place.position, transaction.id, begin + room)
                break
            self._place = _Place(transaction.end)
            ackable = Position(str(transaction.end))
        marks = self._reached()
        if not moved and not marks:
            return None
        parts: dict[str, bytes | None] = (
            {"position": self._place.part("streaming")} if moved else {}
        )
        return Batch(events, Checkpoint(parts), ackable, 50 * len(events), marks)

    def _events(self, wal: WalTransaction, begin: int, end: int) -> list[ChangeEvent]:
        transaction = Transaction(wal.id, wal.commit_time_us, int(wal.id))
        events = [
            ChangeEvent(
                change.op,
                change.table,
                change.before,
                change.after,
                transaction,
                begin + place,
                wal.end,
            )
            for place, change in enumerate(wal.changes[begin:end])
        ]
        if self._metadata and begin == 0:
            events.insert(0, begin_event(_NO_TABLE, transaction, wal.end))
        if self._metadata and end >= len(wal.changes):
            events.append(end_event(_NO_TABLE, transaction, len(wal.changes), wal.end))
        return events

    def _reached(self) -> tuple[str, ...]:
        reached = tuple(
            mark
            for mark, position in self._marks.items()
            if position is not None and position <= self._place.position
        )
        for mark in reached:
            del self._marks[mark]
        return reached
