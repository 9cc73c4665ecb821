"""What the JSON serializer works out once per table structure: fragments, writers, constants."""

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from cdc.errors import SchemaError
from cdc.event import UNCHANGED, Row, Topic
from cdc.schema import NO_DEFAULT, Column, TableSchema
from cdc.serializers.connect import Connect
from cdc.serializers.decimals import Unrepresentable
from cdc.serializers.envelope import (
    SourceIdentity,
    column_mappings,
    column_schema,
    envelope_schema,
    key_schema,
    table_topic,
    truncate_key_schema,
)
from cdc.serializers.json_values import header_text, quote, schema_text, writer
from cdc.serializers.json_ways import way_of
from cdc.serializers.mapping import Mapping
from cdc.serializers.options import Options


@dataclass(frozen=True, slots=True)
class ColumnContent:
    """One column: its quoted name, the writer of its values, and the JSON of what is missing.

    `way` and `parameter` say how the text of a value becomes JSON without decoding it.
    `null_lost` says that NULL is written as the column's default. `fallback` stands for a value
    that was not sent in an old row, `unavailable` for one that did not change.
    """

    name: bytes
    way: int
    parameter: int
    write: Callable[[object], bytes]
    null: bytes
    null_lost: bool
    fallback: bytes
    unavailable: bytes


@dataclass(frozen=True, slots=True)
class PlanContent:
    """One table structure.

    `key_start` and `key_end`, `value_start` and `value_end` go around the payload. `source_head`
    and `source_middle` are cut where milliseconds, snapshot marker and prior position stand, and
    micro- and nanoseconds and the transaction id. `where` names the table in messages.
    """

    table: TableSchema
    where: str
    topic: Topic
    columns: list[ColumnContent]
    key_columns: list[ColumnContent]
    key_start: bytes
    key_end: bytes
    value_start: bytes
    value_end: bytes
    source_head: tuple[bytes, ...]
    source_middle: tuple[bytes, ...]
    no_snapshot: bytes
    truncate_key: bytes
    key_schema: Connect
    mappings: list[Mapping]

    def key_header(self, row: Row, other: Row | None) -> bytes:
        """The key as the text of a key-change header."""
        filled = self.filled_key(row, other) or row
        value: dict[str, object] = {}
        for index in self.table.key:
            part = filled[index]
            write = self.mappings[index].write
            name = self.table.columns[index].name
            value[name] = part if part is None or write is None else write(part)
        return header_text(self.key_schema, value)

    def filled_key(self, row: Row, other: Row | None) -> tuple[object, ...] | None:
        """The row with key values that it lacks taken from the other one; None without another."""
        if other is None:
            return None
        values = list(row)
        for index in self.table.key:
            if values[index] is UNCHANGED:
                values[index] = other[index]
        return tuple(values)


def plan_content(
    table: TableSchema, identity: SourceIdentity, options: Options, *, compacts: bool
) -> PlanContent:
    """Everything that records of this structure share. Raises SchemaError, ConfigError."""
    topic = table_topic(identity.name, table.namespace, table.table)
    where = f"table {table.qualified_name}"
    mappings = column_mappings(table, options)
    schemas = [
        column_schema(column, how) for column, how in zip(table.columns, mappings, strict=True)
    ]
    columns = [
        _column(table, column, schema, how, options)
        for column, schema, how in zip(table.columns, schemas, mappings, strict=True)
    ]
    key_options = options.model_copy(update={"unrepresentable": "stop"})
    key_columns = [
        _column(table, table.columns[index], schemas[index], mappings[index], key_options)
        for index in table.key
    ]
    key = key_schema(topic, table, schemas)
    truncated = b'{"__cdc_truncate":' + quote(table.qualified_name) + b"}"
    source_head, source_middle = source_parts(table, identity, options)
    key_start, key_end = around(key, options)
    truncate_start, truncate_end = around(truncate_key_schema(), options)
    value_start, value_end = around(
        envelope_schema(topic, table, schemas, identity.connector), options
    )
    return PlanContent(
        table=table,
        where=where,
        topic=Topic(topic, compacts and bool(table.key)),
        columns=columns,
        key_columns=key_columns,
        key_start=key_start,
        key_end=key_end,
        value_start=value_start,
        value_end=value_end,
        source_head=_cut(source_head),
        source_middle=_cut(source_middle),
        no_snapshot=no_snapshot(options),
        truncate_key=truncate_start + truncated + truncate_end,
        key_schema=key,
        mappings=mappings,
    )


