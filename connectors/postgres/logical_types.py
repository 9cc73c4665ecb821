"""From the server's types to logical types: built-in ones by oid alone, others by their facts.

Source: PostgreSQL src/include/catalog/pg_type.dat for oids; the typmodin functions of each type for
type modifiers (numeric.c make_numeric_typmod, varchar.c anychar_typmodin, timestamp.c).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

import psycopg

from cdc.errors import SchemaError
from cdc.schema import (
    Array,
    Bits,
    Boolean,
    Bytes,
    Date,
    Decimal,
    Enum,
    Float32,
    Float64,
    Geometry,
    Int16,
    Int32,
    Int64,
    Interval,
    Json,
    LogicalType,
    Map,
    Point,
    SparseVector,
    String,
    Time,
    Timestamp,
    TimestampTz,
    TimeTz,
    Uuid,
    Vector,
)  # fmt: skip
from connectors.postgres.decoders import delimiter_of
from connectors.postgres.xids import made_by

_Make = Callable[[int], LogicalType]


def _plain(kind: LogicalType) -> _Make:
    return lambda _: kind


def _characters(kind: str) -> _Make:
    # The modifier counts the 4 bytes of the length word too.
    return lambda modifier: String(kind, modifier - 4 if modifier >= 4 else None)


def _fraction(kind: type[Time | Timestamp | TimestampTz | TimeTz]) -> _Make:
    return lambda modifier: kind(modifier if 0 <= modifier <= 6 else 6)


def _bits(modifier: int) -> LogicalType:
    return Bits(modifier if modifier > 0 else None)


def _numeric(modifier: int) -> LogicalType:
    if modifier < 4:
        return Decimal()
    packed = modifier - 4
    # The scale is 11 bits, signed since version 15.
    return Decimal((packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024)


# oid of the type, oid of its array type, how its modifier decides.
_MAPPED: Final[Sequence[tuple[int, int, _Make]]] = (
    (16, 1000, _plain(Boolean())),
    (17, 1001, _plain(Bytes())),
    (18, 1002, _plain(String("char"))),
    (19, 1003, _plain(String("name"))),
    (20, 1016, _plain(Int64())),
    (21, 1005, _plain(Int16())),
    (23, 1007, _plain(Int32())),
    (25, 1009, _plain(String("text"))),
    (600, 1017, _plain(Point())),
    (26, 1028, _plain(Int64())),
    (114, 199, _plain(Json())),
    (142, 143, _plain(String("xml"))),
    (650, 651, _plain(String("cidr"))),
    (700, 1021, _plain(Float32())),
    (701, 1022, _plain(Float64())),
    (774, 775, _plain(String("macaddr8"))),
    (790, 791, _plain(Decimal(None, 2))),
    (829, 1040, _plain(String("macaddr"))),
    (869, 1041, _plain(String("inet"))),
    (1042, 1014, _characters("bpchar")),
    (1043, 1015, _characters("varchar")),
    (1082, 1182, _plain(Date())),
    (1083, 1183, _fraction(Time)),
    (1114, 1115, _fraction(Timestamp)),
    (1184, 1185, _fraction(TimestampTz)),
    (1186, 1187, _plain(Interval())),
    (1266, 1270, _fraction(TimeTz)),
    (1560, 1561, _bits),
    (1562, 1563, _bits),
    (1700, 1231, _numeric),
    (2950, 2951, _plain(Uuid())),
    (3614, 3643, _plain(String("tsvector"))),
    (3802, 3807, _plain(Json())),
    (3904, 3905, _plain(String("int4range"))),
    (3906, 3907, _plain(String("numrange"))),
    (3908, 3909, _plain(String("tsrange"))),
    (3910, 3911, _plain(String("tstzrange"))),
    (3912, 3913, _plain(String("daterange"))),
    (3926, 3927, _plain(String("int8range"))),
)
# Types whose value is the server's text: oid, oid of the array type (0: it has none), name.
_TEXTS: Final[Sequence[tuple[int, int, str]]] = (
    (22, 1006, "int2vector"),
    (24, 1008, "regproc"),
    (27, 1010, "tid"),
    (28, 1011, "xid"),
    (29, 1012, "cid"),
    (30, 1013, "oidvector"),
    (194, 0, "pg_node_tree"),
    (601, 1018, "lseg"),
    (602, 1019, "path"),
    (603, 1020, "box"),
    (604, 1027, "polygon"),
    (628, 629, "line"),
    (718, 719, "circle"),
    (1033, 1034, "aclitem"),
    (1790, 2201, "refcursor"),
    (2202, 2207, "regprocedure"),
    (2203, 2208, "regoper"),
    (2204, 2209, "regoperator"),
    (2205, 2210, "regclass"),
    (2206, 2211, "regtype"),
    (2970, 2949, "txid_snapshot"),
    (3220, 3221, "pg_lsn"),
    (3361, 0, "pg_ndistinct"),
    (3402, 0, "pg_dependencies"),
    (3615, 3645, "tsquery"),
    (3642, 3644, "gtsvector"),
    (3734, 3735, "regconfig"),
    (3769, 3770, "regdictionary"),
    (4072, 4073, "jsonpath"),
    (4089, 4090, "regnamespace"),
    (4096, 4097, "regrole"),
    (4191, 4192, "regcollation"),
    (4451, 6150, "int4multirange"),
    (4532, 6151, "nummultirange"),
    (4533, 6152, "tsmultirange"),
    (4534, 6153, "tstzmultirange"),
    (4535, 6155, "datemultirange"),
    (4536, 6157, "int8multirange"),
    (4600, 0, "pg_brin_bloom_summary"),
    (4601, 0, "pg_brin_minmax_multi_summary"),
    (5017, 0, "pg_mcv_list"),
    (5038, 5039, "pg_snapshot"),
    (5069, 271, "xid8"),
)
_BUILT_IN: Final = (
    *_MAPPED,
    *((oid, array, _plain(String(name))) for oid, array, name in _TEXTS),
)
_SCALARS: Final[Mapping[int, _Make]] = {oid: make for oid, _, make in _BUILT_IN}
_ARRAYS: Final[Mapping[int, _Make]] = {array: make for _, array, make in _BUILT_IN if array}
ELEMENTS: Final[Mapping[int, int]] = {array: oid for oid, array, _ in _BUILT_IN if array}
"""The element's type of each array type."""
TEXT_NAMES: Final[Mapping[int, str]] = {oid: name for oid, _, name in _TEXTS}
BUILT_IN_OIDS: Final = frozenset(_SCALARS) | frozenset(_ARRAYS)

