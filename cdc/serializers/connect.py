"""Kafka Connect's schemas, which every format of records is a projection of."""

from collections.abc import Callable
from dataclasses import dataclass

from cdc.schema import NO_DEFAULT


@dataclass(frozen=True, slots=True)
class Connect:
    """One Connect schema.

    `type` is Connect's name as in JSON (`int32`, `float`, `struct` ...). `default` is a Connect
    value (int, float, bool, str, bytes, list, or dict for a struct) or NO_DEFAULT. `fields` are
    the fields of a struct in order, `items` the element of an array, `keys` and `values` those of
    a map, whose values are dicts. `as_number` is how JSON has a Decimal, not base64 of its bytes.
    """

    type: str
    optional: bool = False
    name: str | None = None
    version: int | None = None
    doc: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    default: object = NO_DEFAULT
    fields: "tuple[tuple[str, Connect], ...]" = ()
    items: "Connect | None" = None
    keys: "Connect | None" = None
    values: "Connect | None" = None
    as_number: bool = False


def dimensions(item: Connect) -> Callable[[list[object]], bool]:
    """Tells a further dimension of an array from an element of it, which may be a list itself.

    A dimension is never empty; of lists it ends in one or in None.
    """
    if item.items is None:
        return lambda _: True
    return lambda part: part[-1] is None or isinstance(part[-1], list)


DECIMAL = "org.apache.kafka.connect.data.Decimal"
CONNECT_DATE = "org.apache.kafka.connect.data.Date"
CONNECT_TIME = "org.apache.kafka.connect.data.Time"
CONNECT_TIMESTAMP = "org.apache.kafka.connect.data.Timestamp"
VARIABLE_SCALE_DECIMAL = "io.debezium.data.VariableScaleDecimal"
