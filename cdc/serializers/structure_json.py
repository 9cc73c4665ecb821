"""The payload of a record about a table's structure, as Debezium's schema-change topic has it.

Facts that a source does not give (native types, character sets, comments) are null. Type numbers
are those of java.sql.Types.
"""

import json
from typing import Final

from cdc.event import ChangeEvent
from cdc.schema import (
    NO_DEFAULT,
    Array,
    Boolean,
    Bytes,
    Column,
    Date,
    Decimal,
    Enum,
    Float32,
    Float64,
    Int16,
    Int32,
    Int64,
    LogicalType,
    String,
    TableSchema,
    Time,
    Timestamp,
    TimestampTz,
    TimeTz,
)  # fmt: skip
from cdc.serializers.connect import Connect
from cdc.serializers.envelope import (
    LONG,
    OPTIONAL_STRING,
    STRING,
    source_schema,
)

_OTHER: Final = 1111
_TYPES: Final[dict[type[LogicalType], tuple[int, str]]] = {
    Boolean: (-7, "bool"),
    Int16: (5, "int2"),
    Int32: (4, "int4"),
    Int64: (-5, "int8"),
    Float32: (7, "float4"),
    Float64: (8, "float8"),
    Decimal: (2, "numeric"),
    Bytes: (-2, "bytea"),
    Date: (91, "date"),
    Time: (92, "time"),
    TimeTz: (2013, "timetz"),
    Timestamp: (93, "timestamp"),
    TimestampTz: (2014, "timestamptz"),
}
_SCHEMA: Final = "io.debezium.connector.schema"
_INT: Final = Connect("int32")
_OPTIONAL_INT: Final = Connect("int32", optional=True)
_OPTIONAL_BOOLEAN: Final = Connect("boolean", optional=True)
_COLUMN: Final = Connect(
    "struct",
    name=f"{_SCHEMA}.Column",
    version=1,
    fields=(
        ("name", STRING),
        ("jdbcType", _INT),
        ("nativeType", _OPTIONAL_INT),
        ("typeName", STRING),
        ("typeExpression", OPTIONAL_STRING),
        ("charsetName", OPTIONAL_STRING),
        ("length", _OPTIONAL_INT),
        ("scale", _OPTIONAL_INT),
        ("position", _INT),
        ("optional", _OPTIONAL_BOOLEAN),
        ("autoIncremented", _OPTIONAL_BOOLEAN),
        ("generated", _OPTIONAL_BOOLEAN),
        ("comment", OPTIONAL_STRING),
        ("defaultValueExpression", OPTIONAL_STRING),
        ("enumValues", Connect("array", optional=True, items=STRING)),
    ),
)
_TABLE: Final = Connect(
    "struct",
    optional=True,
    name=f"{_SCHEMA}.Table",
    version=1,
    fields=(
        ("defaultCharsetName", OPTIONAL_STRING),
        ("primaryKeyColumnNames", Connect("array", optional=True, items=STRING)),
        ("columns", Connect("array", items=_COLUMN)),
        ("comment", OPTIONAL_STRING),
    ),
)
_CHANGE: Final = Connect(
    "struct",
    name=f"{_SCHEMA}.Change",
    version=1,
    fields=(("type", STRING), ("id", STRING), ("table", _TABLE)),
)


def structure_key_schema(connector: str) -> Connect:
    """The key of a record about a structure."""
    name = f"io.debezium.connector.{connector}.SchemaChangeKey"
    return Connect("struct", name=name, version=1, fields=(("databaseName", STRING),))


def structure_value_schema(connector: str) -> Connect:
    """The value of a record about a structure."""
    return Connect(
        "struct",
        name=f"io.debezium.connector.{connector}.SchemaChangeValue",
        version=1,
        fields=(
            ("source", source_schema(connector)),
            ("ts_ms", LONG),
            ("databaseName", OPTIONAL_STRING),
            ("schemaName", OPTIONAL_STRING),
            ("ddl", OPTIONAL_STRING),
            ("tableChanges", Connect("array", items=_CHANGE)),
        ),
    )


def structures_of(event: ChangeEvent) -> tuple[TableSchema | None, TableSchema | None]:
    """The old and the new structure in a structure event."""
    old, new = (None if row is None else row[0] for row in (event.before, event.after))
    assert old is None or isinstance(old, TableSchema)
    assert new is None or isinstance(new, TableSchema)
    return old, new


def table_changes(old: TableSchema | None, new: TableSchema | None) -> bytes:
    """The field `tableChanges`: CREATE, ALTER or DROP of one table."""
    table = old if new is None else new
    assert table is not None, "one of them is there"
    kind = "DROP" if new is None else "CREATE" if old is None else "ALTER"
    names = (table.database, table.namespace, table.table)
    content = {
        "type": kind,
        "id": ".".join('"' + name + '"' for name in names),
        "table": None
        if new is None
        else {
            "defaultCharsetName": None,
            "primaryKeyColumnNames": list(new.key_names),
            "columns": [
                _column(column, place) for place, column in enumerate(new.columns, start=1)
            ],
            "comment": None,
        },
    }
    return json.dumps([content], separators=(",", ":"), ensure_ascii=False).encode()


def _column(column: Column, position: int) -> dict[str, object]:
    number, name = _named(column.type)
    length, scale = _sizes(column.type)
    default = None if column.default is NO_DEFAULT else str(column.default)
    return {
        "name": column.name,
        "jdbcType": number,
        "nativeType": None,
        "typeName": name,
        "typeExpression": name,
        "charsetName": None,
        "length": length,
        "scale": scale,
        "position": position,
        "optional": column.nullable,
        "autoIncremented": False,
        "generated": False,
        "comment": None,
        "defaultValueExpression": default,
        "enumValues": list(column.type.labels) if isinstance(column.type, Enum) else None,
    }


def _named(kind: LogicalType) -> tuple[int, str]:
    if isinstance(kind, String):
        return (1 if kind.kind == "bpchar" else 12), kind.kind
    if isinstance(kind, Array):
        return 2003, "_" + _named(kind.item)[1]
    return _TYPES.get(type(kind), (_OTHER, kind.name))


def _sizes(kind: LogicalType) -> tuple[int | None, int | None]:
    if isinstance(kind, String):
        return kind.length, None
    if isinstance(kind, Decimal):
        return kind.precision, kind.scale
    return None, None
