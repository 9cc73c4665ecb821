"""Maps, points, geometries and vectors: Debezium's encodings, both ways, and in arrays."""

import json

import pytest

from cdc import schema as logical
from cdc.errors import DecodeError
from cdc.schema import LogicalType
from cdc.serializers.decimals import Unrepresentable
from cdc.serializers.json_values import header_text, reader, schema_text, writer
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping

# POINT(2.5 -4) of SRID 4326, as Debezium's documentation shows its EWKB.
EWKB = bytes.fromhex("0101000020E6100000000000000000044000000000000010C0")
HSTORE: dict[str, str | None] = {"k1": "v1", "k2": None, "sp ace": 'q"uote'}

CASES: list[tuple[LogicalType, object, dict[str, object], bytes]] = [
    (
        logical.Map(), HSTORE, {},
        rb'"{\"k1\":\"v1\",\"k2\":null,\"sp ace\":\"q\\\"uote\"}"',
    ),
    (logical.Map(), HSTORE, {"hstore": "map"}, rb'{"k1":"v1","k2":null,"sp ace":"q\"uote"}'),
    (logical.Map(), {}, {}, b'"{}"'),
    (
        logical.Point(), (2.5, -4.0), {},
        b'{"x":2.5,"y":-4.0,"wkb":"AQEAAAAAAAAAAAAEQAAAAAAAABDA","srid":null}',
    ),
    (
        logical.Geometry(), (4326, EWKB), {},
        b'{"wkb":"AQEAACDmEAAAAAAAAAAABEAAAAAAAAAQwA==","srid":4326}',
    ),
    (logical.Geometry(geodetic=True), (None, b"\x01"), {}, b'{"wkb":"AQ==","srid":null}'),
    (logical.Vector(), (1.0, 0.1), {}, b"[1.0,0.1]"),
    (logical.Vector(half=True), (0.5,), {}, b"[0.5]"),
    (
        logical.SparseVector(), (6, {1: 0.5, 4: 2.0}), {},
        b'{"dimensions":6,"vector":[[1,0.5],[4,2.0]]}',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "chosen", "text"), CASES)
def test_value_is_written_as_debezium_does_and_read_back(
    kind: LogicalType, value: object, chosen: dict[str, object], text: bytes
) -> None:
    how = mapping(kind, Options.model_validate(chosen))
    read = reader(how.schema)

    written = writer(how.schema)(value if how.write is None else how.write(value))
    parsed = json.loads(written)
    again = parsed if read is None else read(parsed)

    assert text == written
    assert value == (again if how.read is None else how.read(again))


@pytest.mark.parametrize(("kind", "value", "chosen", "text"), CASES)
def test_arrays_of_it_have_any_number_of_dimensions(
    kind: LogicalType, value: object, chosen: dict[str, object], text: bytes
) -> None:
    how = mapping(logical.Array(kind), Options.model_validate(chosen))
    read = reader(how.schema)
    nested = ((value, None), (None, None), (None, value))
    assert how.write is not None
    assert how.read is not None

    written = writer(how.schema)(how.write(nested))
    parsed = json.loads(written)
    again = how.read(parsed if read is None else read(parsed))

    assert b"[[%b,null],[null,null],[null,%b]]" % (text, text) == written
    assert nested == again


@pytest.mark.parametrize(
    ("kind", "chosen", "properties"),
    [
        (
            logical.Map(), {"hstore": "map"},
            (b'"type":"map","keys":{"type":"string","optional":false},'
            b'"values":{"type":"string","optional":true}'),
        ),
        (logical.Geometry(), {}, b'"optional":true,"name":"io.debezium.data.geometry.Geometry"'),
        (
            logical.Geometry(geodetic=True), {},
            b'"optional":false,"name":"io.debezium.data.geometry.Geography"',
        ),
        (logical.Vector(), {}, b'"name":"io.debezium.data.DoubleVector","version":1'),
        (logical.Vector(half=True), {}, b'"name":"io.debezium.data.FloatVector","version":1'),
        (
            logical.SparseVector(), {},
            (b'{"type":"map","keys":{"type":"int16","optional":false},'
            b'"values":{"type":"double","optional":false},"optional":false,"field":"vector"}'),
        ),
    ],
)  # fmt: skip
def test_schema_is_debeziums(
    kind: LogicalType, chosen: dict[str, object], properties: bytes
) -> None:
    assert properties in schema_text(mapping(kind, Options.model_validate(chosen)).schema)


def test_map_in_a_key_header_is_an_object() -> None:
    schema = mapping(logical.Map(), Options(hstore="map")).schema

    assert header_text(schema, {"a": 'q"'}) == b'{"a":"q\\""}'


def test_sparse_vector_of_too_many_dimensions_has_no_encoding() -> None:
    how = mapping(logical.SparseVector(), Options())
    assert how.write is not None

    with pytest.raises(Unrepresentable, match="32767"):
        how.write((32_768, {}))


def test_placeholders_of_hstore() -> None:
    assert mapping(logical.Map(), Options()).unavailable == (
        '{"__debezium_unavailable_value":"__debezium_unavailable_value"}'
    )
    assert mapping(logical.Map(), Options(hstore="map")).unavailable == {
        "__debezium_unavailable_value": "__debezium_unavailable_value"
    }


@pytest.mark.parametrize(
    ("kind", "chosen", "value"),
    [
        (logical.Map(), {}, "[]"),
        (logical.Point(), {}, []),
        (logical.Geometry(), {}, []),
        (logical.Vector(), {}, {}),
        (logical.SparseVector(), {}, []),
    ],
)
def test_damaged_value_is_a_decode_error(
    kind: LogicalType, chosen: dict[str, object], value: object
) -> None:
    how = mapping(kind, Options.model_validate(chosen))
    assert how.read is not None

    with pytest.raises(DecodeError):
        how.read(value)


def test_damaged_map_is_a_decode_error() -> None:
    read = reader(mapping(logical.Map(), Options(hstore="map")).schema)
    assert read is not None

    with pytest.raises(DecodeError):
        read([])