# Types of extensions that have a logical type of their own, by extension and name; their oids
# differ by database. All other types of extensions are text.
_EXTENSIONS: Final[Mapping[tuple[str, str], LogicalType]] = {
    ("hstore", "hstore"): Map(),
    ("postgis", "geometry"): Geometry(),
    ("postgis", "geography"): Geometry(geodetic=True),
    ("vector", "vector"): Vector(),
    ("vector", "halfvec"): Vector(half=True),
    ("vector", "sparsevec"): SparseVector(),
}
# Lookups are bounded because a damaged store of facts could name a type as its own base.
_DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """What the catalog says about one type that is not built in.

    `base` is a domain's base type or an array's element type, else 0; `modifier` belongs to a
    domain's base. A `string` is the server's text; an `extension` is a type of `extension` that
    has a logical type of its own. `delimiter` separates an array's elements. `made` is the 64-bit
    id of the transaction that last changed what is said here besides labels, `labels_made` that of
    each label; 0: long ago.
    """

    oid: int
    name: str
    kind: Literal["enum", "domain", "array", "string", "extension", "unsupported"]
    base: int = 0
    modifier: int = -1
    not_null: bool = False
    labels: tuple[str, ...] = ()
    made: int = 0
    labels_made: tuple[int, ...] = ()
    extension: str = ""
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class Types:
    """Resolves type oids; `facts` holds those that are not built in, by oid."""

    facts: Mapping[int, TypeFacts] = field(default_factory=dict)

    def resolve(self, oid: int, modifier: int) -> LogicalType | None:
        """The logical type, None if it is not supported or not known."""
        return self._resolve(oid, modifier, _DEPTH_MAX)

    def _resolve(self, oid: int, modifier: int, depth: int) -> LogicalType | None:
        if oid in _SCALARS:
            return _SCALARS[oid](modifier)
        if oid in _ARRAYS:
            return Array(_ARRAYS[oid](modifier))
        facts = self.facts.get(oid)
        found: LogicalType | None = None
        if facts is None or depth == 0:
            return None
        if facts.kind == "enum":
            found = Enum(facts.labels)
        elif facts.kind == "string":
            found = String(_short(facts.name))
        elif facts.kind == "extension":
            found = _EXTENSIONS.get((facts.extension, _short(facts.name)))
        elif facts.kind == "domain":
            found = self._resolve(facts.base, facts.modifier, depth - 1)
        elif facts.kind == "array":
            item = self._resolve(facts.base, modifier, depth - 1)
            found = None if item is None else _array_of(item, facts)
        return found

    def base(self, oid: int, modifier: int) -> tuple[int, int]:
        """The type and modifier below all domains; the arguments themselves for other types."""
        for _ in range(_DEPTH_MAX):
            facts = self.facts.get(oid)
            if facts is None or facts.kind != "domain":
                break
            oid, modifier = facts.base, facts.modifier
        return oid, modifier

    def not_null(self, oid: int) -> bool:
        """Whether the type is a domain that refuses nulls, itself or below."""
        for _ in range(_DEPTH_MAX):
            facts = self.facts.get(oid)
            if facts is None or facts.kind != "domain":
                return False
            if facts.not_null:
                return True
            oid = facts.base
        return False

    def content(self) -> list[dict[str, object]]:
        """The facts as JSON content."""
        return [asdict(facts) for facts in self.facts.values()]


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _array_of(item: LogicalType, facts: TypeFacts) -> LogicalType:
    """An array, or its text where the elements are not told apart.

    That is so where a domain makes them arrays themselves, and where they have a delimiter of
    their own.
    """
    if isinstance(item, Array) or facts.delimiter != delimiter_of(item):
        return String(_short(facts.name))
    return Array(item)


