"""Names and sizes of the server's types, as Debezium shows them in schemas.

Lengths and scales are those of the JDBC driver, whose figures Debezium passes on: digits or
characters as people write them, UNBOUNDED where there is no limit.
Source: pgjdbc org/postgresql/jdbc/TypeInfoCache.java, getPrecision, getScale, getDisplaySize.
"""

from collections.abc import Mapping
from typing import Final

from connectors.postgres.logical_types import ELEMENTS, TEXT_NAMES, Types

UNBOUNDED: Final = 2**31 - 1
NUMERIC_DIGITS_MAX: Final = 131_089
"""The length of a numeric without a precision."""

_NAMES: Final[Mapping[int, str]] = {
    **TEXT_NAMES,
    16: "bool", 17: "bytea", 18: "char", 19: "name", 20: "int8", 21: "int2", 23: "int4",
    25: "text", 26: "oid", 114: "json", 142: "xml", 600: "point", 650: "cidr", 700: "float4",
    701: "float8", 774: "macaddr8", 790: "money", 829: "macaddr", 869: "inet", 1042: "bpchar",
    1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz",
    1186: "interval", 1266: "timetz", 1560: "bit", 1562: "varbit", 1700: "numeric", 2950: "uuid",
    3614: "tsvector", 3802: "jsonb", 3904: "int4range", 3906: "numrange", 3908: "tsrange",
    3910: "tstzrange", 3912: "daterange", 3926: "int8range",
}  # fmt: skip
# Length and scale of types that have no modifier.
_FIXED: Final[Mapping[int, tuple[int, int]]] = {
    16: (1, 0), 18: (1, 0), 20: (19, 0), 21: (5, 0), 23: (10, 0), 26: (10, 0), 700: (8, 8),
    701: (17, 17), 1082: (13, 0),
}  # fmt: skip
# Length of times without their fraction of a second.
_TIMES: Final[Mapping[int, int]] = {1083: 8, 1266: 14, 1114: 22, 1184: 28}
_INTERVAL: Final = 1186
_INTERVAL_LENGTH: Final = 49
_NUMERIC: Final = 1700
_BITS: Final = frozenset({1560, 1562})
_CHARACTERS: Final = frozenset({1042, 1043})
# A damaged store of facts could name a type as its own base.
_DEPTH_MAX: Final = 32


def source_type(oid: int, modifier: int, types: Types) -> tuple[tuple[str, str], ...]:
    """The attributes `type_name`, `length` and `scale` of a column; none for an unknown type.

    A domain has its own name and its base's size; an array has its elements' size.
    """
    name = _name(oid, types)
    if name is None:
        return ()
    length, scale = _size(*_sized(oid, modifier, types))
    return ("type_name", name), ("length", str(length)), ("scale", str(scale))


def _name(oid: int, types: Types) -> str | None:
    if oid in _NAMES:
        return _NAMES[oid]
    if oid in ELEMENTS:
        return f"_{_NAMES[ELEMENTS[oid]]}"
    facts = types.facts.get(oid)
    return None if facts is None else facts.name.rpartition(".")[2]


def _sized(oid: int, modifier: int, types: Types) -> tuple[int, int]:
    """The type and modifier whose size counts: below domains and arrays."""
    for _ in range(_DEPTH_MAX):
        oid, modifier = types.base(oid, modifier)
        facts = types.facts.get(oid)
        if oid in ELEMENTS:
            oid = ELEMENTS[oid]
        elif facts is not None and facts.kind == "array":
            oid = facts.base
        else:
            break
    return oid, modifier


def _size(oid: int, modifier: int) -> tuple[int, int]:
    size = UNBOUNDED, 0
    if oid in _FIXED:
        size = _FIXED[oid]
    elif oid in _TIMES:
        digits = modifier if 0 <= modifier <= 6 else 6
        # The point, and one digit more than there are where it is one.
        size = _TIMES[oid] + {0: 0, 1: 3}.get(digits, digits + 1), digits
    elif oid == _INTERVAL:
        # The low half of the modifier; 65535 says that the fields have no fraction of a second.
        size = _INTERVAL_LENGTH, 6 if modifier < 0 else modifier & 0xFFFF
    elif oid == _NUMERIC:
        size = NUMERIC_DIGITS_MAX, 0
        if modifier >= 4:
            packed = modifier - 4
            size = (packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024
    elif oid in _BITS and modifier > 0:
        size = modifier, 0
    elif oid in _CHARACTERS and modifier >= 4:
        size = modifier - 4, 0
    return size
