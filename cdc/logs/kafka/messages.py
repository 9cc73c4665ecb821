"""A message of a Kafka consumer as a record of the log."""

from confluent_kafka import Message

from cdc.event import Stored
from cdc.protocols import Partition


def stored_of(message: Message, place: Partition, offset: int) -> Stored:
    """The record at this place; `message` has no error."""
    key, value = message.key(), message.value()
    _, timestamp_ms = message.timestamp()
    return Stored(
        *place,
        offset,
        key if isinstance(key, bytes) else None,
        value if isinstance(value, bytes) else None,
        _headers(message),
        timestamp_ms * 1000,
    )


def _headers(message: Message) -> tuple[tuple[str, bytes], ...]:
    found = message.headers()
    if not found:
        return ()
    pairs = found.items() if isinstance(found, dict) else found
    return tuple(
        (name, value if isinstance(value, bytes) else (value or "").encode())
        for name, value in pairs
    )
