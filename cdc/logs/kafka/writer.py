"""The writers: exactly once by Kafka transactions, or at least once without them."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from confluent_kafka import KafkaException

from cdc.checkpoint import Checkpoint
from cdc.errors import CdcError, Fenced, TransientError
from cdc.event import Record, Topic
from cdc.logs.kafka import checkpoints
from cdc.logs.kafka.client import REQUEST_S, Clients, left_s
from cdc.logs.kafka.config import Config
from cdc.logs.kafka.failures import kafka_error
from cdc.logs.kafka.outbox import Outbox
from cdc.logs.kafka.topics import Topics

logger = logging.getLogger(__name__)

POSITION: Final = "position"
"""The part that says where to resume: at least once writes it last."""
_CLOSE_S: Final = 3.0
_INIT_S: Final = 5.0


class KafkaWriter:
    """Satisfies LogWriter, exactly once or at least once as configured.

    Exactly once: records and changed checkpoint parts are one Kafka transaction. Older writers of
    the same source are fenced by `open`.
    At least once: an idempotent producer. Records are readable before `commit`; nobody is fenced,
    so that only the source's lease keeps a second writer out.
    """

    def __init__(self, config: Config, clients: Clients, pipeline: str, source: str) -> None:
        self.exactly_once = config.delivery == "exactly_once"
        self._config = config
        self._clients = clients
        self._pipeline = pipeline
        self._source = source
        self._checkpoints = checkpoints.topic_of(pipeline, source)
        self._outbox: Outbox | None = None
        self._topics: Topics | None = None
        self._failure: CdcError | None = None
        self._closed = False
        self._begun_s: float | None = None
        self._step: Literal["records", "parts", "position"] = "records"
        self._parts_queued = False

    def open(self) -> Checkpoint | None:
        """Fence, then read the checkpoint.

        Raises TransientError when the cluster cannot be reached in open_timeout_s, LogRefused when
        it refuses, ConfigError for a wrong client property.
        """
        if self._outbox is not None or self._closed:
            raise RuntimeError("a writer is opened once")
        deadline_s = time.monotonic() + self._config.open_timeout_s
        topics = self._topics = Topics(self._clients, self._config.topics)
        # Also the first word with the cluster: an error here has its real reason.
        topics.all(lambda _: False, min(REQUEST_S, self._config.open_timeout_s))
        topics.partitions(self._checkpoints)
        properties: dict[str, object] = {}
        if self.exactly_once:
            properties = {
                "transactional.id": f"cdc.{self._pipeline}.{self._source}",
                "transaction.timeout.ms": int(self._config.transaction_timeout_s * 1000),
            }
        self._outbox = Outbox(self._config, self._clients, topics, properties)
        if self.exactly_once:
            self._fence(self._outbox, deadline_s)
        parts = checkpoints.read(self._clients, topics, self._checkpoints.name, deadline_s)
        return Checkpoint(parts) if parts else None

    def partitions(self, topic: Topic) -> int:
        """As the cluster says; a missing topic is made as configured."""
        self._usable()
        assert self._topics is not None
        return self._topics.partitions(topic)

    def append(self, records: Sequence[Record], timeout_s: float) -> bool:
        """Queue records; False while the queue is full of what brokers have not taken."""
        outbox = self._usable()
        with self._failing("writing records"):
            self._begin(outbox)
            return outbox.append(records, timeout_s)

    def commit(self, checkpoint: Checkpoint, timeout_s: float) -> bool:
        """Write the parts and finish; False when the brokers need longer than `timeout_s`."""
        outbox = self._usable()
        deadline_s = time.monotonic() + timeout_s
        with self._failing(f"committing the checkpoint of source {self._source}"):
            if self.exactly_once:
                return self._commit_transaction(outbox, checkpoint, deadline_s)
            return self._commit_in_steps(outbox, checkpoint, deadline_s)

    def close(self) -> None:
        """Abort what is open, end the producer. Repeatable."""
        self._closed = True
        outbox, self._outbox = self._outbox, None
        if outbox is None:
            return
        if self._begun_s is not None and self._failure is None:
            try:
                outbox.producer.purge()
                outbox.producer.abort_transaction(_CLOSE_S)
            except KafkaException as error:
                # The next writer's `open` aborts it, or the cluster after the transaction timeout.
                logger.info("the last transaction of %s was left open: %s", self._source, error)
        outbox.close()

    # --- exactly once -----------------------------------------------------------------------------

    def _fence(self, outbox: Outbox, deadline_s: float) -> None:
        while True:
            try:
                outbox.producer.init_transactions(min(_INIT_S, left_s(deadline_s)))
            except KafkaException as error:
                inner = kafka_error(error)
                outbox.producer.poll(0)
                if not inner.retriable() or left_s(deadline_s) == 0:
                    doing = f"opening the transactional writer of source {self._source}"
                    raise outbox.translated(inner, doing) from error
            else:
                return

    def _begin(self, outbox: Outbox) -> None:
        if self.exactly_once and self._begun_s is None:
            outbox.producer.begin_transaction()
            self._begun_s = time.monotonic()

    def _commit_transaction(
        self, outbox: Outbox, checkpoint: Checkpoint, deadline_s: float
    ) -> bool:
        if self._begun_s is None and not checkpoint.parts:
            return True
        self._begin(outbox)
        if not self._parts_queued:
            if not outbox.append(self._records(checkpoint.parts), left_s(deadline_s)):
                return False
            self._parts_queued = True
        try:
            outbox.producer.commit_transaction(left_s(deadline_s))
        except KafkaException as error:
            # Retriable: still on its way; called again, librdkafka goes on with the same commit.
            if kafka_error(error).retriable():
                outbox.producer.poll(0)
                return False
            raise
        self._begun_s = None
        self._parts_queued = False
        outbox.reasons.clear()
        return True

    # --- at least once ----------------------------------------------------------------------------

    def _commit_in_steps(self, outbox: Outbox, checkpoint: Checkpoint, deadline_s: float) -> bool:
        """Records, then parts, then the position part: each only when what is before is durable."""
        position = {name: part for name, part in checkpoint.parts.items() if name == POSITION}
        others = {name: part for name, part in checkpoint.parts.items() if name != POSITION}
        if self._step == "records":
            if not outbox.flush(left_s(deadline_s)):
                return False
            self._step = "parts"
        if self._step == "parts":
            if not self._written(outbox, others, deadline_s):
                return False
            self._step = "position"
        if not self._written(outbox, position, deadline_s):
            return False
        self._step = "records"
        outbox.reasons.clear()
        return True

    def _written(
        self, outbox: Outbox, parts: Mapping[str, bytes | None], deadline_s: float
    ) -> bool:
        if not self._parts_queued:
            if not outbox.append(self._records(parts), left_s(deadline_s)):
                return False
            self._parts_queued = True
        if not outbox.flush(left_s(deadline_s)):
            return False
        self._parts_queued = False
        return True

    # --- both -------------------------------------------------------------------------------------

    def _records(self, parts: Mapping[str, bytes | None]) -> list[Record]:
        return [
            Record(self._checkpoints, name.encode(), part, partition=0)
            for name, part in parts.items()
        ]

    def _usable(self) -> Outbox:
        if self._failure is not None:
            raise self._failure
        if self._outbox is None:
            raise RuntimeError("the writer is not open")
        return self._outbox

    @contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        """Makes the writer unusable after an error, which is named by its first cause."""
        try:
            yield
        except KafkaException as error:
            assert self._outbox is not None
            failure = self._outbox.translated(kafka_error(error), doing)
            # A refused record aborts the transaction: the record's own error says more.
            refused = self._outbox.first_failure()
            if refused is not None and not isinstance(failure, Fenced):
                failure = self._outbox.translated(refused[0], f"writing to topic {refused[1]}")
            self._failure = self._own_timeout(failure)
            raise self._failure from error
        except CdcError as error:
            self._failure = self._own_timeout(error)
            raise self._failure from error

    def _own_timeout(self, failure: CdcError) -> CdcError:
        """A transaction that took too long is fenced by the cluster itself, not by a writer.

        If it was another writer after all, the source's lease keeps this one out when it tries to
        open again.
        """
        if not isinstance(failure, Fenced) or self._begun_s is None:
            return failure
        open_s = time.monotonic() - self._begun_s
        if open_s < self._config.transaction_timeout_s:
            return failure
        return TransientError(
            f"the cluster gave up a transaction of source {self._source} that was open for "
            f"{open_s:.0f} s",
            hint="Raise log.transaction_timeout_s if the brokers are often that slow.",
        )
