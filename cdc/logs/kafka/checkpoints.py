"""The topic that holds a source's checkpoint: key = part name, no value = part gone."""

import time
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from cdc.errors import TransientError
from cdc.event import Topic
from cdc.logs.kafka import codes
from cdc.logs.kafka.client import REQUEST_S, Clients, left_s
from cdc.logs.kafka.failures import Reasons, kafka_error
from cdc.logs.kafka.topics import Topics
from cdc.protocols import Partition

_LOOK_S: Final = 0.05
_POLL_S: Final = 0.05
_END_MS: Final = 20
_MESSAGES: Final = 1000


def topic_of(pipeline: str, source: str) -> Topic:
    """The checkpoint topic: one partition, compacted."""
    return Topic(f"__cdc.{pipeline}.checkpoints.{source}", compacted=True, internal=True)


def read(clients: Clients, topics: Topics, name: str, deadline_s: float) -> dict[str, bytes]:
    """Every part that is committed.

    Waits until no transaction is open on the topic: what a dead writer left is aborted or committed
    by then. Raises TransientError when that takes too long, LogRefused.
    """
    end = _stable_end(topics, name, deadline_s)
    reasons = Reasons()
    consumer = clients.consumer(
        reasons,
        {
            # A group must be named; this one is never joined and commits nothing.
            "group.id": name,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            # The broker answers at the end of the topic only after this time.
            "fetch.wait.max.ms": _END_MS,
        },
    )
    parts: dict[str, bytes] = {}
    doing = f"reading the checkpoint in {name}"
    try:
        # Without this the client looks for the leader only after a second.
        consumer.list_topics(name, timeout=min(REQUEST_S, left_s(deadline_s)))
        consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
        while True:
            # Control records have offsets too: only the partition's end tells that all is read.
            for message in consumer.consume(_MESSAGES, min(_POLL_S, left_s(deadline_s))):
                error = message.error()
                if error is not None and error.code() == codes.PARTITION_EOF:
                    if (message.offset() or 0) >= end:
                        return parts
                elif error is not None:
                    raise clients.translated(error, doing, reasons)
                else:
                    _apply(parts, message.key(), message.value())
            if left_s(deadline_s) == 0:
                timed_out = KafkaError(codes.TIMED_OUT, "no end within open_timeout_s")
                raise clients.translated(timed_out, doing, reasons)
    except KafkaException as error:
        raise clients.translated(kafka_error(error), doing, reasons) from error
    finally:
        consumer.close()


def _apply(parts: dict[str, bytes], key: bytes | str | None, value: bytes | str | None) -> None:
    if not isinstance(key, bytes):
        return
    if isinstance(value, bytes):
        parts[key.decode()] = value
    else:
        parts.pop(key.decode(), None)


def _stable_end(topics: Topics, name: str, deadline_s: float) -> int:
    """The end of the topic, once no transaction is open on it."""
    place = Partition(name, 0)
    while True:
        stable = topics.offsets([place], codes.LATEST)[place]
        high = topics.offsets([place], codes.LATEST, committed=False)[place]
        if stable == high:
            return high
        if left_s(deadline_s) == 0:
            raise TransientError(
                f"a transaction of an earlier writer is still open on {name}",
                hint="It ends at the latest after that writer's transaction_timeout_s.",
            )
        time.sleep(_LOOK_S)
