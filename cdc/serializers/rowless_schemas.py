"""Connect schemas and topics of records that are no rows: messages, transactions, heartbeats."""

from dataclasses import replace
from typing import Final

from cdc.serializers.connect import Connect
from cdc.serializers.envelope import (
    LONG,
    OPTIONAL_LONG,
    OPTIONAL_STRING,
    STRING,
    TRANSACTION_BLOCK,
    source_schema,
)

MESSAGES: Final = "message"
"""End of the topic of logical messages, and what transactions call them in their counts."""

_COMMON: Final = "io.debezium.connector.common"


def message_topic(prefix: str) -> str:
    """The topic of logical decoding messages."""
    return f"{prefix}.{MESSAGES}"


def transaction_topic(prefix: str) -> str:
    """The topic of begins and ends of transactions."""
    return f"{prefix}.transaction"


def heartbeat_topic(prefix: str) -> str:
    """The topic of heartbeats."""
    return f"__debezium-heartbeat.{prefix}"


def message_key_schema(connector: str) -> Connect:
    """The key of a logical message."""
    name = f"io.debezium.connector.{connector}.MessageKey"
    return Connect("struct", name=name, version=1, fields=(("prefix", OPTIONAL_STRING),))


def message_value_schema(connector: str, content: Connect) -> Connect:
    """The value of a logical message; `content` is how binary columns are written."""
    message = Connect(
        "struct",
        name=f"io.debezium.connector.{connector}.Message",
        version=1,
        fields=(("prefix", OPTIONAL_STRING), ("content", replace(content, optional=True))),
    )
    return Connect(
        "struct",
        name=f"io.debezium.connector.{connector}.MessageValue",
        version=1,
        fields=(
            ("op", STRING),
            ("ts_ms", OPTIONAL_LONG),
            ("source", source_schema(connector)),
            ("transaction", TRANSACTION_BLOCK),
            ("message", message),
        ),
    )


TRANSACTION_KEY: Final = Connect(
    "struct", name=f"{_COMMON}.TransactionMetadataKey", version=1, fields=(("id", STRING),)
)

_COLLECTION: Final = Connect(
    "struct",
    optional=True,
    name="event.collection",
    version=1,
    fields=(("data_collection", STRING), ("event_count", LONG)),
)

TRANSACTION_VALUE: Final = Connect(
    "struct",
    name=f"{_COMMON}.TransactionMetadataValue",
    version=1,
    fields=(
        ("status", STRING),
        ("id", STRING),
        ("event_count", OPTIONAL_LONG),
        ("data_collections", Connect("array", optional=True, items=_COLLECTION)),
        ("ts_ms", LONG),
    ),
)

HEARTBEAT_KEY: Final = Connect(
    "struct", name=f"{_COMMON}.ServerNameKey", version=1, fields=(("serverName", STRING),)
)

HEARTBEAT_VALUE: Final = Connect(
    "struct", name=f"{_COMMON}.Heartbeat", version=1, fields=(("ts_ms", LONG),)
)
