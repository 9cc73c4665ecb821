"""Table structures of records that another Debezium wrote, from their inline Connect schemas."""

from collections.abc import Mapping

import orjson

from cdc import schema as logical
from cdc.errors import DecodeError, SchemaError
from cdc.schema import NO_DEFAULT, Column, LogicalType, TableSchema
from cdc.serializers import connect
from cdc.serializers.json_values import Read, reader
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping

Content = Mapping[str, object]
Rows = tuple[TableSchema, tuple[str, ...], tuple[Read | None, ...]]

_DEFAULT = Options()
_CONNECT = Options(time_precision="connect")
_ISO = Options(time_precision="isostring", interval="string")
_MICROS = Options(time_precision="microseconds")
_MAPS = Options(hstore="map")
_NANOS = Options(time_precision="nanoseconds")

# Semantic name -> logical type and the options under which it is written so.
_NAMED: dict[str, tuple[LogicalType, Options]] = {
    connect.CONNECT_DATE: (logical.Date(), _CONNECT),
    connect.CONNECT_TIME: (logical.Time(3), _CONNECT),
    connect.CONNECT_TIMESTAMP: (logical.Timestamp(3), _CONNECT),
    connect.VARIABLE_SCALE_DECIMAL: (logical.Decimal(), _DEFAULT),
    "io.debezium.time.Date": (logical.Date(), _DEFAULT),
    "io.debezium.time.Time": (logical.Time(3), _DEFAULT),
    "io.debezium.time.MicroTime": (logical.Time(6), _MICROS),
    "io.debezium.time.NanoTime": (logical.Time(6), _NANOS),
    "io.debezium.time.Timestamp": (logical.Timestamp(3), _DEFAULT),
    "io.debezium.time.MicroTimestamp": (logical.Timestamp(6), _MICROS),
    "io.debezium.time.NanoTimestamp": (logical.Timestamp(6), _NANOS),
    "io.debezium.time.IsoDate": (logical.Date(), _ISO),
    "io.debezium.time.IsoTime": (logical.Time(6), _ISO),
    "io.debezium.time.IsoTimestamp": (logical.Timestamp(6), _ISO),
    "io.debezium.time.ZonedTime": (logical.TimeTz(6), _DEFAULT),
    "io.debezium.time.ZonedTimestamp": (logical.TimestampTz(6), _DEFAULT),
    "io.debezium.time.MicroDuration": (logical.Interval(), _DEFAULT),
    "io.debezium.time.Interval": (logical.Interval(), _ISO),
    "io.debezium.time.Year": (logical.Int32(), _DEFAULT),
    "io.debezium.data.Json": (logical.Json(), _DEFAULT),
    "io.debezium.data.Xml": (logical.String("xml"), _DEFAULT),
    "io.debezium.data.Ltree": (logical.String("ltree"), _DEFAULT),
    "io.debezium.data.Tsvector": (logical.String("tsvector"), _DEFAULT),
    "io.debezium.data.EnumSet": (logical.String("set"), _DEFAULT),
    "io.debezium.data.Uuid": (logical.Uuid(), _DEFAULT),
    "io.debezium.data.geometry.Point": (logical.Point(), _DEFAULT),
    "io.debezium.data.geometry.Geometry": (logical.Geometry(), _DEFAULT),
    "io.debezium.data.geometry.Geography": (logical.Geometry(geodetic=True), _DEFAULT),
    "io.debezium.data.DoubleVector": (logical.Vector(), _DEFAULT),
    "io.debezium.data.FloatVector": (logical.Vector(half=True), _DEFAULT),
    "io.debezium.data.SparseDoubleVector": (logical.SparseVector(), _DEFAULT),
}
_BASES: dict[str, LogicalType] = {
    "int8": logical.Int8(),
    "int16": logical.Int16(),
    "int32": logical.Int32(),
    "int64": logical.Int64(),
    "float": logical.Float32(),
    "double": logical.Float64(),
    "boolean": logical.Boolean(),
    "string": logical.String(),
    "bytes": logical.Bytes(),
}
_NO_ROWS = (
    ".Heartbeat", ".TransactionMetadataValue", ".SchemaChangeValue", ".Notification",
    ".MessageValue",
)  # fmt: skip
"""Ends of the schema names of records that change no row."""

_NO_ROW_FIELDS = frozenset({
    ("op", "ts_ms", "source", "transaction", "message"),
    ("status", "id", "event_count", "data_collections", "ts_ms"),
    ("source", "ts_ms", "databaseName", "schemaName", "ddl", "tableChanges"),
    ("id", "type", "aggregate_type", "additional_data", "timestamp"),
})  # fmt: skip
"""The fields of the same records, in order: where schemas are not inline, only these tell."""


def is_no_row(key: object, value: object) -> bool:
    """Whether payloads are those of a message, transaction, heartbeat, structure or notification.

    None of them has the rows of an envelope.
    """
    if not isinstance(value, dict):
        return False
    if isinstance(key, dict) and key.keys() == {"serverName"}:
        return value.keys() == {"ts_ms"}
    return tuple(value) in _NO_ROW_FIELDS


