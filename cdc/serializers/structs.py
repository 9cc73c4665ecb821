"""Maps, points, geometries and vectors as Debezium's structs and arrays, and back.

Source of names and encodings: Debezium's documentation, "Data type mappings" of PostgreSQL, HSTORE,
PGvector, network address, PostGIS types; OGC 06-103r4, 8.2 for WKB.
"""

import json
import struct

from cdc import schema as logical
from cdc.errors import DecodeError
from cdc.serializers.connect import Connect
from cdc.serializers.decimals import Unrepresentable
from cdc.serializers.mapping import Mapping, as_bytes, named
from cdc.serializers.options import Options

_INT16_MAX = 32_767
# Little-endian, type 1 (point), x, y.
_WKB_POINT = struct.Struct("<BIdd")
# A collection of nothing, which Debezium shows for a NOT NULL geometry that was not sent.
_EMPTY_WKB = struct.pack("<BII", 1, 7, 0)
_WKB = ("wkb", Connect("bytes"))
_SRID = ("srid", Connect("int32", optional=True))


def hstore(_: logical.LogicalType, options: Options) -> Mapping:
    """JSON text of an object, or a map; values are text or null."""
    placeholder = {options.placeholder: options.placeholder}
    if options.hstore == "map":
        return Mapping(
            Connect("map", keys=Connect("string"), values=Connect("string", optional=True)),
            zero={},
            unavailable=placeholder,
        )
    return Mapping(
        named("string", "io.debezium.data.Json"),
        zero="{}",
        write=_json_text,
        read=_json_map,
        unavailable=_json_text(placeholder),
    )


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json_map(value: object) -> object:
    content = json.loads(str(value))
    if not isinstance(content, dict):
        raise DecodeError("not an object where the structure has a map", kind="value")
    return content


def point(_: logical.LogicalType, __: Options) -> Mapping:
    """A struct of x, y and the same as WKB."""
    fields = (
        ("x", Connect("double")),
        ("y", Connect("double")),
        ("wkb", Connect("bytes", optional=True)),
        _SRID,
    )
    schema = Connect(
        "struct",
        name="io.debezium.data.geometry.Point",
        version=1,
        doc="Geometry (POINT)",
        fields=fields,
    )
    return Mapping(schema, _point(0.0, 0.0), _write_point, _read_point)


def _point(x: float, y: float) -> dict[str, object]:
    return {"x": x, "y": y, "wkb": _WKB_POINT.pack(1, 1, x, y), "srid": None}


def _write_point(value: object) -> object:
    assert isinstance(value, tuple)
    return _point(*value)


def _read_point(value: object) -> object:
    if not isinstance(value, dict):
        raise DecodeError("not a struct where the structure has a point", kind="value")
    return value["x"], value["y"]


def geometry(kind: logical.LogicalType, _: Options) -> Mapping:
    """A struct of EWKB and SRID."""
    assert isinstance(kind, logical.Geometry)
    name = "Geography" if kind.geodetic else "Geometry"
    schema = Connect(
        "struct",
        # Debezium's Geometry is optional even where the column is NOT NULL.
        optional=not kind.geodetic,
        name=f"io.debezium.data.geometry.{name}",
        version=1,
        doc=name,
        fields=(_WKB, _SRID),
    )
    return Mapping(schema, {"wkb": _EMPTY_WKB, "srid": None}, _write_geometry, _read_geometry)


def _write_geometry(value: object) -> object:
    assert isinstance(value, tuple)
    srid, ewkb = value
    return {"wkb": ewkb, "srid": srid}


def _read_geometry(value: object) -> object:
    if not isinstance(value, dict):
        raise DecodeError("not a struct where the structure has a geometry", kind="value")
    return value["srid"], as_bytes(value["wkb"])


def vector(kind: logical.LogicalType, _: Options) -> Mapping:
    """An array of doubles, of halfvec one of floats."""
    assert isinstance(kind, logical.Vector)
    item, name = ("float", "FloatVector") if kind.half else ("double", "DoubleVector")
    schema = Connect("array", name=f"io.debezium.data.{name}", version=1, items=Connect(item))
    return Mapping(schema, [], _write_vector, _read_vector)


def _write_vector(value: object) -> object:
    assert isinstance(value, tuple)
    return list(value)


def _read_vector(value: object) -> object:
    if not isinstance(value, list):
        raise DecodeError("not an array where the structure has a vector", kind="value")
    return tuple(value)


def sparse_vector(_: logical.LogicalType, __: Options) -> Mapping:
    """A struct of the number of dimensions and a map from index to number."""
    schema = Connect(
        "struct",
        name="io.debezium.data.SparseDoubleVector",
        version=1,
        doc="Sparse double vector",
        fields=(
            ("dimensions", Connect("int16")),
            ("vector", Connect("map", keys=Connect("int16"), values=Connect("double"))),
        ),
    )
    return Mapping(schema, {"dimensions": 0, "vector": {}}, _write_sparse, _read_sparse)


def _write_sparse(value: object) -> object:
    assert isinstance(value, tuple)
    dimensions, numbers = value
    if dimensions > _INT16_MAX:
        raise Unrepresentable("a sparse vector of more than 32767 dimensions")
    return {"dimensions": dimensions, "vector": numbers}


def _read_sparse(value: object) -> object:
    if not isinstance(value, dict):
        raise DecodeError("not a struct where the structure has a sparse vector", kind="value")
    return value["dimensions"], value["vector"]
