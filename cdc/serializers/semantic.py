"""Logical types as Connect schemas with Debezium's semantic names, and their values both ways.

Source of names and encodings: Debezium's documentation, "Data type mappings", and what 3.6.1 was
seen to write; docs/differences-from-debezium.md lists where Tidewire writes something else.
"""

import base64
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from cdc import schema as logical
from cdc.errors import DecodeError, SchemaError
from cdc.serializers import decimals, structs, temporal_modes
from cdc.serializers.connect import DECIMAL, VARIABLE_SCALE_DECIMAL, Connect, dimensions
from cdc.serializers.decimals import Unrepresentable
from cdc.serializers.mapping import INT64_MAX, Convert, Mapping, as_bytes, named
from cdc.serializers.options import Options

TEXT_KINDS = frozenset({"text", "varchar", "char", "bpchar", "citext"})
"""Kinds of strings whose arrays have a placeholder of their own."""
KNOWN_KINDS = TEXT_KINDS | {
    "name", "xml", "ltree", "tsvector", "inet", "cidr", "macaddr", "macaddr8", "isbn", "set",
    "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange",
}  # fmt: skip
"""Kinds of strings that Debezium has an encoding for."""
_NAMED_STRINGS = {
    "xml": "io.debezium.data.Xml",
    "ltree": "io.debezium.data.Ltree",
    "tsvector": "io.debezium.data.Tsvector",
}


def mapping(kind: logical.LogicalType, options: Options) -> Mapping:
    """The mapping of a logical type under these options. Raises SchemaError for an unknown one."""
    plain = _PLAIN.get(type(kind))
    if plain is not None:
        return plain
    make = _MAKERS.get(type(kind))
    if make is None:
        raise SchemaError(f"the logical type {kind.name!r} has no encoding in Debezium's format")
    return make(kind, options)


_PLAIN: dict[type[logical.LogicalType], Mapping] = {
    logical.Boolean: Mapping(Connect("boolean"), zero=False),
    logical.Int8: Mapping(Connect("int8"), zero=0),
    logical.Int16: Mapping(Connect("int16"), zero=0),
    logical.Int32: Mapping(Connect("int32"), zero=0),
    logical.Int64: Mapping(Connect("int64"), zero=0),
    logical.Float32: Mapping(Connect("float"), zero=0.0),
    logical.Float64: Mapping(Connect("double"), zero=0.0),
}


def _uint64(_: logical.LogicalType, __: Options) -> Mapping:
    def write(value: object) -> object:
        if isinstance(value, int) and value > INT64_MAX:
            raise Unrepresentable("an unsigned integer above 2^63 - 1")
        return value

    return Mapping(Connect("int64"), zero=0, write=write)


def _decimal(kind: logical.LogicalType, options: Options) -> Mapping:
    assert isinstance(kind, logical.Decimal)
    if options.decimal == "double":
        return Mapping(
            Connect("double"), 0.0, write=lambda value: float(str(value)), read=_of_float
        )
    if options.decimal == "string":
        return Mapping(
            Connect("string"),
            zero=decimals.plain_text(0, kind.scale or 0),
            write=lambda value: decimals.SPECIAL_NAMES.get(str(value), value),
            read=lambda value: decimals.SPECIAL_TEXTS.get(str(value), value),
        )
    if kind.scale is None:
        return _VARIABLE_SCALE
    scale = kind.scale
    parameters = [("scale", str(scale))]
    if kind.precision is not None:
        parameters.append(("connect.decimal.precision", str(kind.precision)))
    return Mapping(
        replace(named("bytes", DECIMAL, *parameters), as_number=options.decimal == "number"),
        zero=b"\x00",
        write=lambda value: decimals.unscaled_bytes(decimals.fixed_unscaled(str(value), scale)),
        read=lambda value: decimals.plain_text(decimals.unscaled_int(as_bytes(value)), scale),
    )


def _of_float(value: object) -> object:
    text = repr(float(str(value)))
    specials = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    if text in specials:
        return specials[text]
    unscaled, scale = decimals.stripped(f"{Decimal(text):f}")
    return decimals.plain_text(unscaled, scale)


def _write_variable(value: object) -> object:
    unscaled, scale = decimals.stripped(str(value))
    return {"scale": scale, "value": decimals.unscaled_bytes(unscaled)}


def _read_variable(value: object) -> object:
    if not isinstance(value, dict):
        raise DecodeError("not a struct of scale and value", kind="decimal")
    return decimals.plain_text(decimals.unscaled_int(as_bytes(value["value"])), int(value["scale"]))


_VARIABLE_SCALE = Mapping(
    Connect(
        "struct",
        name=VARIABLE_SCALE_DECIMAL,
        version=1,
        doc="Variable scaled decimal",
        fields=(("scale", Connect("int32")), ("value", Connect("bytes"))),
    ),
    zero={"scale": 0, "value": b"\x00"},
    write=_write_variable,
    read=_read_variable,
)


def _string(kind: logical.LogicalType, options: Options) -> Mapping:
    assert isinstance(kind, logical.String)
    name = _NAMED_STRINGS.get(kind.kind)
    schema = named("string", name) if name else Connect("string")
    unknown = kind.kind not in KNOWN_KINDS
    return Mapping(
        replace(schema, optional=unknown), "", unavailable=options.placeholder, unknown=unknown
    )


