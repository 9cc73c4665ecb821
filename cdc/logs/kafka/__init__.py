"""The Kafka log: topics, transactions and consumer groups of a Kafka cluster."""

from typing import TYPE_CHECKING

from cdc.errors import MissingExtra
from cdc.logs.kafka.config import Config
from cdc.protocols import LogContext

if TYPE_CHECKING:
    from cdc.logs.kafka.log import KafkaLog

__all__ = ["Config", "create"]


def create(config: Config, context: LogContext) -> "KafkaLog":
    """The Kafka log of this pipeline; connects to nothing yet.

    Raises MissingExtra without the client library, ConfigError for names that Kafka does not take.
    """
    try:
        from cdc.logs.kafka.log import KafkaLog  # noqa: PLC0415 - the settings are read without it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "confluent_kafka":
            raise
        raise MissingExtra('log type "kafka"', "kafka") from error
    return KafkaLog(config, context)