class ForeignTables:
    """The structures met so far; a tombstone has no other way to tell its own."""

    __slots__ = ("_known", "_rows")

    def __init__(self) -> None:
        self._rows: dict[str, Rows] = {}
        # By topic: the schema's text and the names of the key columns of what is in _rows.
        self._known: dict[str, tuple[bytes, list[str]]] = {}

    def of_value(
        self, topic: str, key: bytes | None, value: object
    ) -> tuple[TableSchema, tuple[str, ...], tuple[Read | None, ...], Content] | None:
        """Structure, names, readers and payload of a record; None if it changes no row.

        Raises SchemaError for a record without an inline schema or of another shape.
        """
        schema, content = _inline(topic, value)
        name = str(schema.get("name"))
        if name.endswith(_NO_ROWS):
            return None
        if not name.endswith(".Envelope"):
            raise SchemaError(
                f"records of topic {topic} are not in Debezium's envelope",
                hint="Read the topic that the connector wrote, before transforms that flatten it.",
            )
        if content is None:
            raise DecodeError(f"a record of topic {topic} has a schema and no payload")
        text = orjson.dumps(schema)
        known = self._known.get(topic)
        # A truncate has no key, although its table may have one.
        names = known[1] if known is not None and key is None else _key_names(topic, key)
        if known != (text, names):
            self._rows[topic] = _rows(topic, schema, names, content)
            self._known[topic] = (text, names)
        return (*self._rows[topic], content)

    def of_key(self, topic: str, key: object) -> Rows | None:
        """Structure, names and readers of a tombstone's table; None if nothing is known of it.

        A tombstone without a key, or before every other record of a topic without inline schemas,
        names no row.
        """
        if key is None:
            return None
        known = self._rows.get(topic)
        if known is not None:
            return known
        schema, _ = _inline(topic, key)
        fields = _fields(schema)
        # The structure of the whole row is unknown: only the key is.
        namespace, _, table = topic.rpartition(".")
        return _structure("", namespace.rpartition(".")[2], table, fields, range(len(fields)))


def _inline(topic: str, content: object) -> tuple[Content, Content | None]:
    if isinstance(content, dict) and content.keys() == {"schema", "payload"}:
        schema, payload = content["schema"], content["payload"]
        if isinstance(schema, dict) and (payload is None or isinstance(payload, dict)):
            return schema, payload
    raise SchemaError(
        f"records of topic {topic} have neither Tidewire's `cdc` header nor an inline schema",
        hint="Let the connector that writes them use JsonConverter with schemas.enable=true.",
    )


def _rows(topic: str, schema: Content, key_names: list[str], content: Content) -> Rows:
    row = next((field for field in _fields(schema) if field.get("field") == "after"), None)
    source = content.get("source")
    if row is None or not isinstance(source, dict):
        raise SchemaError(f"records of topic {topic} are not in Debezium's envelope")
    fields = _fields(row)
    names = [str(field["field"]) for field in fields]
    if not set(key_names) <= set(names):
        raise SchemaError(f"the key of topic {topic} has columns that its rows do not have")
    database = str(source.get("db", ""))
    namespace = str(source.get("schema", database))
    order = [names.index(name) for name in key_names]
    return _structure(database, namespace, str(source.get("table", "")), fields, order)


def _key_names(topic: str, key: bytes | None) -> list[str]:
    if key is None:
        return []
    try:
        schema, _ = _inline(topic, orjson.loads(key))
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"a key of topic {topic} is not JSON", kind="record") from error
    return [str(field["field"]) for field in _fields(schema)]


def _structure(
    database: str, namespace: str, table: str, fields: list[Content], key: range | list[int]
) -> Rows:
    columns, readers = [], []
    for field in fields:
        kind, read = _column_type(field)
        default: object = NO_DEFAULT
        if field.get("default") is not None:
            default = field["default"] if read is None else read(field["default"])
        columns.append(Column(str(field["field"]), kind, bool(field["optional"]), default))
        readers.append(read)
    names = tuple(column.name for column in columns)
    structure = TableSchema(database, namespace, table, tuple(columns), tuple(key))
    return structure, names, tuple(readers)


def _fields(schema: Content) -> list[Content]:
    fields = schema.get("fields")
    if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
        raise SchemaError("an inline schema has no fields where it must have some")
    return fields


def _column_type(field: Content) -> tuple[LogicalType, Read | None]:
    """The logical type of a field, and what turns its parsed JSON into a logical value."""
    kind, options = _logical_type(field)
    if kind is None:
        return logical.Json(), lambda value: orjson.dumps(value).decode()
    how = mapping(kind, options)
    json_read = reader(how.schema)
    logical_read = how.read
    if json_read is None or logical_read is None:
        return kind, json_read or logical_read
    return kind, lambda value: logical_read(json_read(value))


def _logical_type(field: Content) -> tuple[LogicalType | None, Options]:
    """None for structs and maps that have no logical type: they are kept as JSON."""
    name, base = field.get("name"), str(field.get("type"))
    parameters = field.get("parameters")
    texts: dict[str, str] = parameters if isinstance(parameters, dict) else {}
    if name == connect.DECIMAL:
        precision = texts.get("connect.decimal.precision")
        scale = int(texts.get("scale", "0"))
        return logical.Decimal(int(precision) if precision else None, scale), _DEFAULT
    if name == "io.debezium.data.Enum":
        return logical.Enum(tuple(texts.get("allowed", "").split(","))), _DEFAULT
    if name == "io.debezium.data.Bits":
        length = int(texts.get("length", "0"))
        return logical.Bits(None if length in {0, 2_147_483_647} else length), _DEFAULT
    if isinstance(name, str) and name in _NAMED:
        return _NAMED[name]
    if base == "array":
        items = field.get("items")
        kind, options = _logical_type(items) if isinstance(items, dict) else (None, _DEFAULT)
        return (None if kind is None else logical.Array(kind)), options
    return (_map_type(field), _MAPS) if base == "map" else (_BASES.get(base), _DEFAULT)


def _map_type(field: Content) -> LogicalType | None:
    """A map of texts is an hstore; None for other maps."""
    parts = [field.get(name) for name in ("keys", "values")]
    texts = all(isinstance(part, dict) and part.get("type") == "string" for part in parts)
    return logical.Map() if texts else None
