"""What it takes to write one logical type: its Connect schema and its values both ways."""

from collections.abc import Callable
from dataclasses import dataclass

from cdc.errors import DecodeError
from cdc.serializers.connect import Connect
from cdc.serializers.decimals import Unrepresentable

Convert = Callable[[object], object]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Mapping:
    """How one logical type is written.

    `schema` is required and has no default. `write` turns a logical value into a Connect value and
    `read` back; None: they are the same. `write` raises Unrepresentable. `zero` is the Connect
    value that stands for a NOT NULL value that was not sent in a delete, `unavailable` the one for
    a value that did not change, None when the type has none. `unknown`: Debezium has no encoding
    for the type, and leaves such columns out.
    """

    schema: Connect
    zero: object
    write: Convert | None = None
    read: Convert | None = None
    unavailable: object = None
    unknown: bool = False


def named(type_: str, name: str, *parameters: tuple[str, str]) -> Connect:
    """A version 1 schema with a semantic name."""
    return Connect(type_, name=name, version=1, parameters=parameters)


def as_bytes(value: object) -> bytes:
    """The value, which must be bytes. Raises DecodeError."""
    if not isinstance(value, bytes):
        raise DecodeError("not bytes where the structure has bytes", kind="value")
    return value


def as_int(value: object) -> int:
    """The value, which must be an integer. Raises DecodeError."""
    if not isinstance(value, int):
        raise DecodeError("not an integer where the structure has one", kind="value")
    return value


def int64(number: int, reason: str) -> int:
    """The number, which must fit into 64 bits with sign. Raises Unrepresentable with `reason`."""
    if not INT64_MIN <= number <= INT64_MAX:
        raise Unrepresentable(reason)
    return number
