"""Debezium's envelope: topic names, and the Connect schemas of keys, values and source blocks.

What every format shares; the formats write it as JSON or Avro.
"""

import re
from dataclasses import dataclass, replace

from cdc.errors import ConfigError, SchemaError
from cdc.schema import NO_DEFAULT, Column, TableSchema
from cdc.serializers.connect import Connect
from cdc.serializers.decimals import Unrepresentable
from cdc.serializers.mapping import Mapping, named
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping

TOPIC_NAME_MAX = 249
"""Kafka's limit for the length of a topic name."""

TRUNCATE_FIELD = "__cdc_truncate"
"""The only field of the key of a truncate on a compacted topic."""


_MASKED = ("masked", "true")
_SOURCE_COLUMN = "__debezium.source.column."


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """What the source block says about where a record comes from.

    `connector` is `postgresql`, `mysql` or `mariadb`; `name` is the topic prefix; `version` is
    what `source.version` shows unless the options say otherwise.
    """

    connector: str
    name: str
    version: str


def table_topic(prefix: str, namespace: str, table: str) -> str:
    """The topic of a table: the parts that are not blank, joined by dots, made legal for Kafka.

    Illegal characters become `_` and what is longer than 249 characters is cut, so that two tables
    may collide; nothing can prevent that without breaking Debezium's names.
    """
    name = ".".join(part for part in (prefix, namespace, table) if part.strip())
    legal = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:TOPIC_NAME_MAX]
    return {".": "_", "..": "__"}.get(legal, legal)


def column_mappings(table: TableSchema, options: Options) -> list[Mapping]:
    """The mapping of each column. Raises SchemaError with the table and column named."""
    mappings = []
    for column in table.columns:
        try:
            mappings.append(mapping(column.type, options))
        except SchemaError as error:
            where = f"column {column.name!r} of table {table.qualified_name}"
            raise SchemaError(f"{where}: {error.message}") from error
    return mappings


def column_schema(column: Column, how: Mapping) -> Connect:
    """The schema of one column with its nullability and its default.

    A struct has no default in Debezium's schemas; neither has a column whose default the format
    cannot represent. Text of a type that Debezium leaves out is optional even where NOT NULL.
    """
    schema = replace(how.schema, optional=column.nullable or how.schema.optional)
    if _MASKED in column.attributes:
        schema = replace(schema, parameters=(*schema.parameters, _MASKED))
    about = dict(column.attributes)
    if "type_name" in about:
        told = (about["type_name"].upper(), about["length"], about["scale"], column.name)
        names = ("type", "length", "scale", "name")
        shown = tuple((_SOURCE_COLUMN + name, text) for name, text in zip(names, told, strict=True))
        schema = replace(schema, parameters=(*schema.parameters, *shown))
    default = column.default
    if default is NO_DEFAULT or default is None or schema.type == "struct":
        return schema
    try:
        return replace(schema, default=default if how.write is None else how.write(default))
    except Unrepresentable:
        return schema


def key_schema(topic: str, table: TableSchema, columns: list[Connect]) -> Connect:
    """The key's struct: the key columns in key-definition order, without their source's types."""
    fields = tuple((table.columns[index].name, _plain(columns[index])) for index in table.key)
    return Connect("struct", name=f"{topic}.Key", fields=fields)


def _plain(schema: Connect) -> Connect:
    kept = tuple(pair for pair in schema.parameters if not pair[0].startswith(_SOURCE_COLUMN))
    return schema if kept == schema.parameters else replace(schema, parameters=kept)


def truncate_key_schema() -> Connect:
    """The struct of the key that a truncate has on a compacted topic."""
    return Connect("struct", name="tidewire.TruncateKey", fields=((TRUNCATE_FIELD, STRING),))


def envelope_schema(
    topic: str, table: TableSchema, columns: list[Connect], connector: str
) -> Connect:
    """The struct of a record's value."""
    names = [column.name for column in table.columns]
    row = Connect(
        "struct",
        optional=True,
        name=f"{topic}.Value",
        fields=tuple(zip(names, columns, strict=True)),
    )
    fields = (
        ("before", row),
        ("after", row),
        ("source", source_schema(connector)),
        ("transaction", TRANSACTION_BLOCK),
        ("op", STRING),
        ("ts_ms", OPTIONAL_LONG),
        ("ts_us", OPTIONAL_LONG),
        ("ts_ns", OPTIONAL_LONG),
    )
    return Connect("struct", name=f"{topic}.Envelope", version=2, fields=fields)


def source_schema(connector: str) -> Connect:
    """The struct of the source block. Raises ConfigError for a connector without one."""
    own = _OWN_SOURCE_FIELDS.get(connector)
    if own is None:
        raise ConfigError(f"the connector {connector!r} has no source block in this format")
    name = f"io.debezium.connector.{connector}.Source"
    return Connect("struct", name=name, version=1, fields=_SOURCE_HEAD + own)


STRING = Connect("string")
OPTIONAL_STRING = Connect("string", optional=True)
LONG = Connect("int64")
OPTIONAL_LONG = Connect("int64", optional=True)

SNAPSHOT_MARKERS = (
    "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"
)

_SOURCE_HEAD = (
    ("version", STRING),
    ("connector", STRING),
    ("name", STRING),
    ("ts_ms", LONG),
    (
        "snapshot",
        replace(
            named("string", "io.debezium.data.Enum", ("allowed", SNAPSHOT_MARKERS)),
            optional=True,
            default="false",
        ),
    ),
    ("db", STRING),
    ("sequence", OPTIONAL_STRING),
    ("ts_us", OPTIONAL_LONG),
    ("ts_ns", OPTIONAL_LONG),
)

_OWN_SOURCE_FIELDS = {
    "postgresql": (
        ("schema", STRING),
        ("table", STRING),
        ("txId", OPTIONAL_LONG),
        ("lsn", OPTIONAL_LONG),
        ("xmin", OPTIONAL_LONG),
        ("origin", OPTIONAL_STRING),
        ("origin_lsn", OPTIONAL_LONG),
    ),
}

TRANSACTION_BLOCK = Connect(
    "struct",
    optional=True,
    name="event.block",
    version=1,
    fields=(("id", STRING), ("total_order", LONG), ("data_collection_order", LONG)),
)
