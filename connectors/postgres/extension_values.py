"""From Postgres's text format to the values of points, hstore, PostGIS and pgvector.

The rules are those of values.py: DecodeError for bytes that the type's output function cannot have
written, never a guess.

Source: PostgreSQL manual, Geometric Types; contrib/hstore/hstore_io.c hstore_out; PostGIS manual,
"OGC WKB and EWKB"; pgvector src/vector.c vector_out and src/sparsevec.c sparsevec_out.
"""

import binascii
import re
import struct
from collections.abc import Callable
from typing import Final

from cdc.errors import DecodeError
from connectors.postgres import values

_PAIR: Final = re.compile(
    rb'"((?:[^"\\]|\\.)*+)"=>(?:(NULL)|"((?:[^"\\]|\\.)*+)")(?:, |\Z)', re.DOTALL
)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
# The flag of an EWKB's type word that says that an SRID follows it.
_HAS_SRID: Final = 0x20000000


def _bad(kind: str, offset: int | None = None) -> DecodeError:
    return DecodeError("the server's text is no value of its type", kind=kind, offset=offset)


def point(raw: bytes) -> tuple[float, float]:
    """X and y of `(2.5,-4)`."""
    parts = raw[1:-1].split(b",")
    if len(parts) != 2 or raw[:1] != b"(" or raw[-1:] != b")":
        raise _bad("point")
    return values.float64(parts[0]), values.float64(parts[1])


def hstore(raw: bytes) -> dict[str, str | None]:
    """The pairs of `"a"=>"1", "b"=>NULL`, in the server's order."""
    pairs: dict[str, str | None] = {}
    position = 0
    while position < len(raw):
        match = _PAIR.match(raw, position)
        if match is None:
            raise _bad("hstore", position)
        key, null, value = match.groups()
        pairs[_unescaped(key)] = None if null else _unescaped(value)
        position = match.end()
    return pairs


def _unescaped(raw: bytes) -> str:
    return values.text(_ESCAPED.sub(rb"\1", raw) if b"\\" in raw else raw)


def geometry(raw: bytes) -> tuple[int | None, bytes]:
    """The SRID, if the value has one, and the EWKB whose hexadecimal digits the server sends."""
    try:
        ewkb = binascii.unhexlify(raw)
    except binascii.Error:
        raise _bad("geometry") from None
    if len(ewkb) < 5 or ewkb[0] > 1:
        raise _bad("geometry", 0)
    order = "<" if ewkb[0] else ">"
    (kind,) = struct.unpack_from(f"{order}I", ewkb, 1)
    if not kind & _HAS_SRID:
        return None, ewkb
    if len(ewkb) < 9:
        raise _bad("geometry", 5)
    (srid,) = struct.unpack_from(f"{order}i", ewkb, 5)
    return srid, ewkb


def vector(raw: bytes) -> tuple[float, ...]:
    """The numbers of `[1,2.5]`: each the double nearest to its text."""
    return _numbers(raw, values.float64)


def half_vector(raw: bytes) -> tuple[float, ...]:
    """The numbers of `[1,2.5]`: each the 32-bit number nearest to its text."""
    return _numbers(raw, values.float32)


def _numbers(raw: bytes, number: Callable[[bytes], float]) -> tuple[float, ...]:
    if raw[:1] != b"[" or raw[-1:] != b"]" or len(raw) < 3:
        raise _bad("vector")
    return tuple([number(part) for part in raw[1:-1].split(b",")])


def sparse_vector(raw: bytes) -> tuple[int, dict[int, float]]:
    """The dimensions of `{1:0.5,4:2}/6`, and what is not zero by index from 1."""
    body, slash, dimensions = raw.partition(b"/")
    if not slash or body[:1] != b"{" or body[-1:] != b"}":
        raise _bad("sparsevec")
    found: dict[int, float] = {}
    for part in body[1:-1].split(b",") if len(body) > 2 else []:
        index, colon, number = part.partition(b":")
        if not colon:
            raise _bad("sparsevec")
        found[values.int32(index)] = values.float64(number)
    return values.int32(dimensions), found
