"""A log that keeps nothing, to measure what comes before the log; a type by its dotted name."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from cdc.checkpoint import Checkpoint
from cdc.event import Record, Topic
from cdc.protocols import Finding, LogContext, LogReader, TopicInfo

__all__ = ["Config", "create"]


class Config(BaseModel):
    """It has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NullLog:
    """Takes everything and forgets it; every run begins without a checkpoint."""

    compacts = True

    def writer(self, source: str) -> "NullWriter":
        del source
        return NullWriter()

    def reader(self, topics: Sequence[str], group: str | None) -> LogReader:
        raise NotImplementedError("nothing can be read from a log that keeps nothing")

    def topics(self) -> list[TopicInfo]:
        return []

    def forget(self, group: str) -> None:
        del group

    def check(self) -> list[Finding]:
        return []


class NullWriter:
    """A writer that is done at once."""

    exactly_once = True

    def open(self) -> Checkpoint | None:
        return None

    def partitions(self, topic: Topic) -> int:
        del topic
        return 1

    def append(self, records: Sequence[Record], timeout_s: float) -> bool:
        del records, timeout_s
        return True

    def commit(self, checkpoint: Checkpoint, timeout_s: float) -> bool:
        del checkpoint, timeout_s
        return True

    def close(self) -> None:
        pass


def create(config: Config, context: LogContext) -> NullLog:
    """The log of any pipeline."""
    del config, context
    return NullLog()
