"""Records into a producer's queue: order, places, and what happens when it is full."""

from typing import Any

import pytest

from cdc.compiled import is_compiled
from cdc.event import EVERY_PARTITION, Record, Topic
from cdc.logs.kafka.queueing import Feeder, murmur2

TOPIC = Topic("shop.public.t", compacted=True)
OTHER = Topic("shop.public.u", compacted=True)
COUNTS = {TOPIC.name: 6, OTHER.name: 1}


class Queue:
    """A producer's queue with room for a number of records."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.taken: list[tuple[Any, ...]] = []

    def produce(self, *given: Any) -> None:
        if not self.room:
            raise BufferError("full")
        self.room -= 1
        self.taken.append(given)


def feeder(queue: Queue, asked: list[str] | None = None) -> Feeder:
    def partitions(topic: Topic) -> int:
        if asked is not None:
            asked.append(topic.name)
        return COUNTS[topic.name]

    return Feeder(queue.produce, (BufferError,), partitions)


def record(key: bytes | None = b"k", topic: Topic = TOPIC, partition: int | None = None) -> Record:
    return Record(topic, key, b"v", b".1", (("h", b"x"),), partition, 42)


@pytest.mark.parametrize(
    ("key", "number"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_have_the_numbers_that_java_clients_give_them(key: bytes, number: int) -> None:
    # The numbers are those of Kafka's own UtilsTest.
    assert number % 2**32 == murmur2(key, len(key))


def test_every_argument_stands_at_its_place() -> None:
    queue = Queue()
    single = record(partition=3)

    assert feeder(queue).feed([single], 0, 1)

    headers = [("cdc", b"42.1"), ("h", b"x")]
    assert queue.taken == [("shop.public.t", b"v", b"k", 3, None, None, 0, headers)]


def test_what_is_refused_is_the_next_to_be_tried() -> None:
    queue = Queue(room=2)
    feeding = feeder(queue)
    records = [record(b"%d" % number) for number in range(5)]

    fed = feeding.feed(records, 1, 5)

    assert not fed
    assert feeding.index == 3
    assert [given[2] for given in queue.taken] == [b"1", b"2"]


def test_a_topic_is_asked_for_once_however_often_records_change_between_two() -> None:
    queue, asked = Queue(), list[str]()
    feeding = feeder(queue, asked)
    records = [record(topic=topic) for topic in (TOPIC, OTHER, TOPIC, OTHER)]

    assert feeding.feed(records, 0, 4)
    assert feeding.feed(records, 0, 4)

    assert [TOPIC.name, OTHER.name] == asked
    assert [TOPIC.name, OTHER.name] * 4 == [given[0] for given in queue.taken]


@pytest.mark.parametrize("partition", [None, EVERY_PARTITION])
def test_a_record_without_a_key_goes_where_the_library_wants(partition: int | None) -> None:
    assert feeder(Queue()).partition(record(None, partition=partition)) == -1


def test_a_key_is_placed_here_only_where_that_is_quick() -> None:
    # murmur2("21") is -973932308; a Java client takes it without its sign, modulo 6.
    here = (-973932308 & 0x7FFFFFFF) % 6 if is_compiled("cdc.logs.kafka.queueing") else -1

    assert here == feeder(Queue()).partition(record(b"21"))
