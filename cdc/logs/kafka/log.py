"""The Kafka log as a whole: makes writers and readers, answers questions about itself."""

import re
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from cdc.errors import ConfigError, TransientError
from cdc.logs.globs import HEARTBEATS, INTERNAL_PREFIX
from cdc.logs.kafka import check, codes
from cdc.logs.kafka.client import REQUEST_S, Clients
from cdc.logs.kafka.config import Config
from cdc.logs.kafka.failures import kafka_error
from cdc.logs.kafka.reader import KafkaReader
from cdc.logs.kafka.topics import Topics
from cdc.logs.kafka.writer import KafkaWriter
from cdc.protocols import Finding, LogContext, Partition, TopicInfo

# Source: Kafka, org.apache.kafka.common.internals.Topic.
_LEGAL: Final = re.compile(r"[A-Za-z0-9._-]+")


class KafkaLog:
    """Satisfies Log. Connects when it is asked something, not before."""

    def __init__(self, config: Config, context: LogContext) -> None:
        _refuse_illegal("pipeline", context.pipeline)
        self._config = config
        self._pipeline = context.pipeline
        self._clients = Clients(config)
        self._internal = f"__cdc.{context.pipeline}."
        self.compacts = "compact" in config.topics.cleanup_policy

    def writer(self, source: str) -> KafkaWriter:
        """A writer for this source; opens nothing yet. Raises ConfigError for its name."""
        _refuse_illegal("source", source)
        return KafkaWriter(self._config, self._clients, self._pipeline, source)

    def reader(self, topics: Sequence[str], group: str | None) -> KafkaReader:
        """A reader; its consumer group is the prefix and `group`. Connects in the background."""
        name = f"{self._internal}reader" if group is None else self._group(group)
        return KafkaReader(self._config, self._clients, topics, group, name)

    def topics(self) -> list[TopicInfo]:
        """Every topic that this user sees, without those of Kafka and of other pipelines.

        `records` are offsets in use: it counts what compaction took and transactions' markers.
        """
        topics = Topics(self._clients, self._config.topics)
        counts = topics.all(
            lambda name: (
                name.startswith((self._internal, HEARTBEATS))
                or not name.startswith(INTERNAL_PREFIX)
            )
        )
        places = [
            Partition(name, number) for name, count in counts.items() for number in range(count)
        ]
        starts = topics.offsets(places, codes.EARLIEST)
        ends = topics.offsets(places, codes.LATEST)
        policies = topics.policies(counts)
        return [
            TopicInfo(
                name,
                count,
                sum(
                    ends[place] - starts[place]
                    for place in (Partition(name, number) for number in range(count))
                ),
                None,
                "compact" in policies[name],
            )
            for name, count in sorted(counts.items())
        ]

    def forget(self, group: str) -> None:
        """Delete the consumer group. Raises TransientError while it has members."""
        topics = Topics(self._clients, self._config.topics)
        name = self._group(group)
        answer = topics.admin.delete_consumer_groups([name], request_timeout=REQUEST_S)[name]
        try:
            answer.result(REQUEST_S + 1)
        except KafkaException as error:
            inner = kafka_error(error)
            if inner.code() == KafkaError.GROUP_ID_NOT_FOUND:
                return
            if inner.code() == KafkaError.NON_EMPTY_GROUP:
                raise TransientError(
                    f"consumer group {name} has members",
                    hint="Stop the sink that reads as this group first; a killed one counts as a "
                    "member until its session times out.",
                ) from error
            topics.admin.poll(0)
            doing = f"deleting consumer group {name}"
            raise self._clients.translated(inner, doing, topics.reasons) from error

    def check(self) -> list[Finding]:
        """Reachable, replication, rights, transactions."""
        return check.findings(self._config, self._clients)

    def _group(self, group: str) -> str:
        prefix = self._config.group_prefix
        return f"{f'cdc.{self._pipeline}.' if prefix is None else prefix}{group}"


def _refuse_illegal(what: str, name: str) -> None:
    if not _LEGAL.fullmatch(name):
        raise ConfigError(
            f"the {what} name {name!r} cannot be part of a Kafka topic's name",
            hint="Use letters, digits, dots, underscores and hyphens only.",
        )
