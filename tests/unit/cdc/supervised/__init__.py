"""A source without a database that behaves as its settings say: what a supervisor must survive."""

import sys
import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from cdc.checkpoint import Checkpoint, Position, encode_part
from cdc.errors import SourceRefused
from cdc.event import Batch
from cdc.protocols import (
    Finding,
    MarkCurrent,
    Source,
    SourceCommand,
    SourceContext,
    SourceProgress,
)

SECRET = "hunter2"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    behave: Literal["well", "refused", "mistaken", "deaf"] = "well"


class Supervised:
    def __init__(self, config: Config) -> None:
        self._behave = config.behave
        self._marks: tuple[str, ...] = ()

    def check(self) -> list[Finding]:
        return []

    def acquire(self, timeout_s: float) -> bool:
        del timeout_s
        return True

    def start(self, checkpoint: Checkpoint | None) -> None:
        del checkpoint
        if self._behave == "refused":
            raise SourceRefused("the database wants nothing of this", hint="Ask it nicely.")
        if self._behave == "mistaken":
            raise ZeroDivisionError(SECRET)

    def poll(self, timeout_s: float) -> Batch | None:
        if self._behave == "deaf":
            print("deaf", file=sys.stderr, flush=True)
            while True:
                time.sleep(60)
        if not self._marks:
            time.sleep(timeout_s)
            return None
        marks, self._marks = self._marks, ()
        change = Checkpoint({"position": encode_part({"at": "here"})})
        return Batch([], change, None, 0, marks)

    def ack(self, position: Position) -> None:
        del position

    def keepalive(self) -> None:
        pass

    def command(self, command: SourceCommand) -> None:
        if isinstance(command, MarkCurrent):
            self._marks += (command.mark,)

    def progress(self) -> SourceProgress:
        return SourceProgress("streaming", Position("here"), 0, 0.0)

    def close(self) -> None:
        pass


def create(config: Config, context: SourceContext) -> Source:
    del context
    return Supervised(config)
