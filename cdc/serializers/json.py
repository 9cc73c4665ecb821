"""`format: {type: json}`: Debezium's envelope as JSON."""

from collections.abc import Callable

from cdc.protocols import Schemas, Serializer
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options as Config

__all__ = ["Config", "create"]


def create(
    config: Config,
    identity: SourceIdentity,
    schemas: Schemas | None,
    *,
    compacts: bool,
    pipeline: str,
    clock_us: Callable[[], int],
) -> Serializer:
    """The serializer of one source, or of one sink that reads what it wrote."""
    return DebeziumJson(
        identity, config, schemas, compacts=compacts, pipeline=pipeline, clock_us=clock_us
    )
