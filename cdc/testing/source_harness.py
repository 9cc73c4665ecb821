"""What the source contract needs from a database, and words for its tests."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from cdc.checkpoint import Checkpoint
from cdc.event import Batch, ChangeEvent
from cdc.protocols import MarkCurrent, Source

STEP_S: Final = 0.2


class SourceHarness(Protocol):
    """A database for one test, with the empty table `items (id integer key, name text)`.

    Each writing call is one transaction.
    """

    waivers: Mapping[str, str]
    """Claims (names of tests) that do not hold for this source, each with the reason."""

    patience_s: float
    """How long what must happen may take."""

    def make(self) -> Source:
        """The source as another process of the same pipeline would make it."""
        ...

    def insert(self, ids: Sequence[int]) -> None:
        """New rows, their names `name <id>`."""
        ...

    def rename(self, id_: int, name: str) -> None:
        """Another name for the row."""
        ...

    def renumber(self, id_: int, new: int) -> None:
        """Another key for the row."""
        ...

    def delete(self, id_: int) -> None:
        """The row is gone."""
        ...

    def roll_back(self, id_: int) -> None:
        """Insert a row and take it back."""
        ...

    def lose_lease(self) -> None:
        """The server ends the connection that holds the lease."""
        ...

    def rows(self) -> dict[int, str]:
        """Names by id, as the database has them."""
        ...


class Session:
    """One life of a source, and what it gave. The checkpoint is what a log would have stored."""

    def __init__(self, harness: SourceHarness, checkpoint: Checkpoint | None = None) -> None:
        self.harness = harness
        self.checkpoint = checkpoint
        self.batches: list[Batch] = []
        self.source = harness.make()
        self.until(lambda: self.source.acquire(STEP_S))
        self.source.start(checkpoint)

    def until(self, done: Callable[[], bool]) -> None:
        """Ask `done` again and again; fails when patience ends."""
        deadline_s = time.monotonic() + self.harness.patience_s
        while not done():
            assert time.monotonic() < deadline_s, "the source did not get there in time"

    def poll(self) -> Batch | None:
        """One batch, stored but not acknowledged."""
        self.source.keepalive()
        batch = self.source.poll(STEP_S)
        if batch is not None:
            self.batches.append(batch)
            self.checkpoint = (self.checkpoint or Checkpoint()).merged(batch.checkpoint)
        return batch

    def until_marked(self, mark: str = "here") -> list[ChangeEvent]:
        """Everything up to what the database holds now; the events of this life so far."""
        self.source.command(MarkCurrent(mark))
        self.until(lambda: (batch := self.poll()) is not None and mark in batch.marks)
        return self.events

    def ack(self) -> None:
        """Acknowledge the last position that may be forgotten."""
        positions = [one.ackable for one in self.batches if one.ackable is not None]
        if positions:
            self.source.ack(positions[-1])

    @property
    def events(self) -> list[ChangeEvent]:
        """All events of this life."""
        return [event for batch in self.batches for event in batch.events]


def applied(events: Sequence[ChangeEvent], rows: dict[int, str] | None = None) -> dict[int, str]:
    """The rows after these events: names by id."""
    rows = {} if rows is None else rows
    for event in events:
        if event.before is not None:
            rows.pop(number(event.before[0]), None)
        if event.after is not None:
            rows[number(event.after[0])] = str(event.after[1])
    return rows


def number(value: object) -> int:
    """The id in a row."""
    assert isinstance(value, int)
    return value


def places(events: Sequence[ChangeEvent]) -> list[tuple[str, int, str]]:
    """What names each streamed change: transaction, ordinal, operation."""
    return [
        (event.transaction.id, event.ordinal, event.op)
        for event in events
        if event.transaction is not None and event.op != "r"
    ]