def types_of(content: Iterable[Mapping[str, object]]) -> Types:
    """What `Types.content` was taken from. Raises SchemaError."""
    try:
        found = [
            TypeFacts(**{name: _tuple(value) for name, value in entry.items()})  # type: ignore[arg-type]
            for entry in content
        ]
    except (TypeError, KeyError) as error:
        raise SchemaError("stored facts about types are damaged") from error
    return Types({facts.oid: facts for facts in found})


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


_READ_TYPES: Final = """
WITH RECURSIVE wanted (oid) AS (
    SELECT pg_catalog.unnest(%(oids)s::pg_catalog.oid[])
    UNION
    SELECT below.oid
    FROM wanted
    JOIN pg_catalog.pg_type t ON t.oid = wanted.oid
    CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) AS below (oid)
    WHERE below.oid <> 0
)
SELECT t.oid::pg_catalog.int8,
       pg_catalog.format('%%s.%%s', n.nspname, t.typname),
       t.typtype::pg_catalog.text,
       t.typbasetype::pg_catalog.int8,
       t.typtypmod,
       t.typnotnull,
       element.oid::pg_catalog.int8,
       ARRAY(SELECT e.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum e
             WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       (SELECT x.extname::pg_catalog.text FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid
          AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'),
       t.typname::pg_catalog.text, COALESCE(element.typdelim, t.typdelim)::pg_catalog.text,
       t.xmin::pg_catalog.text::pg_catalog.int8,
       ARRAY(SELECT e.xmin::pg_catalog.text::pg_catalog.int8 FROM pg_catalog.pg_enum e
             WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
        ::pg_catalog.text::pg_catalog.int8)
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type element ON element.typarray = t.oid
WHERE t.oid IN (SELECT wanted.oid FROM wanted) AND NOT t.oid = ANY (%(known)s::pg_catalog.oid[])
"""


def read_types(connection: psycopg.Connection, oids: Iterable[int]) -> Types:
    """The facts of these types and of all types that they are built from."""
    asked = sorted(set(oids) - BUILT_IN_OIDS)
    if not asked:
        return Types()
    rows = connection.execute(_READ_TYPES, {"oids": asked, "known": sorted(BUILT_IN_OIDS)})
    return Types({row[0]: _facts_of(row) for row in rows})


def _facts_of(row: Sequence[object]) -> TypeFacts:
    oid, name, letter, base, modifier, not_null, element, labels, extension, short, *more = row
    assert isinstance(oid, int)
    assert isinstance(base, int)
    assert isinstance(modifier, int)
    assert isinstance(labels, list)
    delimiter, written, labels_written, next_xid = more
    assert isinstance(written, int)
    assert isinstance(labels_written, list)
    assert isinstance(next_xid, int)
    if letter == "e":
        return TypeFacts(
            oid,
            str(name),
            "enum",
            labels=tuple(labels),
            labels_made=tuple(made_by(xid, next_xid) for xid in labels_written),
        )
    if letter == "d":
        return TypeFacts(
            oid,
            str(name),
            "domain",
            base,
            modifier,
            bool(not_null),
            made=made_by(written, next_xid),
        )
    if letter == "p":
        # A pseudo-type: no column has one, and no value.
        return TypeFacts(oid, str(name), "unsupported")
    if isinstance(element, int):
        return TypeFacts(oid, str(name), "array", element, delimiter=str(delimiter))
    if (extension, short) in _EXTENSIONS:
        return TypeFacts(oid, str(name), "extension", extension=str(extension))
    # Composite types, ranges, and what extensions and users have made: the server's text.
    return TypeFacts(oid, str(name), "string")
