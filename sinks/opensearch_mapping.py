"""Table structures as OpenSearch mappings, and whether an index can take a structure. Pure.

What a field of each type holds is in cdc.documents. Numbers and dates that OpenSearch cannot index
(NaN, infinity) stay in the document and are left out of the index.
"""

from collections.abc import Mapping
from typing import Final

from cdc.schema import (
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
    TableSchema,
    Time,
    Timestamp,
    TimestampTz,
    TimeTz,
    UInt64,
    Uuid,
    Vector,
)

VERSION_FIELD: Final = "_cdc_version"
"""The field of every document that holds its version; a truncate finds older ones by it."""

FieldMapping = Mapping[str, object]

# Lucene refuses terms above 32766 bytes; a character has at most 4.
_KEYWORD: Final = {"type": "keyword", "ignore_above": 8191}
_DATE: Final = {"type": "date", "format": "strict_date_optional_time", "ignore_malformed": True}
_NUMBER: Final = {"type": "double", "ignore_malformed": True}
# Kept, not indexed: two documents may have another type at the same path.
_KEPT: Final = {"type": "object", "enabled": False}
_TEXT: Final = {"type": "text", "fields": {"keyword": _KEYWORD}}

_FIELDS: Final[dict[type[LogicalType], FieldMapping]] = {
    Boolean: {"type": "boolean"},
    Int8: {"type": "byte"},
    Int16: {"type": "short"},
    Int32: {"type": "integer"},
    Int64: {"type": "long"},
    UInt64: {"type": "unsigned_long"},
    Float32: {"type": "float", "ignore_malformed": True},
    Float64: {"type": "double", "ignore_malformed": True},
    Decimal: {"type": "double", "ignore_malformed": True},
    String: _TEXT,
    Bytes: {"type": "binary"},
    Date: _DATE,
    Timestamp: _DATE,
    TimestampTz: _DATE,
    Time: _KEYWORD,
    TimeTz: _KEYWORD,
    Interval: _KEYWORD,
    Uuid: _KEYWORD,
    Enum: _KEYWORD,
    Bits: _KEYWORD,
    Json: _KEPT,
    Map: _KEPT,
    Geometry: _KEPT,
    SparseVector: _KEPT,
    Point: {"type": "object", "properties": {"x": _NUMBER, "y": _NUMBER}},
    # Numbers one by one: a k-NN field needs the dimensions and a method, which a mapping can name.
    Vector: _NUMBER,
}

_INTEGERS: Final = ("byte", "short", "integer", "long")
_NUMBERS: Final = (*_INTEGERS, "unsigned_long", "float", "double")
_WORDS: Final = ("text", "keyword", *_NUMBERS, "date", "boolean", "binary")
# Which of our types a field of each type takes. Types that are not here were chosen by somebody
# who knows why.
_TAKES: Final[dict[str, tuple[str, ...]]] = {
    "text": _WORDS,
    "keyword": _WORDS,
    **{kind: _INTEGERS[: place + 1] for place, kind in enumerate(_INTEGERS)},
    "unsigned_long": ("unsigned_long",),
    "float": _NUMBERS,
    "double": _NUMBERS,
    "date": ("date",),
    "boolean": ("boolean",),
    "binary": ("binary",),
    "object": ("object",),
}


def field_mapping(kind: LogicalType) -> FieldMapping:
    """The mapping of a field of this type. Arrays are mapped as their items."""
    while isinstance(kind, Array):
        kind = kind.item
    return _FIELDS.get(type(kind), _TEXT)


def properties(table: TableSchema, chosen: Mapping[str, FieldMapping]) -> dict[str, FieldMapping]:
    """The mapping of every field of a table's documents; `chosen` goes over what the types say."""
    fields = {column.name: field_mapping(column.type) for column in table.columns}
    return {**fields, **chosen, VERSION_FIELD: {"type": "long"}}


def flattened(mapping: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Type of each field by its dotted name, from the `properties` that OpenSearch shows."""
    found: dict[str, str] = {}
    for name, content in mapping.items():
        assert isinstance(content, dict)
        inner = content.get("properties")
        # OpenSearch leaves the type of objects out.
        found[prefix + name] = str(content.get("type", "object"))
        if isinstance(inner, dict):
            found |= flattened(inner, f"{prefix}{name}.")
    return found


def conflicts(wanted: Mapping[str, FieldMapping], existing: Mapping[str, str]) -> list[str]:
    """Fields that the index cannot take, each as `name (is integer, must be text)`."""
    found: list[str] = []
    for name, content in wanted.items():
        kind = str(content.get("type", "object"))
        held = existing.get(name, kind)
        if kind != held and kind not in _TAKES.get(held, (kind,)):
            found.append(f"{name} (is {held}, must be {kind})")
    return found
