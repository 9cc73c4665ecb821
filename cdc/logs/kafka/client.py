"""Making Kafka clients from the settings."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from cdc.errors import CdcError, ConfigError
from cdc.logs.kafka import failures
from cdc.logs.kafka.config import Config
from cdc.logs.kafka.failures import Reasons

logger = logging.getLogger(__name__)

T = TypeVar("T")


class _Quiet:
    """Where librdkafka's own log lines go: what matters in them is raised or found by a check."""

    def log(self, level: int, text: str, *values: object) -> None:
        """Take one line of theirs; called while a client is polled."""
        del level
        logger.debug(text, *values)


REQUEST_S: Final = 10.0
"""The longest wait for one answer about topics, offsets or groups."""

# A commit sends what waits at once. Between commits, a batch that has lingered while the one before
# it is still on its way makes librdkafka's thread look again and again until the answer comes: a
# third of a core under load. Only full batches do so when the others may wait.
_LINGER_MS: Final = 100

# librdkafka warns about properties of the other kind of client. Source: its CONFIGURATION.md.
_PRODUCER_ONLY: Final = (
    "acks", "batch.", "client.dns", "delivery.", "linger.", "message.send.", "message.timeout.",
    "queue.buffering.", "queuing.strategy", "request.timeout.", "retries", "retry.", "sticky.",
    "compression.", "enable.gapless",
)  # fmt: skip
_CONSUMER_ONLY: Final = (
    "fetch.", "queued.", "session.", "heartbeat.", "max.poll.", "group.", "check.crcs",
    "coordinator.query", "consume.", "receive.message.fetch",
)  # fmt: skip
_SHARED: Final = ("client.dns", "retry.backoff")


class Clients:
    """Makes the clients of one log from its settings."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def admin(self, reasons: Reasons) -> AdminClient:
        """A client for topics, offsets and groups. Raises ConfigError."""
        return _made(lambda: AdminClient(self._properties(reasons, ()), logger=_Quiet()))

    def producer(self, reasons: Reasons, properties: Mapping[str, Any]) -> Producer:
        """A producer with these properties of ours over the user's. Raises ConfigError."""
        merged = {
            "linger.ms": _LINGER_MS,
            **self._properties(reasons, _CONSUMER_ONLY),
            **properties,
        }
        return _made(lambda: Producer(merged, logger=_Quiet()))

    def consumer(self, reasons: Reasons, properties: Mapping[str, Any]) -> Consumer:
        """A consumer with these properties of ours over the user's. Raises ConfigError."""
        merged = {**self._properties(reasons, _PRODUCER_ONLY), **properties}
        return _made(lambda: Consumer(merged, logger=_Quiet()))

    def translated(self, error: KafkaError, doing: str, reasons: Reasons) -> CdcError:
        """One of our errors for one of Kafka's. `doing` says what failed and on what."""
        return failures.translated(error, doing, self._config.bootstrap_servers, reasons)

    def _properties(self, reasons: Reasons, other_kind: tuple[str, ...]) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for name, value in self._config.client.items():
            if name.startswith(other_kind) and not name.startswith(_SHARED):
                continue
            properties[name] = value if isinstance(value, (bool, int, float)) else value.reveal()
        properties["bootstrap.servers"] = self._config.bootstrap_servers
        properties["error_cb"] = reasons.hear
        return properties


def _made(make: Callable[[], T]) -> T:
    try:
        return make()
    except KafkaException as error:
        inner = failures.kafka_error(error)
        raise ConfigError(f"log.client: {failures.described(inner)}") from error


def left_s(deadline_s: float) -> float:
    """Seconds until a moment of the monotonic clock, at least 0."""
    return max(0.0, deadline_s - time.monotonic())
