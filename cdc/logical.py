"""Logical types: what a column holds, whatever its source calls it and however it is written.

Row values are plain Python values by logical type; the docstring of each type says which. They do
not depend on any output option.
"""

from dataclasses import dataclass, field, fields
from typing import ClassVar, Final

# Infinite dates and timestamps of Postgres as the numbers that Debezium's stream writes.
# Source: debezium-observed P1 (dates, in days) and Debezium's constants (timestamps, in us).
DATE_INFINITY: Final = -2147472692
DATE_MINUS_INFINITY: Final = -2147472691
TIMESTAMP_INFINITY: Final = 9223372036825200000
TIMESTAMP_MINUS_INFINITY: Final = -9223372036832400000


@dataclass(frozen=True, slots=True)
class LogicalType:
    """Base of the family; `name` is the stable name in stored schemas."""

    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Boolean(LogicalType):
    """`bool`."""

    name: ClassVar[str] = "boolean"


@dataclass(frozen=True, slots=True)
class Int8(LogicalType):
    """`int`."""

    name: ClassVar[str] = "int8"


@dataclass(frozen=True, slots=True)
class Int16(LogicalType):
    """`int`."""

    name: ClassVar[str] = "int16"


@dataclass(frozen=True, slots=True)
class Int32(LogicalType):
    """`int`."""

    name: ClassVar[str] = "int32"


@dataclass(frozen=True, slots=True)
class Int64(LogicalType):
    """`int`."""

    name: ClassVar[str] = "int64"


@dataclass(frozen=True, slots=True)
class UInt64(LogicalType):
    """`int`, 0 to 2**64 - 1."""

    name: ClassVar[str] = "uint64"


@dataclass(frozen=True, slots=True)
class Float32(LogicalType):
    """`float` whose value is exactly representable in 32 bits."""

    name: ClassVar[str] = "float32"


@dataclass(frozen=True, slots=True)
class Float64(LogicalType):
    """`float`."""

    name: ClassVar[str] = "float64"


@dataclass(frozen=True, slots=True)
class Decimal(LogicalType):
    """`str`, the exact text with `scale` digits; also `NaN`, `Infinity`, `-Infinity`.

    Both None: unconstrained, each value has its own scale. `precision` None with a scale: money.
    """

    name: ClassVar[str] = "decimal"
    precision: int | None = None
    scale: int | None = None


@dataclass(frozen=True, slots=True)
class String(LogicalType):
    """`str`. `kind` names what the text is: `text`, `xml`, `ltree`, `tsvector`, `inet`, ...

    `length` is the declared maximum in characters, None when there is none.
    """

    name: ClassVar[str] = "string"
    kind: str = "text"
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Bytes(LogicalType):
    """`bytes`."""

    name: ClassVar[str] = "bytes"


@dataclass(frozen=True, slots=True)
class Date(LogicalType):
    """`int`, days since 1970-01-01, proleptic Gregorian; or a DATE_ infinity."""

    name: ClassVar[str] = "date"


@dataclass(frozen=True, slots=True)
class Time(LogicalType):
    """`int`, microseconds of the day (MySQL: signed, beyond 24 hours).

    `precision` is the number of fraction digits, 0 to 6.
    """

    name: ClassVar[str] = "time"
    precision: int = 6


@dataclass(frozen=True, slots=True)
class Timestamp(LogicalType):
    """`int`, microseconds since 1970 of the wall-clock time read as UTC; or an infinity."""

    name: ClassVar[str] = "timestamp"
    precision: int = 6


@dataclass(frozen=True, slots=True)
class TimestampTz(LogicalType):
    """`int`, microseconds since 1970 UTC; or a TIMESTAMP_ infinity."""

    name: ClassVar[str] = "timestamptz"
    precision: int = 6


@dataclass(frozen=True, slots=True)
class TimeTz(LogicalType):
    """`tuple[int, int]`: microseconds of the local day, offset in seconds east of UTC."""

    name: ClassVar[str] = "timetz"
    precision: int = 6