def around(schema: Connect, options: Options) -> tuple[bytes, bytes]:
    """What stands before and behind a payload of this schema."""
    if not options.schemas:
        return b"", b""
    return b'{"schema":' + schema_text(schema) + b',"payload":', b"}"


def source_parts(
    table: TableSchema, identity: SourceIdentity, options: Options
) -> tuple[bytes, bytes]:
    """The source block in two, with places for what PlanContent says of them."""
    version = identity.version if options.version is None else options.version

    def constant(text: str) -> bytes:
        return quote(text).replace(b"%", b"%%")

    head = (
        b',"source":{"version":' + constant(version)
        + b',"connector":' + constant(identity.connector)
        + b',"name":' + constant(identity.name)
        + b',"ts_ms":%b,"snapshot":%b,"db":' + constant(table.database)
        + b',"sequence":"[%b,\\"'
    )  # fmt: skip
    middle = (
        b'\\"]","ts_us":%b,"ts_ns":%b,"schema":' + constant(table.namespace)
        + b',"table":' + constant(table.table)
        + b',"txId":%b,"lsn":'
    )  # fmt: skip
    return head, middle


def _cut(template: bytes) -> tuple[bytes, ...]:
    # No text of JSON has a NUL in it.
    return tuple((template % ((b"\0",) * 3)).split(b"\0"))


def no_snapshot(options: Options) -> bytes:
    """The snapshot marker of what is streamed: null in the struct, whose default is `false`."""
    return b'"false"' if options.replace_null_with_default else b"null"


def _column(
    table: TableSchema, column: Column, schema: Connect, how: Mapping, options: Options
) -> ColumnContent:
    write_json = writer(schema)
    has_default = schema.default is not NO_DEFAULT
    default = write_json(schema.default) if has_default else b""
    null_lost = has_default and column.nullable and options.replace_null_with_default
    null = default if null_lost else b"null"
    required = default or write_json(how.zero)
    fallback = null if column.nullable or how.unknown else required
    stand_in = dict(column.attributes).get("stand_in")
    if stand_in is not None:
        fallback = quote(stand_in)
    where = f"column {column.name!r} of table {table.qualified_name}"
    way, parameter = way_of(column.type, how)
    return ColumnContent(
        name=quote(column.name),
        way=way,
        parameter=parameter,
        write=_value_writer(where, column, how, write_json, options),
        null=null,
        null_lost=null_lost,
        fallback=fallback,
        unavailable=fallback if how.unavailable is None else write_json(how.unavailable),
    )


def _value_writer(
    where: str,
    column: Column,
    how: Mapping,
    write_json: Callable[[object], bytes],
    options: Options,
) -> Callable[[object], bytes]:
    convert = how.write
    if convert is None:
        return write_json

    def write(value: object) -> bytes:
        try:
            return write_json(convert(value))
        except Unrepresentable as error:
            if options.unrepresentable == "null" and column.nullable:
                return b"null"
            raise SchemaError(
                f"{where}: {error.reason} has no encoding in this format",
                hint="Choose another encoding in the source's `format:` (decimal: string, "
                "time_precision, interval: string), exclude the column, or set "
                "`unrepresentable: null` (NULL where the column allows it) or `dead_letter` (the "
                "change goes to a topic of its own).",
            ) from error

    return write


def context_headers(identity: SourceIdentity, now_us: int) -> tuple[tuple[str, bytes], ...]:
    """Debezium's headers about connector and run, the same for all records of one serializer."""
    # RFC 9562, UUID version 7: milliseconds, then random bits around version and variant.
    random = int.from_bytes(os.urandom(10), "big") & ~(0xF << 76 | 0x3 << 62)
    run = uuid.UUID(int=(now_us // 1000) << 80 | random | 0x7 << 76 | 0x2 << 62)
    return (
        ("__debezium.context.connectorLogicalName", identity.name.encode()),
        ("__debezium.context.taskId", b"0"),
        ("__debezium.context.connectorName", identity.connector.encode()),
        ("__debezium.context.runId", str(run).encode()),
    )
