"""Logical types, columns and table structures, and the comparison of two versions of one.

Row values are plain Python values by logical type; docs/glossary.md and the table in each type's
docstring say which. They do not depend on any output option.
"""

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import ClassVar, Final, Self

from cdc.errors import DecodeError

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


TYPES: Final[dict[str, type[LogicalType]]] = {
    kind.name: kind
    for kind in (
        Boolean, Int8, Int16, Int32, Int64, UInt64, Float32, Float64, Decimal, String, Bytes, Date,
        Time, Timestamp, TimestampTz, TimeTz, Interval, Uuid, Json, Enum, Bits, Array,
    )
}  # fmt: skip


class _NoDefault:
    """The type of NO_DEFAULT, which is equal only to itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_DEFAULT"

    def __reduce__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Final = _NoDefault()


@dataclass(frozen=True, slots=True)
class Column:
    """One captured column.

    `default` is the column's default as a logical value where the source could evaluate it (a
    function such as now() gives the type's zero), else NO_DEFAULT. `attributes` are facts about the
    source's type that some formats carry (`type_name`, `length`, `scale`, `comment`), as pairs.
    """

    name: str
    type: LogicalType
    nullable: bool = True
    default: object = NO_DEFAULT
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The structure of one table at one time; one object per version, shared by its events.

    `key` holds indexes into `columns` in key-definition order; empty when the table has no usable
    key. `namespace` is the schema (Postgres) or the database (MySQL). `partial` says that rows
    of this table may lack values that did not change (UNCHANGED). `encoding`, in stored structures
    only: the format options, sorted by name, of their records where not the default ones.
    """

    database: str
    namespace: str
    table: str
    columns: tuple[Column, ...]
    key: tuple[int, ...] = ()
    partial: bool = False
    encoding: tuple[tuple[str, str], ...] = ()
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", hashlib.sha256(self.canonical().encode()).hexdigest()[:16])

    @property
    def qualified_name(self) -> str:
        """`namespace.table`, as in configuration and topic names; not quoted."""
        return f"{self.namespace}.{self.table}"

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the key columns in key-definition order."""
        return tuple(self.columns[index].name for index in self.key)

    def canonical(self) -> str:
        """Canonical JSON (sorted keys, no spaces); its SHA-256 gives `id`."""
        content = {
            "database": self.database,
            "namespace": self.namespace,
            "table": self.table,
            "key": list(self.key),
            "partial": self.partial,
            "columns": [_column_content(column) for column in self.columns],
            **({"encoding": dict(self.encoding)} if self.encoding else {}),
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_canonical(cls, text: str | bytes) -> Self:
        """The schema that `canonical` was taken from. Raises DecodeError."""
        try:
            content = json.loads(text)
            return cls(
                database=content["database"],
                namespace=content["namespace"],
                table=content["table"],
                columns=tuple(_column_of(column) for column in content["columns"]),
                key=tuple(content["key"]),
                partial=content["partial"],
                encoding=tuple(sorted(content.get("encoding", {}).items())),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DecodeError("a stored table structure is damaged", kind="schema") from error


def _column_content(column: Column) -> dict[str, object]:
    content: dict[str, object] = {
        "name": column.name,
        "type": type_content(column.type),
        "nullable": column.nullable,
    }
    if column.default is not NO_DEFAULT:
        content["default"] = _value_content(column.default)
    if column.attributes:
        content["attributes"] = [list(pair) for pair in column.attributes]
    return content


def _column_of(content: dict[str, object]) -> Column:
    attributes = content.get("attributes", [])
    if not isinstance(attributes, list):
        raise TypeError(attributes)
    return Column(
        name=str(content["name"]),
        type=type_of(content["type"]),
        nullable=bool(content["nullable"]),
        default=_value_of(content["default"]) if "default" in content else NO_DEFAULT,
        attributes=tuple((str(name), str(text)) for name, text in attributes),
    )


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


def _value_content(value: object) -> object:
    # JSON has no bytes and no tuples; a one-key object marks the first, lists stand for the second.
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, tuple):
        return [_value_content(item) for item in value]
    return value


def _value_of(content: object) -> object:
    if isinstance(content, list):
        return tuple(_value_of(item) for item in content)
    if isinstance(content, dict):
        if "bytes" in content:
            return bytes.fromhex(content["bytes"])
        return float(content["float"])
    return content


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What differs between two versions of one table's structure; names only."""

    added: tuple[str, ...]
    dropped: tuple[str, ...]
    altered: tuple[str, ...]
    key_changed: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.dropped or self.altered or self.key_changed)


def compare(old: TableSchema, new: TableSchema) -> SchemaChange:
    """What `new` changed against `old`. A renamed column is one dropped and one added."""
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    return SchemaChange(
        added=tuple(name for name in after if name not in before),
        dropped=tuple(name for name in before if name not in after),
        altered=tuple(name for name in after if name in before and after[name] != before[name]),
        key_changed=old.key_names != new.key_names,
    )
