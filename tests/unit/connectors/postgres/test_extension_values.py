"""Decoders of points, hstore, PostGIS and pgvector: what servers write, all else refused."""

import math
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from cdc.schema import Array, Geometry, SparseVector, String, Vector
from connectors.postgres import extension_values
from connectors.postgres.decoders import decoder

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)


def test_point_may_be_anywhere() -> None:
    x, y = extension_values.point(b"(NaN,-Infinity)")

    assert extension_values.point(b"(2.5,-4)") == (2.5, -4.0)
    assert math.isnan(x)
    assert y == -math.inf


def quoted(text: str) -> str:
    # Source: hstore_out, which puts a backslash before quotes and backslashes.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.dictionaries(TEXTS, TEXTS | st.none()))
def test_hstore_keeps_every_character(pairs: dict[str, str | None]) -> None:
    text = ", ".join(
        f"{quoted(key)}=>{'NULL' if value is None else quoted(value)}"
        for key, value in pairs.items()
    )

    assert extension_values.hstore(text.encode()) == pairs


def test_geometry_shows_its_srid() -> None:
    # PostGIS manual, "OGC WKB and EWKB": POINT(2.5 -4), with SRID 4326 and without.
    plain = struct.pack("<BIdd", 1, 1, 2.5, -4.0)
    located = struct.pack("<BIIdd", 1, 1 | 0x20000000, 4326, 2.5, -4.0)
    big = struct.pack(">BIIdd", 0, 1 | 0x20000000, 4326, 2.5, -4.0)

    assert extension_values.geometry(plain.hex().upper().encode()) == (None, plain)
    assert extension_values.geometry(located.hex().upper().encode()) == (4326, located)
    assert extension_values.geometry(big.hex().upper().encode()) == (4326, big)


def test_vectors() -> None:
    sparse = extension_values.sparse_vector(b"{1:0.5,4:2}/6")

    assert decoder(Vector())(b"[1,0.1,-1e-10]") == (1.0, 0.1, -1e-10)
    assert decoder(Vector(half=True))(b"[0.1]") == (0.10000000149011612,)
    assert sparse == (6, {1: 0.5, 4: 2.0})
    assert extension_values.sparse_vector(b"{}/3") == (3, {})


def test_arrays_have_the_delimiter_of_their_type() -> None:
    ewkb = struct.pack("<BIdd", 1, 1, 0.0, 0.0)
    two = b"{" + ewkb.hex().encode() + b":NULL:" + ewkb.hex().encode() + b"}"

    assert decoder(Array(Geometry()))(two) == ((None, ewkb), None, (None, ewkb))
    assert decoder(Array(String("box")))(b"{(3,4),(1,2);(5,6),(1,2)}") == (
        "(3,4),(1,2)",
        "(5,6),(1,2)",
    )
    assert decoder(Array(String("box")))(b"{{(3,4),(1,2);NULL};{NULL;NULL}}") == (
        ("(3,4),(1,2)", None),
        (None, None),
    )
    assert decoder(Array(Vector()))(b'{"[1,2]",NULL}') == ((1.0, 2.0), None)
    assert decoder(Array(SparseVector()))(b'{"{1:2}/3"}') == ((3, {1: 2.0}),)


@pytest.mark.parametrize(
    ("decode", "raw"),
    [
        (extension_values.point, b""),
        (extension_values.point, b"(1)"),
        (extension_values.point, b"(1,2"),
        (extension_values.point, b"1,2)"),
        (extension_values.hstore, b"a=>1"),
        (extension_values.hstore, b'"a"=>"1" '),
        (extension_values.hstore, b'"a"=>"1","b"=>NULL'),
        (extension_values.hstore, b'"a"=>null'),
        (extension_values.hstore, b'"\xff"=>NULL'),
        (extension_values.geometry, b"0"),
        (extension_values.geometry, b"01"),
        (extension_values.geometry, b"0201000000"),
        (extension_values.geometry, b"010100002000"),
        (extension_values.vector, b"[]"),
        (extension_values.vector, b"[1,]"),
        (extension_values.vector, b"1,2"),
        (extension_values.half_vector, b"[1e39]"),
        (extension_values.sparse_vector, b"{1:2}"),
        (extension_values.sparse_vector, b"{1}/2"),
        (extension_values.sparse_vector, b"1:2/3"),
        (extension_values.sparse_vector, b"{1:2}/x"),
    ],
)
def test_what_no_output_function_writes_is_refused(
    decode: Callable[[bytes], object], raw: bytes
) -> None:
    with pytest.raises(DecodeError):
        decode(raw)


@given(st.binary(max_size=40))
def test_noise_is_refused_or_decoded(raw: bytes) -> None:
    for decode in (
        extension_values.point,
        extension_values.hstore,
        extension_values.geometry,
        extension_values.vector,
        extension_values.sparse_vector,
    ):
        try:
            decode(raw)
        except DecodeError:
            continue
