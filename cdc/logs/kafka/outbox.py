"""Records on their way to the brokers: bounded in bytes, failures remembered."""

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cdc.errors import CdcError
from cdc.event import Record
from cdc.logs.kafka.client import Clients, left_s
from cdc.logs.kafka.config import Config
from cdc.logs.kafka.failures import Reasons, kafka_error
from cdc.logs.kafka.queueing import Feeder
from cdc.logs.kafka.topics import Topics

SLICE: Final = 256
"""Records between two looks at the clock and at the brokers' answers."""
# The queue is bounded in bytes; librdkafka's largest count keeps its own bound out of the way.
_MESSAGES_MAX: Final = 10_000_000
_WAIT_S: Final = 0.1


class Outbox:
    """One producer and what it could not deliver.

    `flush` returning 0 does not mean delivered: only with no failure heard of it does.
    """

    def __init__(
        self, config: Config, clients: Clients, topics: Topics, properties: dict[str, object]
    ) -> None:
        self._clients = clients
        self.reasons = Reasons()
        self._failed: tuple[KafkaError, str] | None = None
        self._taken = 0
        self.producer: Producer = clients.producer(
            self.reasons,
            {
                "enable.idempotence": True,
                # As Java clients place keys; records without a key go anywhere.
                "partitioner": "murmur2_random",
                "compression.type": config.compression,
                "queue.buffering.max.kbytes": config.queue_bytes_max // 1024,
                "queue.buffering.max.messages": _MESSAGES_MAX,
                "delivery.report.only.error": True,
                "on_delivery": self._not_delivered,
                **properties,
            },
        )
        self._feeder = Feeder(
            self.producer.produce, (BufferError, KafkaException), topics.partitions
        )

    def append(self, records: Sequence[Record], timeout_s: float) -> bool:
        """Queue records in order. False: the queue is full; call again with the same.

        Raises what `raise_failure` raises.
        """
        deadline_s = time.monotonic() + timeout_s
        queued = records if isinstance(records, list) else list(records)
        while self._taken < len(queued):
            stop = min(self._taken + SLICE, len(queued))
            fed = self._feeder.feed(queued, self._taken, stop)
            self._taken = self._feeder.index
            if not fed:
                if not self._queue(queued[self._taken], deadline_s):
                    return False
                self._taken += 1
            self.producer.poll(0)
            self.raise_failure()
            if self._taken < len(queued) and left_s(deadline_s) == 0:
                return False
        self._taken = 0
        return True

    def flush(self, timeout_s: float) -> bool:
        """True: everything queued is in the log. Raises what `raise_failure` raises."""
        left = self.producer.flush(timeout_s)
        self.raise_failure()
        return left == 0

    def raise_failure(self) -> None:
        """Raise the first failure of a record, if there was one: LogRefused, TransientError."""
        if self._failed is not None:
            error, topic = self._failed
            raise self.translated(error, f"writing to topic {topic}")

    def translated(self, error: KafkaError, doing: str) -> CdcError:
        """One of our errors for one of the producer's."""
        # A client that is done for says why only to its callback.
        self.producer.poll(0)
        return self._clients.translated(error, doing, self.reasons)

    def first_failure(self) -> tuple[KafkaError, str] | None:
        """The first record that was refused, and its topic, after hearing what there is to hear."""
        self.producer.poll(0)
        return self._failed

    def close(self) -> None:
        """Drop what is queued. The producer ends with its last reference, waiting for nothing."""
        self.producer.purge()

    def _queue(self, record: Record, deadline_s: float) -> bool:
        """Queue the record that the feeder could not, waiting for room; False without room."""
        while True:
            try:
                self.producer.produce(
                    record.topic.name,
                    value=record.value,
                    key=record.key,
                    partition=self._feeder.partition(record),
                    headers=record.all_headers(),  # type: ignore[arg-type] # lists are invariant
                )
            except BufferError:
                remaining_s = left_s(deadline_s)
                # Callbacks of failures are served here; room comes as brokers answer.
                self.producer.poll(min(_WAIT_S, remaining_s))
                self.raise_failure()
                if remaining_s == 0:
                    return False
            except KafkaException as error:
                self.raise_failure()
                raise self.translated(
                    kafka_error(error), f"writing to topic {record.topic.name}"
                ) from error
            else:
                return True

    def _not_delivered(self, error: KafkaError | None, message: Message) -> None:
        # The first is the cause; what follows is purged because of it.
        if error is not None and self._failed is None:
            self._failed = (error, message.topic() or "")
