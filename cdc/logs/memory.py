"""A log in memory, for tests and simulations: as unforgiving as Kafka, and scriptable.

What was appended and not committed is forgotten when a writer opens or closes. An older writer is
fenced at its next call. A commit may end without an answer, and may have happened or not.
Partitions are chosen by a stable hash of the key (CRC-32, not Kafka's murmur2: nobody else reads
them).
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cdc.checkpoint import Checkpoint
from cdc.errors import Fenced, TransientError
from cdc.event import Record, Stored, Topic
from cdc.lifecycle import Clock
from cdc.logs.globs import Patterns
from cdc.protocols import Finding, Partition, SeekTo, TopicInfo

Outcome = Literal["done", "later", "done unanswered", "undone unanswered"]
"""How a `commit` ends: True; False; TransientError after it happened; TransientError without it."""


@dataclass(slots=True)
class Script:
    """Faults of a MemoryLog. Each call takes the next item; behind the last one nothing goes wrong.

    `takes`: how many records an `append` takes at most, None for all; it returns False while some
    are left. `outcomes`: how a `commit` ends. A call that returns False takes its whole timeout.
    """

    takes: Iterator[int | None] = field(default_factory=lambda: iter(()))
    outcomes: Iterator[Outcome] = field(default_factory=lambda: iter(()))


@dataclass(slots=True)
class _Topic:
    compacted: bool
    internal: bool
    partitions: list[list[Stored]]


class MemoryLog:
    """All topics of one pipeline. Durable as long as the object lives."""

    compacts = False

    def __init__(
        self,
        clock: Clock,
        *,
        partitions: int = 3,
        exactly_once: bool = True,
        script: Script | None = None,
    ) -> None:
        self.clock = clock
        self.exactly_once = exactly_once
        self.script = script or Script()
        self.partitions = partitions
        self.contents: dict[str, _Topic] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.writers: dict[str, int] = {}
        self.offsets: dict[str, dict[Partition, int]] = {}

    def writer(self, source: str) -> "MemoryLogWriter":
        """A writer for this source; opens nothing yet."""
        return MemoryLogWriter(self, source)

    def reader(self, topics: Sequence[str], group: str | None) -> "MemoryLogReader":
        """A reader of these topics, which may hold globs and need not exist yet."""
        return MemoryLogReader(self, topics, group)

    def topics(self) -> list[TopicInfo]:
        """Every topic, by name."""
        return [
            TopicInfo(
                name=name,
                partitions=len(topic.partitions),
                records=sum(map(len, topic.partitions)),
                size_bytes=sum(
                    len(stored.key or b"") + len(stored.value or b"")
                    for partition in topic.partitions
                    for stored in partition
                ),
                compacted=topic.compacted,
            )
            for name, topic in sorted(self.contents.items())
        ]

    def forget(self, group: str) -> None:
        """Delete what the group committed."""
        self.offsets.pop(group, None)

    def check(self) -> list[Finding]:
        """Nothing can be wrong with memory."""
        return [
            Finding("ok", "log-memory", "log", "the log is in memory and ends with the process")
        ]

    def stored(self, topic: str) -> list[Stored]:
        """Every committed record of a topic, partition by partition."""
        content = self.contents.get(topic)
        return [] if content is None else [one for part in content.partitions for one in part]

    def topic(self, wanted: Topic) -> _Topic:
        """The content of a topic, which is made when it is new."""
        content = self.contents.get(wanted.name)
        if content is None:
            count = 1 if wanted.internal else self.partitions
            partitions: list[list[Stored]] = [[] for _ in range(count)]
            content = _Topic(wanted.compacted, wanted.internal, partitions)
            self.contents[wanted.name] = content
        return content

    def put(self, records: Iterable[Record]) -> None:
        """Make records readable."""
        for record in records:
            content = self.topic(record.topic)
            number = record.partition
            if number is None:
                number = zlib.crc32(record.key or b"") % len(content.partitions)
            partition = content.partitions[number]
            partition.append(
                Stored(
                    topic=record.topic.name,
                    partition=number,
                    offset=len(partition),
                    key=record.key,
                    value=record.value,
                    headers=tuple(record.all_headers()),
                    timestamp_us=self.clock.wall_us(),
                )
            )


class MemoryLogWriter:
    """The writer of one source."""

    def __init__(self, log: MemoryLog, source: str) -> None:
        self._log = log
        self._source = source
        self._number = 0
        self._appended: list[Record] = []
        self._taken = 0
        self._unfinished = False
        self.exactly_once = log.exactly_once

    def open(self) -> Checkpoint | None:
        """Fence older writers; what they did not commit was theirs alone and is gone."""
        self._number = self._log.writers.get(self._source, 0) + 1
        self._log.writers[self._source] = self._number
        return self._log.checkpoints.get(self._source)

    def partitions(self, topic: Topic) -> int:
        """How many partitions the topic has; makes it."""
        self._check()
        return len(self._log.topic(topic).partitions)

    def append(self, records: Sequence[Record], timeout_s: float) -> bool:
        """Take records; at least once they are readable at once."""
        self._check()
        most = next(self._log.script.takes, None)
        left = records[self._taken :]
        taken = left if most is None else left[:most]
        assert all(record.sequence > 0 for record in taken), "a record has no sequence"
        # A copy: what its maker does with a record later does not concern the log.
        self._appended += [_copy(record) for record in taken]
        self._taken += len(taken)
        if not self.exactly_once:
            self._flush()
        self._unfinished = self._taken < len(records)
        if self._unfinished:
            self._log.clock.sleep_s(timeout_s)
            return False
        self._taken = 0
        return True

    def commit(self, checkpoint: Checkpoint, timeout_s: float) -> bool:
        """Make records and checkpoint durable in one step."""
        self._check()
        assert not self._unfinished, "an append was left unfinished"
        outcome = next(self._log.script.outcomes, "done")
        if outcome == "later":
            self._log.clock.sleep_s(timeout_s)
            return False
        if outcome == "undone unanswered":
            self._appended.clear()
        else:
            self._flush()
            stored = self._log.checkpoints.get(self._source, Checkpoint())
            self._log.checkpoints[self._source] = stored.merged(checkpoint)
        if outcome != "done":
            raise TransientError("the log did not say whether it committed")
        return True

    def close(self) -> None:
        """Forget what was not committed."""
        self._appended.clear()

    def _flush(self) -> None:
        self._log.put(self._appended)
        self._appended.clear()

    def _check(self) -> None:
        assert self._number, "the writer was not opened"
        if self._log.writers[self._source] != self._number:
            raise Fenced(f"another writer of source {self._source!r} has opened the log")


def _copy(record: Record) -> Record:
    return Record(
        record.topic,
        record.key,
        record.value,
        record.mark,
        record.headers,
        record.partition,
        record.sequence,
    )


class MemoryLogReader:
    """One member of a group. Partitions are read in turn, so that none waits for another."""

    def __init__(self, log: MemoryLog, topics: Sequence[str], group: str | None) -> None:
        self._log = log
        self._patterns = Patterns(topics)
        self._group = group
        self._next: dict[Partition, int] = {}
        self._turn = 0

    def poll(self, records_max: int, timeout_s: float) -> Sequence[Stored]:
        """Committed records; waits at most `timeout_s` when there are none."""
        found = self._found(records_max)
        if not found and timeout_s > 0:
            self._log.clock.sleep_s(timeout_s)
            found = self._found(records_max)
        return found

    def commit(self, stored: Sequence[Stored]) -> None:
        """All records up to and including these are done."""
        if self._group is None:
            raise ValueError("a reader without a group has nothing to commit")
        committed = self._log.offsets.setdefault(self._group, {})
        for record in stored:
            committed[Partition(record.topic, record.partition)] = record.offset + 1

    def ends(self) -> Mapping[Partition, int]:
        """The offset behind the last record of every partition."""
        return {partition: len(content) for partition, content in self._contents().items()}

    def positions(self) -> Mapping[Partition, int]:
        """What the group committed, 0 where it never did."""
        committed = self._committed()
        return {partition: committed.get(partition, 0) for partition in self._contents()}

    def seek(self, where: SeekTo) -> None:
        """Go on from there."""
        contents = self._contents()
        if where == "beginning":
            self._next = dict.fromkeys(contents, 0)
        elif where == "end":
            self._next = dict(self.ends())
        elif isinstance(where, int):
            self._next = {
                partition: sum(one.timestamp_us < where for one in content)
                for partition, content in contents.items()
            }
        else:
            self._next.update(where)

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._log.clock.sleep_s(seconds)

    def close(self) -> None:
        """Nothing to give back."""

    def _contents(self) -> dict[Partition, list[Stored]]:
        return {
            Partition(name, number): content
            for name, topic in self._log.contents.items()
            if self._patterns.means(name)
            for number, content in enumerate(topic.partitions)
        }

    def _committed(self) -> Mapping[Partition, int]:
        return {} if self._group is None else self._log.offsets.get(self._group, {})

    def _found(self, records_max: int) -> list[Stored]:
        contents = sorted(self._contents().items())
        found: list[Stored] = []
        self._turn += 1
        for place in range(len(contents)):
            partition, content = contents[(self._turn + place) % len(contents)]
            begin = self._next.get(partition)
            if begin is None:
                begin = self._committed().get(partition, 0)
            taken = content[begin : begin + records_max - len(found)]
            self._next[partition] = begin + len(taken)
            found += taken
        return found
