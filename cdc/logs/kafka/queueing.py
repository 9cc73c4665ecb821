"""Records into the queue of a producer.

A hot module: plain Python that setup.py compiles (declarations in queueing.pxd). The client library
reads arguments by position faster than by name. Compiled, a record's partition is chosen here,
which costs less than to have the library choose it; it is the same partition.
"""

from collections.abc import Callable
from typing import Final

from cdc.compiled import is_compiled
from cdc.event import EVERY_PARTITION, Record, Topic

_DIRECT: Final = is_compiled("cdc.logs.kafka.queueing")
_EVERY_PARTITION: Final = EVERY_PARTITION
_ANY_PARTITION: Final = -1
# Names, because compiled a literal of 32 bits would be an object.
_SEED: Final = 0x9747B28C
_MASK: Final = 0xFFFFFFFF


class Feeder:
    """Queues records in order. `index` is the first record that `feed` did not queue.

    `produce` is the producer's method, `refusals` is what it raises. `partitions` tells how many a
    topic has, and makes it; it is asked once, so that in a topic that gets more of them keys stay
    where they are until the next session.
    """

    __slots__ = (
        "_count", "_counts", "_name", "_partitions", "_produce", "_refusals", "_topic", "index",
    )  # fmt: skip

    def __init__(
        self,
        produce: Callable[..., None],
        refusals: tuple[type[Exception], ...],
        partitions: Callable[[Topic], int],
    ) -> None:
        self.index = 0
        self._refusals = refusals
        self._produce = produce
        self._partitions = partitions
        self._counts: dict[str, int] = {}
        self._topic: Topic | None = None
        self._name = ""
        self._count = 0

    def feed(self, records: list[Record], start: int, stop: int) -> bool:
        """Queue the records from `start` to before `stop`; False when one was refused.

        `index` is then that record: the queue may be full. Raises what `partitions` raises.
        """
        produce = self._produce
        self.index = start
        while self.index < stop:
            record = records[self.index]
            partition = self.partition(record)
            try:
                # In order: topic, value, key, partition, two call-backs, timestamp, headers.
                produce(
                    self._name, record.value, record.key, partition, None, None, 0,
                    record.all_headers(),
                )  # fmt: skip
            except self._refusals:
                return False
            self.index += 1
        return True

    def partition(self, record: Record) -> int:
        """Where the record belongs, -1 where the client library decides."""
        topic = record.topic
        if topic is not self._topic:
            self._enter(topic)
        if record.partition is not None:
            wanted: int = record.partition
            return _ANY_PARTITION if wanted == _EVERY_PARTITION else wanted
        key = record.key
        if not _DIRECT or key is None:
            return _ANY_PARTITION
        return (murmur2(key, len(key)) & 0x7FFFFFFF) % self._count

    def _enter(self, topic: Topic) -> None:
        count = self._counts.get(topic.name)
        if count is None:
            count = self._partitions(topic)
            self._counts[topic.name] = count
        self._topic = topic
        self._name = topic.name
        self._count = count


def murmur2(key: bytes, size: int) -> int:
    """The hash by which Java clients place keys.

    Source: Kafka, org.apache.kafka.common.utils.Utils.murmur2.
    """
    number = _SEED ^ size
    index = 0
    while size - index >= 4:
        word = key[index + 3]
        word = (word << 8) | key[index + 2]
        word = (word << 8) | key[index + 1]
        word = (word << 8) | key[index]
        word = (word * 0x5BD1E995) & _MASK
        word ^= word >> 24
        word = (word * 0x5BD1E995) & _MASK
        number = (number * 0x5BD1E995) & _MASK
        number ^= word
        index += 4
    if index < size:
        word = 0
        place = size
        while place > index:
            place -= 1
            word = (word << 8) | key[place]
        number = ((number ^ word) * 0x5BD1E995) & _MASK
    number ^= number >> 13
    number = (number * 0x5BD1E995) & _MASK
    return number ^ (number >> 15)
