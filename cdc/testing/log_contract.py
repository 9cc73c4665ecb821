"""What every log must do: a suite for ours and for those of third parties.

    class TestMyLog(LogContract):
        @pytest.fixture
        def harness(self) -> LogHarness:
            return MyLogHarness(...)

What a log cannot do by its nature is waived with a reason, which the test report shows.
"""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from cdc.errors import Fenced
from cdc.event import Record, Topic
from cdc.protocols import Log, LogReader, LogWriter, Partition
from cdc.testing.log_harness import (
    MARK,
    LogHarness,
    append,
    commit,
    numbers,
    record,
    take,
    until,
    write,
)

MANY = 20_000
PARTS = 1_000
LARGE_BYTES = 900_000
SHORT_S = 0.3


class LogContract:
    """Subclass it with a `harness` fixture. Every test's name is a claim that can be waived."""

    @pytest.fixture
    def harness(self) -> LogHarness:
        """The log under test."""
        raise NotImplementedError("give the class a fixture `harness`")

    @pytest.fixture
    def patience_s(self, harness: LogHarness) -> float:
        """The harness's."""
        return harness.patience_s

    @pytest.fixture
    def log(self, harness: LogHarness, request: pytest.FixtureRequest) -> Log:
        """The log, empty; skips what is waived."""
        claim = request.node.originalname
        if claim in harness.waivers:
            pytest.skip(f"waived: {harness.waivers[claim]}")
        return harness.make()

    @pytest.fixture
    def topic(self, harness: LogHarness) -> Topic:
        """A topic that does not exist yet."""
        return Topic(f"{harness.prefix}orders", compacted=False)

    @pytest.fixture
    def writer(self, log: Log) -> Iterator[LogWriter]:
        """An open writer of the source `shop`."""
        with closing(log.writer("shop")) as writer:
            writer.open()
            yield writer

    @pytest.fixture
    def reader(self, log: Log, topic: Topic) -> Iterator[LogReader]:
        """A reader of `topic` without a group."""
        with closing(log.reader([topic.name], None)) as reader:
            yield reader

    def test_every_waiver_names_a_claim(self, harness: LogHarness) -> None:
        """A waiver of a claim that is not there would hide a typing error."""
        claims = {name for name in dir(self) if name.startswith("test_")}

        assert set() == set(harness.waivers) - claims
        assert all(reason.strip() for reason in harness.waivers.values())

    def test_check_finds_no_error_in_a_good_log(self, log: Log) -> None:
        """A check of what works has results, and no error among them."""
        findings = log.check()

        assert findings
        assert not [finding for finding in findings if finding.severity == "error"]

    # --- checkpoints ------------------------------------------------------------------------------

    def test_a_new_source_has_no_checkpoint(self, log: Log) -> None:
        """Nothing is stored before the first commit."""
        with closing(log.writer("shop")) as writer:
            assert writer.open() is None

    def test_the_checkpoint_is_every_part_as_last_committed(
        self, log: Log, writer: LogWriter, patience_s: float
    ) -> None:
        """A commit changes what it names, deletes what it sets to None, and leaves the rest."""
        many: dict[str, bytes | None] = {f"part {number}": b"1" for number in range(PARTS)}
        commit(writer, {**many, "position": b"old", "facts:a": b"\x00\xff"}, patience_s)
        deleted = dict.fromkeys(list(many)[: PARTS // 2])
        commit(writer, {**deleted, "position": b"new", "never there": None}, patience_s)
        writer.close()

        with closing(log.writer("shop")) as again:
            stored = again.open()

        kept = dict.fromkeys(list(many)[PARTS // 2 :], b"1")
        assert stored is not None
        assert {**kept, "position": b"new", "facts:a": b"\x00\xff"} == dict(stored.parts)

    def test_sources_have_checkpoints_of_their_own(
        self, log: Log, writer: LogWriter, patience_s: float
    ) -> None:
        """Two sources write at the same time and do not see each other's parts."""
        commit(writer, {"position": b"shop"}, patience_s)

        with closing(log.writer("crm")) as other:
            assert other.open() is None
            commit(other, {"position": b"crm"}, patience_s)
            commit(writer, {}, patience_s)

    # --- writing ----------------------------------------------------------------------------------

    def test_nothing_is_visible_before_the_commit(
        self, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Appended records are in no poll."""
        append(writer, [record(topic, 0)], patience_s)
        before = reader.poll(10, SHORT_S)
        commit(writer, {"position": b"1"}, patience_s)

        assert list(before) == []
        assert numbers(take(reader, 1, patience_s)) == [0]

    def test_what_a_closed_writer_did_not_commit_is_gone(
        self, log: Log, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Neither its records nor its parts, and its committed ones stay."""
        write(writer, [record(topic, 0)], patience_s)
        append(writer, [record(topic, 1)], patience_s)
        writer.close()
        with closing(log.writer("shop")) as again:
            stored = again.open()
            write(again, [record(topic, 2)], patience_s)

        assert stored is not None
        assert dict(stored.parts) == {"position": b"written"}
        assert numbers(take(reader, 2, patience_s)) == [0, 2]
        assert list(reader.poll(10, SHORT_S)) == []

    def test_an_older_writer_is_fenced_and_leaves_nothing(
        self, log: Log, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Who opens later wins, even if the older one still lives."""
        append(writer, [record(topic, 0)], patience_s)
        with closing(log.writer("shop")) as newer:
            newer.open()
            with pytest.raises(Fenced):
                commit(writer, {"position": b"older"}, patience_s)
            append(newer, [record(topic, 1)], patience_s)
            commit(newer, {"position": b"newer"}, patience_s)

        assert numbers(take(reader, 1, patience_s)) == [1]
        assert list(reader.poll(10, SHORT_S)) == []

    def test_an_append_that_needs_several_calls_takes_each_record_once(
        self, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """False means: call again with the same records."""
        records = [record(topic, number) for number in range(MANY)]
        until(lambda: writer.append(records, 0.0), patience_s, "append")
        write(writer, [record(topic, MANY)], patience_s)

        assert list(range(MANY + 1)) == numbers(take(reader, MANY + 1, patience_s))

    def test_order_within_a_key_is_the_order_of_appending(
        self, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Over appends and commits; one key is always in the same partition."""
        keys = [b"a", b"b", b"c"]
        for begin in range(0, 300, 30):
            records = [record(topic, begin + step, keys[step % 3]) for step in range(30)]
            append(writer, records, patience_s)
            if begin % 60 == 0:
                commit(writer, {"position": b"%d" % begin}, patience_s)
        commit(writer, {"position": b"end"}, patience_s)

        found = take(reader, 300, patience_s)
        for index, key in enumerate(keys):
            of_key = [stored for stored in found if stored.key == key]
            assert list(range(index, 300, 3)) == numbers(of_key)
            assert len({stored.partition for stored in of_key}) == 1

    def test_records_come_back_as_they_were_written(
        self, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Null is not empty; headers keep bytes and order, the `cdc` header is first."""
        headers = (("b", b"\x00\xff"), ("a", b""), ("b", "é".encode()))
        append(
            writer,
            [
                Record(topic, b"", b"", MARK, headers, partition=0, sequence=7),
                Record(topic, None, None, None, (), partition=0, sequence=8),
                Record(topic, b"\xff", None, MARK + b".3", (), partition=0, sequence=9),
            ],
            patience_s,
        )
        before_us = time.time_ns() // 1000
        commit(writer, {"position": b"1"}, patience_s)

        first, second, third = take(reader, 3, patience_s)
        expected = (("cdc", b"7" + MARK), *headers)
        assert (first.key, first.value, first.headers) == (b"", b"", expected)
        assert (second.key, second.value, second.headers) == (None, None, ())
        assert (third.key, third.value) == (b"\xff", None)
        assert third.headers == (("cdc", b"9" + MARK + b".3"),)
        assert abs(first.timestamp_us - before_us) < 60_000_000
        assert (topic.name, 0) == (first.topic, first.partition)

    def test_a_large_record_comes_back_whole(
        self, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Rows hold documents and pictures."""
        value = bytes(range(256)) * (LARGE_BYTES // 256)
        write(writer, [Record(topic, b"k", value, MARK, sequence=1)], patience_s)

        (found,) = take(reader, 1, patience_s)
        assert value == found.value

    def test_a_chosen_partition_is_used(
        self, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Truncates and markers go to every partition."""
        count = writer.partitions(topic)
        records = [record(topic, number) for number in range(count)]
        for number, one in enumerate(records):
            one.partition = number
        write(writer, records, patience_s)

        found = take(reader, count, patience_s)
        assert sorted((number, number) for number in range(count)) == sorted(
            zip((stored.partition for stored in found), numbers(found), strict=True)
        )

    def test_the_topics_are_listed(
        self, log: Log, writer: LogWriter, harness: LogHarness, topic: Topic, patience_s: float
    ) -> None:
        """With their partitions and at least the records that are in them."""
        internal = Topic(f"{harness.prefix}schemas", compacted=True, internal=True)
        write(writer, [record(topic, 0), record(topic, 1), record(internal, 2)], patience_s)

        found = {info.name: info for info in log.topics()}
        assert writer.partitions(topic) == found[topic.name].partitions
        assert found[internal.name].partitions == 1
        assert found[topic.name].records >= 2
        assert not found[topic.name].compacted

    def test_closing_twice_is_harmless(self, writer: LogWriter, reader: LogReader) -> None:
        """Errors close, and so do the loops' ends."""
        for _ in range(2):
            writer.close()
            reader.close()

    # --- reading ----------------------------------------------------------------------------------

    def test_a_poll_gives_no_more_than_asked_for(
        self, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """And the rest afterwards."""
        write(writer, [record(topic, number) for number in range(10)], patience_s)

        first = take(reader, 1, patience_s)
        second = reader.poll(4, patience_s)
        rest = take(reader, 9 - len(second), patience_s)
        assert 1 <= len(second) <= 4
        assert list(range(10)) == numbers([*first, *second, *rest])

    def test_a_group_goes_on_behind_what_it_committed(
        self, log: Log, writer: LogWriter, topic: Topic, patience_s: float
    ) -> None:
        """Neither again nor later; committing twice changes nothing. Groups do not share."""
        write(writer, [record(topic, number) for number in range(10)], patience_s)
        with closing(log.reader([topic.name], "one")) as reader:
            found = take(reader, 10, patience_s)
            reader.commit(found[:4])
            reader.commit(found[:4])

        with closing(log.reader([topic.name], "one")) as reader:
            assert numbers(take(reader, 6, patience_s)) == [4, 5, 6, 7, 8, 9]
        with closing(log.reader([topic.name], "other")) as reader:
            assert list(range(10)) == numbers(take(reader, 10, patience_s))

    def test_a_forgotten_group_begins_at_the_beginning(
        self, log: Log, writer: LogWriter, topic: Topic, patience_s: float
    ) -> None:
        """Forgetting what nobody knows is no error."""
        write(writer, [record(topic, 0)], patience_s)
        with closing(log.reader([topic.name], "one")) as reader:
            reader.commit(take(reader, 1, patience_s))

        log.forget("one")
        log.forget("one")

        with closing(log.reader([topic.name], "one")) as reader:
            assert numbers(take(reader, 1, patience_s)) == [0]

    def test_without_a_group_nothing_can_be_committed(
        self, log: Log, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Such a reader begins at the beginning each time."""
        write(writer, [record(topic, 0)], patience_s)
        found = take(reader, 1, patience_s)

        with pytest.raises(ValueError, match="group"):
            reader.commit(found)
        with closing(log.reader([topic.name], None)) as another:
            assert numbers(take(another, 1, patience_s)) == [0]

    def test_positions_reach_the_ends_when_all_is_committed(
        self, log: Log, writer: LogWriter, topic: Topic, patience_s: float
    ) -> None:
        """That is how a pipeline knows that a sink has everything."""
        write(writer, [record(topic, number, b"%d" % number) for number in range(20)], patience_s)
        with closing(log.reader([topic.name], "one")) as reader:
            fresh = reader.positions()
            ends = reader.ends()
            reader.commit(take(reader, 20, patience_s))

            def caught_up() -> bool:
                assert list(reader.poll(1, SHORT_S)) == []
                return reader.positions() == ends

            until(caught_up, patience_s, "positions = ends")
            assert {Partition(topic.name, number) for number in range(len(ends))} == set(ends)
            assert set(fresh) == set(ends)
            assert sum(ends.values()) - sum(fresh.values()) >= 20

        with closing(log.reader([topic.name], "one")) as reader:
            assert ends == reader.positions()

    def test_seek_goes_to_beginning_end_offset_and_time(
        self, writer: LogWriter, reader: LogReader, topic: Topic, patience_s: float
    ) -> None:
        """Each without effect on the others' partitions."""
        write(writer, [record(topic, number) for number in range(3)], patience_s)
        early = take(reader, 3, patience_s)
        # Kafka's times are milliseconds: the later ones must be in another one.
        until(
            lambda: time.time_ns() // 1000 > early[-1].timestamp_us + 2000,
            patience_s,
            "a later millisecond",
        )
        write(writer, [record(topic, number) for number in range(3, 6)], patience_s)
        late = take(reader, 3, patience_s)

        reader.seek("beginning")
        assert list(range(6)) == numbers(take(reader, 6, patience_s))
        reader.seek({Partition(topic.name, late[0].partition): late[1].offset})
        assert numbers(take(reader, 2, patience_s)) == [4, 5]
        reader.seek(late[0].timestamp_us)
        assert numbers(take(reader, 3, patience_s)) == [3, 4, 5]
        reader.seek("end")
        assert list(reader.poll(10, SHORT_S)) == []
        write(writer, [record(topic, 6)], patience_s)
        assert numbers(take(reader, 1, patience_s)) == [6]

    @pytest.mark.parametrize("group", [None, "one"])
    def test_topics_may_appear_later_and_be_meant_by_globs(
        self, log: Log, writer: LogWriter, harness: LogHarness, group: str | None, patience_s: float
    ) -> None:
        """From their first record on; what no pattern means is not read."""
        names = [f"{harness.prefix}{name}" for name in ("a.x", "b.x", "b.y", "single")]
        a, b, other, single = (Topic(name, compacted=False) for name in names)
        write(writer, [record(a, 0)], patience_s)
        with closing(log.reader([f"{harness.prefix}*.x", single.name], group)) as reader:
            assert numbers(take(reader, 1, patience_s)) == [0]
            write(writer, [record(other, 1), record(b, 2), record(single, 3)], patience_s)

            assert sorted(numbers(take(reader, 2, patience_s))) == [2, 3]
            assert list(reader.poll(10, SHORT_S)) == []
            assert {a.name, b.name, single.name} == {place.topic for place in reader.ends()}

    def test_a_pause_loses_neither_records_nor_membership(
        self, log: Log, writer: LogWriter, topic: Topic, patience_s: float
    ) -> None:
        """A sink that backs off stays in its group."""
        write(writer, [record(topic, number) for number in range(4)], patience_s)
        with closing(log.reader([topic.name], "one")) as reader:
            first = take(reader, 2, patience_s)
            reader.pause(SHORT_S)
            rest = take(reader, 2, patience_s)
            reader.commit([*first, *rest])

            assert numbers([*first, *rest]) == [0, 1, 2, 3]
