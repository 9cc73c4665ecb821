"""Settings of the Kafka log. Imports no client library, so that they can be read without it."""

from typing import Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    field_validator,
)

from cdc.secret import Secret

MIB: Final = 1 << 20

OWNED: Final[dict[str, str]] = {
    "bootstrap.servers": "bootstrap_servers",
    "metadata.broker.list": "bootstrap_servers",
    "transactional.id": "its own name of pipeline and source",
    "transaction.timeout.ms": "transaction_timeout_s",
    "enable.idempotence": "delivery",
    "acks": "delivery",
    "request.required.acks": "delivery",
    "partitioner": "the partitioner of Java clients",
    "queue.buffering.max.kbytes": "queue_bytes_max",
    "queue.buffering.max.messages": "queue_bytes_max",
    "compression.type": "compression",
    "compression.codec": "compression",
    "delivery.report.only.error": "the way it counts deliveries",
    "dr_cb": "the way it counts deliveries",
    "dr_msg_cb": "the way it counts deliveries",
    "on_delivery": "the way it counts deliveries",
    "error_cb": "the way it reports errors",
    "group.id": "group_prefix",
    "isolation.level": "delivery",
    "enable.auto.commit": "the way it commits offsets",
    "auto.commit.enable": "the way it commits offsets",
    "enable.auto.offset.store": "the way it commits offsets",
    "auto.offset.reset": "the way it begins to read",
    "enable.partition.eof": "the way it reads",
    "partition.assignment.strategy": "the way it shares partitions",
    "allow.auto.create.topics": "topics.create",
    "topic.metadata.refresh.interval.ms": "metadata_refresh_s",
}
"""librdkafka properties that Tidewire sets itself, each with what decides it."""

ClientValue = StrictBool | StrictInt | StrictFloat | Secret


class TopicsConfig(BaseModel):
    """How topics are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    create: bool = Field(
        default=True, description="Whether missing topics are made; else they are an error."
    )
    partitions: int = Field(
        default=6,
        ge=1,
        le=10_000,
        description="Partitions of a new topic. Existing topics keep theirs. "
        "Changing the number of an existing topic breaks the order of its keys.",
    )
    replication_factor: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Replicas of a new topic's partitions; the cluster's default when not set.",
    )
    cleanup_policy: Literal["compact", "delete", "compact,delete"] = Field(
        default="compact",
        description="Clean-up of new topics of tables with a key. "
        "Tables without one always get `delete`, because compaction refuses records without a key.",
    )
    config: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="Other settings of new topics in Kafka's names, for example `retention.ms`.",
    )

    @field_validator("config")
    @classmethod
    def _no_policy(cls, value: dict[str, object]) -> dict[str, object]:
        if "cleanup.policy" in value:
            raise ValueError("cleanup.policy is set by topics.cleanup_policy")
        return value


class Config(BaseModel):
    """Settings of the Kafka log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field(
        min_length=1, description="Brokers to begin with, as host:port, separated by commas."
    )
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        default="exactly_once",
        description="exactly_once writes records and position in one Kafka transaction; "
        "at_least_once does without transactions and may repeat records after a failure.",
    )
    client: dict[str, ClientValue] = Field(
        default_factory=dict,
        description="Any librdkafka property, passed through to producers and consumers, for "
        "example `security.protocol`. Text is treated as a secret and never printed.",
    )
    topics: TopicsConfig = Field(default=TopicsConfig(), description="How topics are made.")
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "lz4", description="Compression of records on the way and in the broker."
    )
    queue_bytes_max: int = Field(
        default=64 * MIB,
        ge=MIB,
        le=2048 * MIB,
        description="How many bytes of records may wait in memory for the brokers.",
    )
    transaction_timeout_s: float = Field(
        default=600.0,
        ge=1,
        le=900,
        description="After this time without a commit the cluster gives a transaction up. "
        "Brokers that stand still for less than that cost the source nothing. "
        "At most the brokers' transaction.max.timeout.ms.",
    )
    open_timeout_s: float = Field(
        60.0, ge=1, le=600, description="How long opening waits for the cluster before it fails."
    )
    metadata_refresh_s: float = Field(
        2.0, ge=0.1, le=300, description="How often readers look for new topics and partitions."
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        le=300,
        description="After this time without a sign of life the group gives a reader's partitions "
        "to others. The brokers bound it (group.min.session.timeout.ms, usually 6 s).",
    )
    group_prefix: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="What the names of consumer groups begin with; `cdc.<pipeline>.` when not set.",
    )

    @field_validator("client")
    @classmethod
    def _not_owned(cls, value: dict[str, ClientValue]) -> dict[str, ClientValue]:
        for name in value:
            if name in OWNED:
                raise ValueError(f"{name} cannot be set here: Tidewire sets it by {OWNED[name]}")
        return value
