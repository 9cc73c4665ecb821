# ruff: noqa: SLF001 - librdkafka's own codes begin with an underscore in this client
"""Kafka's error codes by what they mean here, and the offsets one can ask for."""

from typing import Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import OffsetSpec

TIMED_OUT: Final = KafkaError._TIMED_OUT
TRANSPORT: Final = KafkaError._TRANSPORT
ALL_BROKERS_DOWN: Final = KafkaError._ALL_BROKERS_DOWN
PARTITION_EOF: Final = KafkaError._PARTITION_EOF
AUTO_OFFSET_RESET: Final = KafkaError._AUTO_OFFSET_RESET
SSL: Final = KafkaError._SSL

FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}
)
CREDENTIALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
RIGHTS: Final[dict[int, str]] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "Read, Write, Describe and Create on the topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Read and Delete on the consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "IdempotentWrite and Create on the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Write and Describe on the transactional id",
}
TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
REFUSED: Final = frozenset(
    {
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNKNOWN_PARTITION,
    }
)
UNREACHABLE: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._ALL_BROKERS_DOWN}
)
VAGUE: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._FATAL,
    }
)
"""What a call ends with, whatever the reason: no broker answers, or the client is done for."""
STRENGTH: Final = (
    *sorted(FENCED),
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._SSL,
    KafkaError._RESOLVE,
    KafkaError._TRANSPORT,
)
"""The strongest first: what comes with a wrong password is also "all brokers down"."""
PASSING: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._PARTITION_EOF,
    }
)
"""What heals by itself for a reader: a topic that does not exist yet, a group to join again."""
REBALANCING: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)

LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
