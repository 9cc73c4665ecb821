"""The contracts of reading rows beside the capture, in processes of their own.

A source that reads much at once is given `Readers` by its context. It cuts its work into tasks and
gives them out; what comes back are records, encoded as the capture itself would encode them, which
the source hands on in `Batch.records`. In each process the source's own package does the reading:

    connectors.<type>.reading    open_reader(config, context, opening) -> TaskReader

Tasks, notes and openings are plain values: None, bool, int, str, bytes, tuples and lists of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cdc.event import ChangeEvent, Record

Plain = object


@dataclass(slots=True)
class TaskLot:
    """What a task gave by now: events to encode, their size as received, and a word to the source.

    A lot is a few MiB at most, or one row.
    """

    events: list[ChangeEvent]
    size_bytes: int = 0
    note: Plain = None


@dataclass(slots=True)
class ReaderLot:
    """A TaskLot of the task with that number, its events encoded; `rows` is how many they were.

    `ended`: the task is done, and nothing else is in the lot.
    """

    task: int
    records: list[Record]
    rows: int
    size_bytes: int
    note: Plain
    ended: bool


class TaskReader(Protocol):
    """Does tasks, in a process of its own."""

    def read(self, task: Plain) -> Iterator[TaskLot]:
        """Do one task. Any CdcError ends the process and reaches the source."""
        ...

    def close(self) -> None:
        """Give back connections. Repeatable."""
        ...


class Readers(Protocol):
    """The processes, as the source sees them."""

    @property
    def room(self) -> int:
        """How many more tasks can be given now."""
        ...

    def give(self, task: Plain) -> int:
        """Give a task to the process with the least to do; its number. There must be room."""
        ...

    def poll(self, timeout_s: float) -> Sequence[ReaderLot]:
        """What has come, in order within a task; empty after `timeout_s`.

        Raises what a reader raised, TransientError when one is gone.
        """
        ...

    def close(self) -> None:
        """End all processes, within a second or two. Repeatable."""
        ...


StartReaders = Callable[[int, Plain], Readers]
"""Starts so many readers; the opening goes to `open_reader` in each."""
