"""What the source of this package reads in a process of its own: rows, errors, nothing at all."""

import os
import signal
import time
from collections.abc import Iterator

from cdc.errors import CdcError, LeaseLost, SourceRefused, StorageFull, TransientError
from cdc.event import ChangeEvent, Transaction
from cdc.protocols import SourceContext
from cdc.reading import Plain, TaskLot
from cdc.schema import Column, Int64, String, TableSchema
from tests.unit.cdc.supervised import SECRET, Config

TABLE = TableSchema(
    "d",
    "public",
    "t",
    (Column("id", Int64(), nullable=False), Column("name", String("text"))),
    key=(0,),
)


def row(id_: int, name: str) -> ChangeEvent:
    return ChangeEvent("r", TABLE, None, (id_, name), Transaction("7", 0), 0, 0, "true")


class Foreign(CdcError):
    """What another process cannot know."""


ERRORS = {
    "refused": SourceRefused("the database wants nothing of this", hint="Ask it nicely."),
    "later": TransientError("not now", retry_after_s=3.0),
    "full": StorageFull("no room is left"),
    "lost": LeaseLost("somebody else has it"),
    "foreign": Foreign("an error of a third party"),
    "mistaken": ZeroDivisionError(SECRET),
}


class Reader:
    """Does tasks `(what, number)`; `opening` comes back with every lot."""

    def __init__(self, opening: Plain) -> None:
        self._opening = opening

    def read(self, task: Plain) -> Iterator[TaskLot]:
        assert isinstance(task, tuple)
        what, number = task
        if what == "rows":
            for id_ in range(number):
                yield TaskLot([row(id_, "a"), row(-id_ - 1, "b")], 10, (self._opening, id_))
        elif what == "large":
            yield TaskLot([row(1, "x" * number)], number)
        elif what in ERRORS:
            raise ERRORS[what]
        elif what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "deaf":
            yield TaskLot([], 0, os.getpid())
            while True:
                time.sleep(60)

    def close(self) -> None:
        pass


def open_reader(config: Config, context: SourceContext, opening: Plain) -> Reader:
    del config, context
    return Reader(opening)
