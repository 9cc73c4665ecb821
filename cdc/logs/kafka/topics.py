"""Topics of the cluster: found, made as configured, listed. Never made by a broker on its own."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from cdc.errors import LogRefused, TransientError
from cdc.event import Topic
from cdc.logs.kafka.client import REQUEST_S, Clients, left_s
from cdc.logs.kafka.config import TopicsConfig
from cdc.logs.kafka.failures import Reasons, kafka_error
from cdc.protocols import Partition

T = TypeVar("T")

_MADE_S: Final = 20.0
_LOOK_S: Final = 0.05
# What a new internal topic takes from topics.config: durability and size, not retention.
_INTERNAL_SETTINGS: Final = ("min.insync.replicas", "max.message.bytes", "compression.type")


class Topics:
    """What the cluster says about topics. Holds one admin client."""

    def __init__(self, clients: Clients, config: TopicsConfig) -> None:
        self._clients = clients
        self._config = config
        self.reasons = Reasons()
        self.admin: AdminClient = clients.admin(self.reasons)
        self._counts: dict[str, int] = {}

    def partitions(self, topic: Topic) -> int:
        """How many partitions it has; makes it when it does not exist and that is allowed.

        Raises LogRefused, TransientError.
        """
        known = self._counts.get(topic.name)
        if known is not None:
            return known
        count = self.find(topic.name)
        if count is None:
            self._make(topic)
            count = self._wait_for(topic.name)
        self._counts[topic.name] = count
        return count

    def find(self, name: str) -> int | None:
        """How many partitions it has, None when it does not exist. Never makes it."""
        described = self.admin.describe_topics(TopicCollection([name]), request_timeout=REQUEST_S)
        try:
            return len(described[name].result(REQUEST_S + 1).partitions)
        except KafkaException as error:
            if kafka_error(error).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise self._failed(error, f"looking for topic {name}") from error

    def all(self, means: Callable[[str], bool], timeout_s: float = REQUEST_S) -> dict[str, int]:
        """Topics with such names and how many partitions each has."""
        try:
            metadata = self.admin.list_topics(timeout=timeout_s)
        except KafkaException as error:
            self.admin.poll(0)
            raise self._failed(error, "listing topics") from error
        return {
            name: len(topic.partitions)
            for name, topic in metadata.topics.items()
            if means(name) and topic.error is None
        }

    def offsets(
        self,
        partitions: Iterable[Partition],
        spec: OffsetSpec,
        *,
        committed: bool = True,
    ) -> dict[Partition, int]:
        """An offset of each partition; with `committed`, ends are before open transactions."""
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        asked = {TopicPartition(place.topic, place.number): spec for place in partitions}
        if not asked:
            return {}
        found: dict[Partition, int] = {}
        answers = self.admin.list_offsets(asked, isolation_level=level, request_timeout=REQUEST_S)
        for place, answer in answers.items():
            try:
                offset = answer.result(REQUEST_S + 1).offset
            except KafkaException as error:
                raise self._failed(error, f"asking for offsets of {place.topic}") from error
            found[Partition(place.topic, place.partition)] = offset
        return found

    def policies(self, names: Iterable[str]) -> dict[str, str]:
        """The clean-up policy of each topic."""
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        if not resources:
            return {}
        found: dict[str, str] = {}
        answers = self.admin.describe_configs(resources, request_timeout=REQUEST_S)
        for resource, answer in answers.items():
            try:
                found[resource.name] = answer.result(REQUEST_S + 1)["cleanup.policy"].value
            except KafkaException as error:
                raise self._failed(error, f"reading the settings of {resource.name}") from error
        return found

    def settings(self, topic: Topic) -> Mapping[str, str]:
        """The settings that a new topic gets."""
        given = {name: _spelled(value) for name, value in self._config.config.items()}
        if topic.internal:
            given = {name: given[name] for name in _INTERNAL_SETTINGS if name in given}
            return {"cleanup.policy": "compact" if topic.compacted else "delete", **given}
        policy = self._config.cleanup_policy if topic.compacted else "delete"
        return {"cleanup.policy": policy, **given}

    def _make(self, topic: Topic) -> None:
        count = 1 if topic.internal else self._config.partitions
        factor = self._config.replication_factor
        settings = dict(self.settings(topic))
        if not self._config.create:
            wanted = ", ".join(f"{name}={value}" for name, value in settings.items())
            raise LogRefused(
                f"topic {topic.name} does not exist, and topics.create is false",
                hint=f"Create it with {count} partition{'s' if count > 1 else ''} and {wanted}.",
            )
        # -1 is the cluster's default (KIP-464).
        new = NewTopic(
            topic.name,
            num_partitions=count,
            replication_factor=-1 if factor is None else factor,
            config=settings,
        )
        answer = self.admin.create_topics([new], request_timeout=REQUEST_S)[topic.name]
        try:
            answer.result(REQUEST_S + 1)
        except KafkaException as error:
            # Another worker of this pipeline may have been quicker.
            if kafka_error(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._failed(error, f"creating topic {topic.name}") from error

    def _wait_for(self, name: str) -> int:
        """Brokers hear of a new topic a moment after it was made."""
        deadline_s = time.monotonic() + _MADE_S
        while (count := self.find(name)) is None:
            if left_s(deadline_s) == 0:
                raise TransientError(f"topic {name} was created but no broker knows it yet")
            time.sleep(_LOOK_S)
        return count

    def _failed(self, error: KafkaException, doing: str) -> Exception:
        self.admin.poll(0)
        return self._clients.translated(kafka_error(error), doing, self.reasons)


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
