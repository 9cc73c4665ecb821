"""Readers: members of a consumer group, or readers of everything without one."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from cdc.errors import TransientError
from cdc.event import Stored
from cdc.logs.globs import Patterns
from cdc.logs.kafka import codes
from cdc.logs.kafka.client import REQUEST_S, Clients, left_s
from cdc.logs.kafka.config import Config
from cdc.logs.kafka.failures import Reasons, kafka_error
from cdc.logs.kafka.messages import stored_of
from cdc.logs.kafka.topics import Topics
from cdc.protocols import Partition, SeekTo

_COMMIT_S: Final = 30.0
_PAUSE_STEP_S: Final = 0.2
# The shortest time that a look for new partitions gets, however little `poll` was given.
_DISCOVERY_S: Final = 2.0


class KafkaReader:
    """Satisfies LogReader: committed records only, offsets committed on `commit` and never else."""

    def __init__(
        self, config: Config, clients: Clients, topics: Sequence[str], group: str | None, name: str
    ) -> None:
        """`name` is the consumer group's; without `group` it is never joined."""
        self._config = config
        self._clients = clients
        self._in_group = group is not None
        self._patterns = Patterns(topics)
        self._subscription = [*sorted(self._patterns.names), *self._patterns.expressions]
        self._reasons = Reasons()
        self._topics = Topics(clients, config.topics)
        self._assigned: set[Partition] = set()
        self._stash: deque[Stored] = deque()
        self._sought: dict[Partition, int] = {}
        self._from_beginning = False
        self._next: dict[Partition, int] = {}
        self._done: dict[Partition, int] = {}
        self._read_to: dict[Partition, int] = {}
        self._paused = False
        self._discovered_s = float("-inf")
        self._closed = False
        self._trouble: Exception | None = None
        self._consumer: Consumer = clients.consumer(
            self._reasons,
            {
                "session.timeout.ms": int(config.session_timeout_s * 1000),
                "group.id": name,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # An offset that retention took is a loss, not a reason to go on elsewhere.
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
                "enable.partition.eof": True,
                "partition.assignment.strategy": "cooperative-sticky",
                "topic.metadata.refresh.interval.ms": int(config.metadata_refresh_s * 1000),
            },
        )
        if self._in_group:
            self._consumer.subscribe(
                self._subscription,
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_revoke,
            )

    # --- the contract -----------------------------------------------------------------------------

    def poll(self, records_max: int, timeout_s: float) -> Sequence[Stored]:
        """Records as they come. Raises PositionLost, LogRefused, TransientError."""
        self._usable()
        deadline_s = time.monotonic() + timeout_s
        with self._translating("reading"):
            while True:
                self._discover(timeout_s)
                if not self._stash:
                    self._serve(records_max, self._wait_s(deadline_s))
                if self._stash or left_s(deadline_s) == 0:
                    break
        if not self._stash:
            self._raise_if_down()
        count = min(records_max, len(self._stash))
        return [self._stash.popleft() for _ in range(count)]

    def commit(self, stored: Sequence[Stored]) -> None:
        """Commit offsets of partitions that are still this member's; others are left alone."""
        self._usable()
        if not self._in_group:
            raise ValueError("a reader without a group has nothing to commit to")
        offsets: dict[Partition, int] = {}
        for record in stored:
            place = Partition(record.topic, record.partition)
            offsets[place] = max(offsets.get(place, 0), record.offset + 1)
        deadline_s = time.monotonic() + _COMMIT_S
        with self._translating("committing offsets"):
            while not self._committed(offsets):
                if left_s(deadline_s) == 0:
                    raise TransientError("the consumer group does not settle")
                # The group is being rearranged; that goes on only while its members poll.
                self._serve(1, _PAUSE_STEP_S)

    def ends(self) -> Mapping[Partition, int]:
        """Of all partitions of the topics, also those that other members read.

        With what is not committed yet: a commit returns before every partition shows it, and who
        waits for what it knows to be committed must not stop short of it.
        """
        return self._topics.offsets(self._places(), codes.LATEST, committed=False)

    def positions(self) -> Mapping[Partition, int]:
        """Of all partitions of the topics; where nothing is committed, where the topic begins."""
        places = self._places()
        found: dict[Partition, int] = {}
        if self._in_group and places:
            asked = [TopicPartition(place.topic, place.number) for place in places]
            with self._translating("reading committed offsets"):
                for answer in self._consumer.committed(asked, timeout=REQUEST_S):
                    if answer.offset >= 0:
                        place = Partition(answer.topic, answer.partition)
                        found[place] = self._behind_markers(place, answer.offset)
        missing = [place for place in places if place not in found]
        starts = self._topics.offsets(missing, codes.EARLIEST)
        # Where nothing is committed because nothing is to be read: markers, discarded records.
        starts.update((one, self._read_to[one]) for one in missing if self._is_void(one))
        return {**found, **starts}

    def seek(self, where: SeekTo) -> None:
        """Partitions that appear later are read from their beginning."""
        self._usable()
        if where == "beginning":
            self._from_beginning = True
            self._sought = dict.fromkeys(self._assigned, OFFSET_BEGINNING)
        else:
            self._sought.update(self._resolved(where))
        moved = self._assigned & self._sought.keys()
        self._stash = deque(
            stored
            for stored in self._stash
            if Partition(stored.topic, stored.partition) not in moved
        )
        for place in moved:
            self._forget(place)
        with self._translating("seeking"):
            # Assigning anew also throws away what was fetched ahead.
            self._consumer.incremental_unassign([_at(place) for place in moved])
            self._consumer.incremental_assign([_at(place, self._sought[place]) for place in moved])

    def pause(self, seconds: float) -> None:
        """Fetch nothing, but go on polling: who does not poll loses its partitions."""
        self._usable()
        deadline_s = time.monotonic() + seconds
        self._paused = True
        with self._translating("pausing"):
            self._consumer.pause([_at(place) for place in self._assigned])
            try:
                while left_s(deadline_s) > 0:
                    self._serve(1, min(_PAUSE_STEP_S, left_s(deadline_s)))
            finally:
                self._paused = False
                self._consumer.resume([_at(place) for place in self._assigned])

    def close(self) -> None:
        """Leave the group. Repeatable."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    # --- records ----------------------------------------------------------------------------------

    def _usable(self) -> None:
        if self._closed:
            raise RuntimeError("the reader is closed")

    def _wait_s(self, deadline_s: float) -> float:
        if self._in_group:
            return left_s(deadline_s)
        return min(left_s(deadline_s), self._config.metadata_refresh_s)

    def _serve(self, records_max: int, timeout_s: float) -> None:
        """Put what comes into the stash; callbacks of the group are called meanwhile."""
        # `consume` waits until it has all it was asked for: ask for one first.
        first = self._consumer.poll(timeout_s)
        self._raise_trouble()
        if first is None:
            return
        self._take(first)
        if records_max > 1:
            for message in self._consumer.consume(records_max - 1, 0):
                self._take(message)
        self._raise_trouble()

    def _take(self, message: Message) -> None:
        error = message.error()
        place = Partition(message.topic() or "", message.partition() or 0)
        offset = message.offset() or 0
        if error is not None and error.code() == codes.PARTITION_EOF:
            self._at_end(place, offset)
            return
        if error is not None:
            if error.code() not in codes.PASSING and not error.retriable():
                doing = f"reading topic {message.topic()}" if message.topic() else "reading"
                raise self._clients.translated(error, doing, self._reasons)
            return
        self._reasons.clear()
        self._next[place] = offset + 1
        self._stash.append(stored_of(message, place, offset))

    def _at_end(self, place: Partition, end: int) -> None:
        """All records of a partition were read. Behind the last one are transactions' markers.

        What is committed must pass them too, or the group never reaches the partition's end.
        """
        self._read_to[place] = end
        done = 0 if self._is_void(place) else self._done.get(place)
        if self._in_group and done is not None and done == self._next.get(place, done) < end:
            # Not worth a wait: if this is lost, `positions` knows all the same.
            self._consumer.commit(offsets=[_at(place, end)], asynchronous=True)
            self._done[place] = self._next[place] = end

    def _is_void(self, place: Partition) -> bool:
        """Whether a partition was read from its beginning to its end without a record."""
        known = place in self._next or place in self._done or place in self._sought
        return place in self._read_to and not known and not self._from_beginning

    def _behind_markers(self, place: Partition, offset: int) -> int:
        """A committed offset, or the partition's end when only markers are between."""
        if offset == self._next.get(place):
            return max(offset, self._read_to.get(place, offset))
        return offset

    def _raise_trouble(self) -> None:
        # librdkafka swallows what a callback raises at some calls; so callbacks leave it here.
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble

    def _raise_if_down(self) -> None:
        """No record came: find out whether brokers can be reached, if that is in doubt."""
        if not self._reasons.down:
            return
        try:
            self._consumer.list_topics(timeout=REQUEST_S / 2)
        except KafkaException as error:
            raise self._clients.translated(kafka_error(error), "reading", self._reasons) from error
        self._reasons.clear()

    # --- partitions -------------------------------------------------------------------------------

    def _places(self, timeout_s: float = REQUEST_S) -> list[Partition]:
        return [
            Partition(name, number)
            for name, count in sorted(self._topics.all(self._patterns.means, timeout_s).items())
            for number in range(count)
        ]

    def _resolved(self, where: int | str | Mapping[Partition, int]) -> dict[Partition, int]:
        if isinstance(where, Mapping):
            for place in where:
                if not self._patterns.means(place.topic):
                    raise ValueError(f"topic {place.topic} is not read here")
            return dict(where)
        places = self._places()
        stable_ends = self._topics.offsets(places, codes.LATEST)
        if where == "end":
            return stable_ends
        # Kafka's times are milliseconds: the first one that is not before `where`.
        spec = OffsetSpec.for_timestamp(-(-int(where) // 1000))
        found = self._topics.offsets(places, spec)
        return {place: at if at >= 0 else stable_ends[place] for place, at in found.items()}

    def _discover(self, timeout_s: float) -> None:
        """Without a group, nobody tells of new partitions: look for them now and then."""
        if self._in_group:
            return
        if time.monotonic() - self._discovered_s < self._config.metadata_refresh_s:
            return
        longest_s = min(REQUEST_S, max(_DISCOVERY_S, timeout_s))
        new = [place for place in self._places(longest_s) if place not in self._assigned]
        if new:
            # Without this the client looks for the leaders only after a second.
            self._consumer.list_topics(timeout=longest_s)
        self._consumer.incremental_assign(
            [_at(place, self._sought.get(place, OFFSET_BEGINNING)) for place in new]
        )
        self._assigned.update(new)
        self._discovered_s = time.monotonic()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            committed = consumer.committed(partitions, timeout=REQUEST_S) if partitions else []
            begin = [self._begin_of(found) for found in committed]
            consumer.incremental_assign(begin)
            if self._paused:
                consumer.pause(begin)
            for found in begin:
                place = Partition(found.topic, found.partition)
                self._assigned.add(place)
                self._read_to.pop(place, None)
                if found.offset >= 0 and place not in self._sought:
                    self._next[place] = self._done[place] = found.offset
        except KafkaException as error:
            doing = "taking over partitions"
            self._trouble = self._clients.translated(kafka_error(error), doing, self._reasons)

    def _begin_of(self, committed: TopicPartition) -> TopicPartition:
        place = Partition(committed.topic, committed.partition)
        offset = committed.offset if committed.offset >= 0 else OFFSET_BEGINNING
        if self._from_beginning:
            offset = OFFSET_BEGINNING
        return _at(place, self._sought.get(place, offset))

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        lost = {Partition(place.topic, place.partition) for place in partitions}
        self._assigned -= lost
        for place in lost:
            self._forget(place)
        self._stash = deque(
            stored
            for stored in self._stash
            if Partition(stored.topic, stored.partition) not in lost
        )
        try:
            consumer.incremental_unassign(partitions)
        except KafkaException as error:
            doing = "giving up partitions"
            self._trouble = self._clients.translated(kafka_error(error), doing, self._reasons)

    def _committed(self, offsets: Mapping[Partition, int]) -> bool:
        """Whether the offsets of partitions that are ours are committed; False: not just now."""
        mine = {
            place: self._behind_markers(place, offset)
            for place, offset in offsets.items()
            if place in self._assigned
        }
        if not mine:
            return True
        try:
            answers = self._consumer.commit(
                offsets=[_at(place, offset) for place, offset in mine.items()], asynchronous=False
            )
        except KafkaException as error:
            if kafka_error(error).code() in codes.REBALANCING:
                return False
            raise
        for answer in answers or []:
            if answer.error is not None:
                if answer.error.code() in codes.REBALANCING:
                    return False
                raise KafkaException(answer.error)
        for place, offset in mine.items():
            self._done[place] = offset
            if offsets[place] == self._next.get(place):
                self._next[place] = offset
            self._sought.pop(place, None)
        return True

    def _forget(self, place: Partition) -> None:
        """What is known of how far a partition was read no longer holds."""
        for known in (self._next, self._done, self._read_to):
            known.pop(place, None)

    @contextmanager
    def _translating(self, doing: str) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise self._clients.translated(kafka_error(error), doing, self._reasons) from error


def _at(place: Partition, offset: int | None = None) -> TopicPartition:
    if offset is None:
        return TopicPartition(place.topic, place.number)
    return TopicPartition(place.topic, place.number, offset)
