"""Columns and table structures, and the comparison of two versions of one.

The logical types are cdc.logical's, given here too: a structure is nothing without them.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Final, Self

from cdc.errors import DecodeError
from cdc.logical import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
    TYPES,
    Array,
    Bits,
    Boolean,
    Bytes,
    Date,
    Decimal,
    Enum,
    Float32,
    Float64,
    Geometry,
    Int8,
    Int16,
    Int32,
    Int64,
    Interval,
    Json,
    LogicalType,
    Map,
    Point,
    SparseVector,
    String,
    Time,
    Timestamp,
    TimestampTz,
    TimeTz,
    UInt64,
    Uuid,
    Vector,
    is_dimension,
    type_content,
    type_of,
)

__all__ = [
    "DATE_INFINITY",
    "DATE_MINUS_INFINITY",
    "NO_DEFAULT",
    "TIMESTAMP_INFINITY",
    "TIMESTAMP_MINUS_INFINITY",
    "TYPES",
    "Array",
    "Bits",
    "Boolean",
    "Bytes",
    "Column",
    "Date",
    "Decimal",
    "Enum",
    "Float32",
    "Float64",
    "Geometry",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Interval",
    "Json",
    "LogicalType",
    "Map",
    "Point",
    "SchemaChange",
    "SparseVector",
    "String",
    "TableSchema",
    "Time",
    "TimeTz",
    "Timestamp",
    "TimestampTz",
    "UInt64",
    "Uuid",
    "Vector",
    "compare",
    "is_dimension",
    "type_content",
    "type_of",
]


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
