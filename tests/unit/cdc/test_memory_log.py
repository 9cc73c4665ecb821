"""What is particular to the log in memory; tests/contract holds the rest."""

import pytest

from cdc.checkpoint import Checkpoint
from cdc.errors import Fenced, TransientError
from cdc.event import Record, Topic
from cdc.logs.memory import MemoryLog, Script
from cdc.protocols import Partition
from cdc.testing.clock import ManualClock

TOPIC = Topic("shop.t", compacted=True)
POSITION = Checkpoint({"position": b"1"})


def record(number: int, key: bytes | None = b"k") -> Record:
    return Record(TOPIC, key, b"v%d" % number, b".id", sequence=number)


def test_a_partial_append_takes_the_rest_at_the_next_call() -> None:
    clock = ManualClock()
    log = MemoryLog(clock, script=Script(takes=iter([1, 0])))
    writer = log.writer("shop")
    writer.open()
    records = [record(1), record(2), record(3)]

    taken = [writer.append(records, 0.5) for _ in range(3)]
    writer.commit(POSITION, 0.5)

    assert taken == [False, False, True]
    assert clock.slept_s == 1.0
    assert [one.value for one in log.stored("shop.t")] == [b"v1", b"v2", b"v3"]


def test_a_commit_with_an_unfinished_append_is_our_own_mistake() -> None:
    writer = (log := MemoryLog(ManualClock(), script=Script(takes=iter([0])))).writer("shop")
    writer.open()
    writer.append([record(1)], 0.5)

    with pytest.raises(AssertionError, match="unfinished"):
        writer.commit(POSITION, 0.5)
    assert log.stored("shop.t") == []


@pytest.mark.parametrize(("outcome", "kept"), [("done unanswered", 1), ("undone unanswered", 0)])
def test_a_commit_without_an_answer_may_have_happened(outcome: str, kept: int) -> None:
    log = MemoryLog(ManualClock(), script=Script(outcomes=iter([outcome])))  # type: ignore[list-item]
    writer = log.writer("shop")
    writer.open()
    writer.append([record(1)], 0.5)

    with pytest.raises(TransientError):
        writer.commit(POSITION, 0.5)

    assert len(log.stored("shop.t")) == kept
    assert (log.writer("shop").open() is not None) == bool(kept)


def test_at_least_once_records_are_readable_before_the_commit() -> None:
    log = MemoryLog(ManualClock(), exactly_once=False)
    writer = log.writer("shop")
    writer.open()

    writer.append([record(1)], 0.5)
    writer.close()

    assert [one.value for one in log.stored("shop.t")] == [b"v1"]
    assert log.writer("shop").open() is None


def test_an_older_writer_is_fenced_at_any_call() -> None:
    log = MemoryLog(ManualClock())
    older = log.writer("shop")
    older.open()

    log.writer("shop").open()

    with pytest.raises(Fenced):
        older.append([record(1)], 0.5)
    with pytest.raises(Fenced):
        older.commit(POSITION, 0.5)
    with pytest.raises(Fenced):
        older.partitions(TOPIC)


def test_a_record_given_away_can_be_changed_by_its_maker() -> None:
    log = MemoryLog(ManualClock())
    writer = log.writer("shop")
    writer.open()
    mine = record(1)
    writer.append([mine], 0.5)

    mine.sequence = 99
    writer.commit(POSITION, 0.5)

    assert log.stored("shop.t")[0].headers == (("cdc", b"1.id"),)


def test_partitions_are_read_in_turn() -> None:
    log = MemoryLog(ManualClock(), partitions=2)
    writer = log.writer("shop")
    writer.open()
    for number in range(1, 7):
        writer.append([record(number, b"%d" % number)], 0.5)
    writer.commit(POSITION, 0.5)
    reader = log.reader(["shop.*"], None)

    first, second = reader.poll(1, 0.5), reader.poll(1, 0.5)

    assert {first[0].partition, second[0].partition} == {0, 1}


def test_a_reader_may_go_anywhere() -> None:
    clock = ManualClock()
    log = MemoryLog(clock, partitions=1)
    writer = log.writer("shop")
    writer.open()
    for number in range(1, 4):
        writer.append([record(number)], 0.5)
        writer.commit(POSITION, 0.5)
        clock.pass_s(1.0)
    reader = log.reader(["shop.t"], "search")
    second_at_us = log.stored("shop.t")[1].timestamp_us

    found = []
    for where in ("beginning", "end", second_at_us, {Partition("shop.t", 0): 2}):
        reader.seek(where)
        found.append([one.value for one in reader.poll(10, 0.0)])

    assert found == [[b"v1", b"v2", b"v3"], [], [b"v2", b"v3"], [b"v3"]]


def test_offsets_belong_to_the_group_until_they_are_forgotten() -> None:
    log = MemoryLog(ManualClock(), partitions=1)
    writer = log.writer("shop")
    writer.open()
    writer.append([record(1), record(2)], 0.5)
    writer.commit(POSITION, 0.5)
    reader = log.reader(["shop.t"], "search")

    reader.commit(reader.poll(1, 0.0))

    assert log.reader(["shop.t"], "search").positions() == {Partition("shop.t", 0): 1}
    log.forget("search")
    assert log.reader(["shop.t"], "search").positions() == {Partition("shop.t", 0): 0}
    assert [one.severity for one in log.check()] == ["ok"]
    assert [(one.name, one.records, one.size_bytes) for one in log.topics()] == [("shop.t", 2, 6)]


def test_a_reader_without_a_group_commits_nothing() -> None:
    reader = MemoryLog(ManualClock()).reader(["*"], None)

    with pytest.raises(ValueError, match="without a group"):
        reader.commit([])
    assert reader.positions() == {}


def test_pausing_takes_time_and_nothing_else() -> None:
    clock = ManualClock()
    reader = MemoryLog(clock).reader(["*"], None)

    reader.pause(1.5)
    reader.close()

    assert clock.slept_s == 1.5
