"""Hypothesis strategies of logical types and their values, tables and rows."""

import math
import struct
from decimal import Decimal as Number

from hypothesis import strategies as st

from cdc import schema as logical
from cdc.schema import Column, LogicalType, TableSchema

# Characters that a database can hold: no NUL, no lone surrogates.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
_DAY_US = 86_400_000_000
# Postgres: 4713 BC to 294276 AD.
_TIMESTAMPS = st.integers(-210_866_803_200_000_000, 9_223_371_331_200_000_000 - 1)
_INFINITIES = st.sampled_from([logical.TIMESTAMP_INFINITY, logical.TIMESTAMP_MINUS_INFINITY])


def _float32(number: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


def _fixed(scale: int) -> st.SearchStrategy[str]:
    return st.integers(-(10**20), 10**20).map(lambda n: f"{Number(n).scaleb(-scale):f}")


def _in_unit(values: st.SearchStrategy[int], precision: int) -> st.SearchStrategy[int]:
    unit = 10 ** (6 - precision)
    return values.map(lambda us: us // unit * unit)


def _unconstrained() -> st.SearchStrategy[str]:
    def stripped(text: str) -> str:
        return text.rstrip("0").rstrip(".") if "." in text else text

    return st.integers(0, 12).flatmap(_fixed).map(stripped).map(lambda t: "0" if t == "-0" else t)


_PLAIN: dict[type[LogicalType], st.SearchStrategy[object]] = {
    logical.Boolean: st.booleans(),
    logical.Int8: st.integers(-(2**7), 2**7 - 1),
    logical.Int16: st.integers(-(2**15), 2**15 - 1),
    logical.Int32: st.integers(-(2**31), 2**31 - 1),
    logical.Int64: st.integers(-(2**63), 2**63 - 1),
    logical.UInt64: st.integers(0, 2**63 - 1),
    logical.Float32: st.floats(width=32, allow_nan=False).map(_float32),
    logical.Float64: st.floats(allow_nan=False),
    logical.String: TEXT,
    logical.Json: TEXT,
    logical.Bytes: st.binary(max_size=40),
    logical.Date: st.integers(-2_440_588, 2_145_042_905)
    | st.sampled_from([logical.DATE_INFINITY, logical.DATE_MINUS_INFINITY]),
    logical.TimeTz: st.tuples(st.integers(0, _DAY_US - 1), st.just(0)),
    logical.Interval: st.tuples(
        st.integers(-(2**31), 2**31 - 1),
        st.integers(-(2**31), 2**31 - 1),
        st.integers(-(2**62), 2**62),
    ),
    logical.Uuid: st.uuids().map(str),
}


def values(kind: LogicalType) -> st.SearchStrategy[object]:
    """Values of this type that its exact encoding keeps."""
    plain = _PLAIN.get(type(kind))
    return _parametrised(kind) if plain is None else plain


def _parametrised(kind: LogicalType) -> st.SearchStrategy[object]:
    chosen: st.SearchStrategy[object]
    match kind:
        case logical.Decimal(_, scale):
            chosen = _unconstrained() if scale is None else _fixed(scale)
        case logical.Time(precision):
            chosen = _in_unit(st.integers(0, _DAY_US), precision)
        case logical.Timestamp(precision) | logical.TimestampTz(precision):
            chosen = _in_unit(_TIMESTAMPS, precision) | _INFINITIES
        case logical.Enum(labels):
            chosen = st.sampled_from(labels)
        case logical.Bits(length):
            limit = 2**70 if length is None else 2**length - 1
            width = 0 if length is None else length
            chosen = st.integers(width == 0, limit).map(
                lambda number: f"{number:b}".rjust(width, "0")
            )
        case logical.Array(item):
            chosen = st.lists(st.none() | values(item), max_size=4).map(tuple)
        case _:
            raise AssertionError(kind)
    return chosen


_SCALARS: st.SearchStrategy[LogicalType] = st.sampled_from(
    [
        logical.Boolean(), logical.Int8(), logical.Int16(), logical.Int32(), logical.Int64(),
        logical.UInt64(), logical.Float32(), logical.Float64(), logical.Decimal(),
        logical.Decimal(10, 2), logical.Decimal(38, 0), logical.Decimal(None, 2), logical.String(),
        logical.String("xml"), logical.String("inet"), logical.Bytes(), logical.Date(),
        logical.Time(0), logical.Time(3), logical.Time(6), logical.Timestamp(0),
        logical.Timestamp(3), logical.Timestamp(6), logical.TimestampTz(0), logical.TimestampTz(3),
        logical.TimestampTz(6), logical.TimeTz(6), logical.Interval(), logical.Uuid(),
        logical.Json(), logical.Enum(("sad", "ok", "happy, very")), logical.Bits(1),
        logical.Bits(12), logical.Bits(None),
    ]
)  # fmt: skip
TYPES = _SCALARS | _SCALARS.map(logical.Array)


@st.composite
def tables(draw: st.DrawFn) -> TableSchema:
    """A table with a key of one or two columns, or none."""
    key = draw(st.sampled_from([(), (0,), (1, 0)]))
    columns = [
        Column("id", logical.Int64(), nullable=False),
        Column("k", logical.String("varchar"), nullable=False),
    ]
    for number, kind in enumerate(draw(st.lists(TYPES, min_size=1, max_size=5))):
        default: object = logical.NO_DEFAULT
        if draw(st.booleans()):
            default = draw(values(kind))
        nullable = draw(st.booleans())
        columns.append(Column(f"c{number} {draw(TEXT)}", kind, nullable, default))
    namespace = draw(st.sampled_from(["public", "other schema"]))
    return TableSchema(
        "shop", namespace, draw(st.sampled_from(["t", "Weird-Name"])), tuple(columns), key
    )


@st.composite
def rows(draw: st.DrawFn, table: TableSchema, missing: object = None) -> tuple[object, ...]:
    """A row that fits the table; columns outside the key may be `missing` when it is not None."""
    row = []
    for index, column in enumerate(table.columns):
        choices = values(column.type)
        if column.nullable:
            choices = st.none() | choices
        if missing is not None and index not in table.key:
            choices = st.just(missing) | choices
        row.append(draw(choices))
    return tuple(row)


def same(left: object, right: object) -> bool:
    """Equality that tells 0.0 from -0.0 and takes NaN for itself."""
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right