def _bytes(_: logical.LogicalType, options: Options) -> Mapping:
    placeholder = options.placeholder
    if options.binary == "bytes":
        return Mapping(Connect("bytes"), zero=b"", unavailable=options.placeholder_bytes)
    if options.binary == "hex":
        return Mapping(
            Connect("string"),
            zero="",
            write=lambda value: as_bytes(value).hex(),
            read=lambda value: bytes.fromhex(str(value)),
            unavailable=placeholder,
        )
    alternative = b"+/" if options.binary == "base64" else b"-_"
    return Mapping(
        Connect("string"),
        zero="",
        write=lambda value: base64.b64encode(as_bytes(value), alternative).decode(),
        read=lambda value: base64.b64decode(str(value), alternative),
    )


def _uuid(_: logical.LogicalType, options: Options) -> Mapping:
    # Java's UUID.nameUUIDFromBytes: version 3 of the bytes alone, without a namespace.
    return Mapping(
        named("string", "io.debezium.data.Uuid"),
        zero="",
        unavailable=_name_uuid(options.placeholder_bytes),
    )


def _name_uuid(name: bytes) -> str:
    # RFC 9562, UUID version 3: an MD5 with version and variant.
    digest = hashlib.md5(name, usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest, version=3))


def _json(_: logical.LogicalType, options: Options) -> Mapping:
    return Mapping(
        named("string", "io.debezium.data.Json"),
        zero="",
        unavailable=options.placeholder,
    )


def _enum(kind: logical.LogicalType, _: Options) -> Mapping:
    assert isinstance(kind, logical.Enum)
    allowed = ("allowed", ",".join(kind.labels))
    return Mapping(named("string", "io.debezium.data.Enum", allowed), zero="")


def _bits(kind: logical.LogicalType, _: Options) -> Mapping:
    assert isinstance(kind, logical.Bits)
    if kind.length == 1:
        return Mapping(
            Connect("boolean"),
            zero=False,
            write=lambda value: value == "1",
            read=lambda value: "1" if value else "0",
        )
    length = kind.length

    def write(value: object) -> object:
        number = int(str(value) or "0", 2)
        return number.to_bytes((number.bit_length() + 7) // 8, "little")

    def read(value: object) -> object:
        number = int.from_bytes(as_bytes(value), "little")
        text = f"{number:b}" if number else ""
        return text.rjust(length, "0") if length else text

    # 2147483647 is what Debezium declares where the type has no limit.
    parameter = ("length", str(length or 2_147_483_647))
    return Mapping(named("bytes", "io.debezium.data.Bits", parameter), b"", write, read)


def _array(kind: logical.LogicalType, options: Options) -> Mapping:
    assert isinstance(kind, logical.Array)
    item = mapping(kind.item, options)
    # The elements of enum arrays are required in Debezium's schemas, all others optional.
    items = replace(item.schema, optional=not isinstance(kind.item, logical.Enum))
    return Mapping(
        Connect("array", items=items, optional=item.unknown),
        zero=[],
        write=_array_writer(kind.item, item, nested_allowed=not options.schemas),
        read=_array_reader(item),
        unavailable=_unavailable_items(kind.item, item, options),
        unknown=item.unknown,
    )


def _array_writer(kind: logical.LogicalType, item: Mapping, *, nested_allowed: bool) -> Convert:
    write = item.write

    def one(value: object) -> object:
        if value is None:
            return None
        if logical.is_dimension(value, kind):
            assert isinstance(value, tuple)
            if not nested_allowed:
                raise Unrepresentable("an array of more than one dimension under inline schemas")
            return [one(part) for part in value]
        return value if write is None else write(value)

    def many(value: object) -> object:
        assert isinstance(value, tuple)
        return [one(part) for part in value]

    return many


def _array_reader(item: Mapping) -> Convert:
    read = item.read
    nested = dimensions(item.schema)

    def one(value: object) -> object:
        if value is None:
            return None
        if isinstance(value, list) and nested(value):
            return tuple(one(part) for part in value)
        return value if read is None else read(value)

    def many(value: object) -> object:
        if not isinstance(value, list):
            raise DecodeError("not an array where the structure has one", kind="value")
        return tuple(one(part) for part in value)

    return many


def _unavailable_items(kind: logical.LogicalType, item: Mapping, options: Options) -> object:
    """Debezium's placeholders of arrays: only some element types have one."""
    if isinstance(kind, logical.String) and kind.kind not in TEXT_KINDS:
        return None
    if isinstance(kind, (logical.String, logical.Json, logical.Uuid)):
        return [item.unavailable]
    if isinstance(kind, logical.Bytes):
        return [item.unavailable] if options.binary == "bytes" else None
    if item.schema.type in {"int32", "int64"} and isinstance(
        kind, (logical.Int32, logical.Int64, logical.Date)
    ):
        return list(options.placeholder_bytes)
    return None


_MAKERS: dict[type[logical.LogicalType], Callable[[logical.LogicalType, Options], Mapping]] = {
    logical.UInt64: _uint64,
    logical.Decimal: _decimal,
    logical.String: _string,
    logical.Bytes: _bytes,
    logical.Date: temporal_modes.date,
    logical.Time: temporal_modes.time,
    logical.Timestamp: temporal_modes.timestamp,
    logical.TimestampTz: temporal_modes.zoned_timestamp,
    logical.TimeTz: temporal_modes.zoned_time,
    logical.Interval: temporal_modes.interval,
    logical.Uuid: _uuid,
    logical.Json: _json,
    logical.Enum: _enum,
    logical.Bits: _bits,
    logical.Map: structs.hstore,
    logical.Point: structs.point,
    logical.Geometry: structs.geometry,
    logical.Vector: structs.vector,
    logical.SparseVector: structs.sparse_vector,
    logical.Array: _array,
}