@dataclass(frozen=True, slots=True)
class Interval(LogicalType):
    """`tuple[int, int, int]`: months, days, microseconds."""

    name: ClassVar[str] = "interval"


@dataclass(frozen=True, slots=True)
class Uuid(LogicalType):
    """`str`, canonical lower case."""

    name: ClassVar[str] = "uuid"


@dataclass(frozen=True, slots=True)
class Json(LogicalType):
    """`str`, the text as the server gives it."""

    name: ClassVar[str] = "json"


@dataclass(frozen=True, slots=True)
class Enum(LogicalType):
    """`str`, one of `labels`, which are in their sort order."""

    name: ClassVar[str] = "enum"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bits(LogicalType):
    """`str` of 0 and 1. `length` None: unlimited."""

    name: ClassVar[str] = "bits"
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Array(LogicalType):
    """`tuple` of values of `item` and None; nested tuples when there are more dimensions."""

    name: ClassVar[str] = "array"
    item: LogicalType = field(default_factory=String)


@dataclass(frozen=True, slots=True)
class Map(LogicalType):
    """`dict` of `str` to `str` or None: hstore."""

    name: ClassVar[str] = "map"


@dataclass(frozen=True, slots=True)
class Point(LogicalType):
    """`tuple[float, float]`: x and y in a plane."""

    name: ClassVar[str] = "point"


@dataclass(frozen=True, slots=True)
class Geometry(LogicalType):
    """`tuple[int | None, bytes]`: the SRID if there is one, and the EWKB of PostGIS.

    `geodetic`: coordinates are on a spheroid (geography), not in a plane (geometry).
    """

    name: ClassVar[str] = "geometry"
    geodetic: bool = False


@dataclass(frozen=True, slots=True)
class Vector(LogicalType):
    """`tuple` of `float`. `half`: each has 16 bits at the source, else 32."""

    name: ClassVar[str] = "vector"
    half: bool = False


@dataclass(frozen=True, slots=True)
class SparseVector(LogicalType):
    """`tuple[int, dict[int, float]]`: the number of dimensions, and values by index from 1."""

    name: ClassVar[str] = "sparsevector"


TYPES: Final[dict[str, type[LogicalType]]] = {
    kind.name: kind
    for kind in (
        Boolean, Int8, Int16, Int32, Int64, UInt64, Float32, Float64, Decimal, String, Bytes, Date,
        Time, Timestamp, TimestampTz, TimeTz, Interval, Uuid, Json, Enum, Bits, Array, Map, Point,
        Geometry, Vector, SparseVector,
    )
}  # fmt: skip


_SEQUENCES: Final = (TimeTz, Interval, Point, Geometry, Vector, SparseVector)


def is_dimension(part: object, item: LogicalType) -> bool:
    """Whether a part of an array is one more dimension of it, not a value of `item`.

    Values that are tuples themselves end in something that is neither a tuple nor None; a dimension
    is never empty, and of such values ends in one or in None.
    """
    if not isinstance(part, tuple) or not isinstance(item, _SEQUENCES):
        return isinstance(part, tuple)
    return part[-1] is None or isinstance(part[-1], tuple)


def type_content(kind: LogicalType) -> dict[str, object]:
    """A logical type as JSON content: its name and its parameters."""
    content: dict[str, object] = {"name": kind.name}
    for parameter in fields(kind):
        value = getattr(kind, parameter.name)
        if isinstance(value, LogicalType):
            value = type_content(value)
        content[parameter.name + "_"] = list(value) if isinstance(value, tuple) else value
    return content


def type_of(content: object) -> LogicalType:
    """The logical type that `type_content` was taken from. Raises KeyError or TypeError."""
    if not isinstance(content, dict):
        raise TypeError(content)
    kind = TYPES[content["name"]]
    parameters: dict[str, object] = {}
    for parameter in fields(kind):
        value = content[parameter.name + "_"]
        if isinstance(value, dict):
            value = type_of(value)
        parameters[parameter.name] = tuple(value) if isinstance(value, list) else value
    return kind(**parameters)
