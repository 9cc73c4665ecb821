"""A small embedded log for tests: short segments, a clock that is told."""

from collections.abc import Sequence
from pathlib import Path

from cdc.checkpoint import Checkpoint
from cdc.event import Record, Stored, Topic
from cdc.logs.embedded import Config, files, upkeep
from cdc.logs.embedded.log import EmbeddedLog
from cdc.logs.embedded.writer import EmbeddedWriter
from cdc.protocols import LogContext

MARK = b".0123456789abcdef"
PARTIAL = MARK + b".6"
NOW_US = 1_700_000_000_000_000
SEGMENT_BYTES = 64 * 1024
FILLER = b"x" * 2000

STATES = Topic("shop.states", compacted=True)
HISTORY = Topic("shop.history", compacted=False)


class Folder:
    """A log in a folder, the writer's clock, and upkeep that runs when told."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.config = Config.model_validate({"segment_bytes": SEGMENT_BYTES, **settings})
        self.log = EmbeddedLog(self.config, LogContext("shop", path))
        self.root = path / "log"
        self.now_us = NOW_US
        self.sequence = 0

    @property
    def source(self) -> Path:
        """The folder of the source `shop`."""
        return self.root / "0-shop"

    def writer(self) -> EmbeddedWriter:
        """An open writer that leaves upkeep to the test."""
        writer = EmbeddedWriter(self.root, "shop", self.config, lambda: self.now_us)
        setattr(writer, "_keep_up", lambda: None)  # noqa: B010 - mypy forbids to assign a method
        writer.open()
        return writer

    def put(
        self,
        writer: EmbeddedWriter,
        key: bytes | None,
        value: bytes | None,
        topic: Topic = STATES,
        mark: bytes = MARK,
    ) -> None:
        """Write and commit one record."""
        self.sequence += 1
        record = Record(topic, key, value, mark, sequence=self.sequence)
        assert writer.append([record], 1.0)
        assert writer.commit(Checkpoint({"position": b"%d" % self.sequence}), 1.0)

    def roll(self, writer: EmbeddedWriter) -> None:
        """Fill the segment, so that the next record begins another one."""
        number = len(self.segments())
        while len(self.segments()) == number:
            self.put(writer, b"filler", FILLER, HISTORY)

    def keep_up(self) -> int:
        """Run upkeep to its end; the number of its steps."""
        return sum(1 for _ in upkeep.run(self.source, self.config, self.now_us))

    def segments(self) -> list[files.SegmentName]:
        """The segments that count."""
        return files.live(files.segment_names(self.source))

    def read(self, topic: Topic = STATES, group: str | None = None) -> list[Stored]:
        """Everything that a new reader finds."""
        reader = self.log.reader([topic.name], group)
        found: list[Stored] = []
        try:
            while batch := reader.poll(100, 0.0):
                found += batch
        finally:
            reader.close()
        return found


def pairs(stored: Sequence[Stored]) -> list[tuple[int, bytes | None, bytes | None]]:
    """Offset, key and value of each."""
    return [(one.offset, one.key, one.value) for one in stored]
