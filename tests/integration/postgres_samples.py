"""Values of every type that PostgreSQL 14 to 18 and its contrib modules have: the extremes of each.

A sample is what stands between the quotes of a literal. `since` is the first major version that
takes it; an extension that the server lacks leaves its types out.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Samples:
    """Values of one type, as the text of literals."""

    type_text: str
    values: tuple[str, ...]
    since: int = 14
    extension: str | None = None


SETUP: Final = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy, very', 'quo\"te', 'back\\slash')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE TYPE nest AS (p pair, many pair[], made timestamptz, raw bytea)",
    "CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi)",
    "CREATE DOMAIN intlist AS int[]",
    "CREATE DOMAIN pairdomain AS pair CHECK ((VALUE).a > 0)",
    "CREATE DOMAIN amount AS numeric(12,2)",
    "CREATE DOMAIN amount2 AS amount DEFAULT 1.5",
)

_LONG = 12_000
_INSTANTS: Final = (
    "2026-09-14 07:05:09.12",
    "infinity",
    "-infinity",
    "4713-01-01 00:00:00 BC",
    "0001-12-31 23:59:59.999999 BC",
    "1582-10-10 00:00:00",
    "10000-01-01 00:00:00",
    "294246-12-31 23:59:59.999999",
    "294276-12-31 23:59:59.999999",
)

SAMPLES: Final = (
    Samples("boolean", ("t", "f")),
    Samples("smallint", ("-32768", "0", "32767")),
    Samples("integer", ("-2147483648", "2147483647")),
    Samples("bigint", ("-9223372036854775808", "9223372036854775807")),
    Samples("oid", ("0", "4294967295")),
    Samples("real", ("NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1", "1e7")),
    Samples(
        "double precision",
        ("NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1", "1e16"),
    ),
    Samples(
        "numeric",
        (
            "NaN", "Infinity", "-Infinity", "0", "-0.000", "1e-20", "-12345.67890", "9" * _LONG,
            "0." + "1" * 6_000,
        ),
    ),
    Samples("numeric(10,2)", ("NaN", "0", "-99999999.99", "0.01")),
    Samples("numeric(1000,0)", ("9" * 1000, "-" + "1" * 999)),
    Samples("numeric(1000,1000)", ("0." + "0" * 999 + "1", "-0." + "9" * 1000)),
    Samples("numeric(5,-2)", ("12300", "-1234500", "0"), 15),
    Samples("numeric(3,6)", ("0.000123", "-0.000999"), 15),
    Samples("numeric(1000,-1000)", ("1" + "0" * 1000, "-" + "9" * 1000 + "0" * 1000), 15),
    Samples("money", ("-92233720368547758.08", "92233720368547758.07", "-0.05", "1234.5")),
    Samples("text", ("", "NULL", "a\tb\nc\\d\"e'f,g{h}", "ünï 😀 <&>", " ", "\\N", "\\.")),
    Samples("varchar(5)", ("", "ab", "ü😀x")),
    Samples("char(5)", ("", "ab", "abcde")),
    Samples('"char"', ("", "x", "\\", '"')),
    Samples("name", ("", "a name", "x" * 63)),
    Samples("bytea", ("\\x", "\\x" + bytes(range(256)).hex(), "\\x5c5c30")),
    Samples("bit(1)", ("0", "1")),
    Samples("bit(12)", ("000100000011", "000000000000")),
    Samples("bit varying", ("", "0", "101010101010", "0" * 70 + "1")),
    Samples("bit varying(20)", ("", "00010")),
    Samples(
        "date",
        (
            "2026-11-23", "infinity", "-infinity", "4713-01-01 BC", "0001-12-31 BC", "1500-02-28",
            "10000-01-01", "5874897-12-31",
        ),
    ),
    Samples("time", ("00:00:00", "23:59:59.999999", "24:00:00", "04:05:06.7")),
    Samples("time(0)", ("00:00:00", "24:00:00")),
    Samples("time(3)", ("04:05:06.789",)),
    Samples(
        "time with time zone",
        ("00:00:00+00", "24:00:00-15:59:59", "04:05:06.7+15:59:59", "12:30:00+05:30"),
    ),
    Samples("timestamp", _INSTANTS),
    Samples("timestamp(0)", _INSTANTS[:-2]),
    Samples("timestamp(3)", _INSTANTS[:-2]),
    Samples("timestamp with time zone", (*_INSTANTS, "2026-09-14 07:05:09.12+15:59:59")),
    Samples("timestamp(2) with time zone", _INSTANTS[:-2]),
    Samples(
        "interval",
        (
            "0", "1 year 2 mons 3 days 04:05:06.78", "-1 mons +1 day -00:00:00.000001",
            "178000000 years", "-178000000 years", "2147483647 days", "2147483647 hours",
        ),
    ),
    # Before, no field of an interval's text could be more than 32 bits.
    Samples("interval", ("2562047788 hours",), 15),
    Samples("interval", ("infinity", "-infinity"), 17),
    Samples("interval day to second(3)", ("-5 days 10:20:30.123",)),
    Samples("uuid", ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "0" * 32)),
    Samples("json", ('{"b": 1,  "a": [1, 2.50, null]}', "null", '"\\u00e9"', "1e400")),
    Samples("jsonb", ('{"b": 1,  "a": [1, 2.50, null], "u": "é"}', "[]", "-0.0", '"x\\ny"')),
    Samples("xml", ('<r a="1">t&amp;</r>', "", "plain")),
    Samples("inet", ("192.168.1.10/24", "10.0.0.1", "::1", "2001:db8::/32")),
    Samples("cidr", ("10.1.0.0/16", "::/0")),
    Samples("macaddr", ("08:00:2b:01:02:03",)),
    Samples("macaddr8", ("08:00:2b:01:02:03:04:05",)),
    Samples("point", ("(2.5,-4)", "(NaN,Infinity)", "(-0,1e300)")),
    Samples("line", ("{1,2,3}", "{-1,0,0.1}")),
    Samples("lseg", ("[(1,2),(3,4)]",)),
    Samples("box", ("(1,2),(3,4)", "(0,0),(-1,1e10)")),
    Samples("path", ("[(1,2),(3,4)]", "((1,2),(3,4),(5,6))")),
    Samples("polygon", ("((0,0),(1,0),(1,1))",)),
    Samples("circle", ("<(1,2),3>",)),
    Samples("tsvector", ("the:1 quick:2A fox", "", "'it''s':3 'b\\\\c'")),
    Samples("tsquery", ("fat & rat", "", "!a | (b <-> c:*)")),
    Samples("pg_lsn", ("0/0", "FFFFFFFF/FFFFFFFF")),
    Samples("xid", ("0", "4294967295")),
    Samples("xid8", ("0", "18446744073709551615")),
    Samples("cid", ("0", "4294967295")),
    Samples("tid", ("(0,0)", "(4294967295,65535)")),
    Samples("regclass", ("pg_class", "0", "information_schema.tables", "4000000000")),
    Samples("regproc", ("now", "0")),
    Samples("regprocedure", ("pg_catalog.lower(text)", "0")),
    Samples("regoper", ("||/", "0")),
    Samples("regoperator", ("+(integer,integer)", "0")),
    Samples("regtype", ("integer", "timestamptz[]", "0")),
    Samples("regrole", ("postgres", "0")),
    Samples("regnamespace", ("pg_catalog", "0")),
    Samples("regconfig", ("english", "0")),
    Samples("regdictionary", ("simple", "0")),
    Samples("regcollation", ('"C"', "0")),
    Samples("jsonpath", ('$."a"[*]', 'strict $ ? (@.b > 1 && @.c == "x,y")')),
    Samples("pg_snapshot", ("10:20:10,14,15",)),
    Samples("txid_snapshot", ("10:20:10,14,15",)),
    Samples("int2vector", ("", "1 -2 3")),
    Samples("oidvector", ("", "1 4294967295")),
    Samples("refcursor", ("a cursor", "")),
    Samples("aclitem", ("postgres=arwdDxt/postgres", "=r/postgres")),
    Samples("int4range", ("[3,9)", "empty", "(,)", "(,5]")),
    Samples("int8range", ("(10,20]",)),
    Samples("numrange", ("[1.50,2.5]", "[-Infinity,Infinity]")),
    Samples("tsrange", ('["2026-01-01","2026-01-02 12:00:00.5")', "[-infinity,infinity]")),
    Samples("tstzrange", ('["2026-01-01 00:00:00+02",)',)),
    Samples("daterange", ("[2026-01-01,2026-02-01]",)),
    Samples("int4multirange", ("{[1,3),[5,8)}", "{}", "{(,)}")),
    Samples("int8multirange", ("{[1,3)}",)),
    Samples("nummultirange", ("{[1.5,2.50)}",)),
    Samples("tsmultirange", ('{["2026-01-01","2026-01-02")}',)),
    Samples("tstzmultirange", ('{["2026-01-01 00:00:00+02",)}',)),
    Samples("datemultirange", ("{[2026-01-01,2026-02-01)}",)),
    Samples("mood", ("sad", "happy, very", 'quo"te', "back\\slash")),
    Samples("pair", ("(1,x)", "(,)", '(2,"a,""b"" \\\\c")', '(3,"")')),
    Samples(
        "nest", ('("(1,""a b"")","{""(1,x)"",""(2,\\\\""y,z\\\\"")""}",2026-01-01,"\\\\x00ff")',)
    ),
    Samples("pairdomain", ("(1,x)",)),
    Samples("floatrange", ("[0.1,NaN)", "empty")),
    Samples("floatmultirange", ("{[0.1,2)}",)),
    Samples("intlist", ("{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={5,6}", "{}")),
    Samples("amount2", ("99.5", "NaN")),
    Samples("citext", ("CiText", "", "NULL"), extension="citext"),
    Samples(
        "hstore",
        ("", 'k1=>v1, k2=>NULL, "sp ace"=>"q\\"uo\\\\te", ""=>"NULL", ü=>😀', "a=>NULL"),
        extension="hstore",
    ),
    Samples("ltree", ("Top.Science.Astronomy", ""), extension="ltree"),
    Samples("lquery", ("Top.*.Astro*@",), extension="ltree"),
    Samples("ltxtquery", ("Europe & Russia*@ & !Transport",), extension="ltree"),
    Samples("cube", ("(1,2,3)", "(0,0),(1,1)"), extension="cube"),
    Samples("seg", ("1.5 .. 2.5", "~6.5"), extension="seg"),
    Samples("query_int", ("1&(2|!3)",), extension="intarray"),
    Samples("lo", ("12345",), extension="lo"),
    Samples("isbn", ("0-393-04002-X",), extension="isn"),
    Samples("isbn13", ("978-0-393-04002-9",), extension="isn"),
    Samples("ean13", ("978-0-393-04002-9",), extension="isn"),
    Samples("issn", ("1436-4522",), extension="isn"),
    Samples("ismn", ("979-0-060-11561-5",), extension="isn"),
    Samples("upc", ("220356483481",), extension="isn"),
    Samples("vector(3)", ("[1,2,3]", "[-0.1,1e-10,3.4e38]"), extension="vector"),
    Samples("halfvec(3)", ("[1,0.1,-65504]",), extension="vector"),
    Samples("sparsevec(40000)", ("{1:0.5,40000:2}/40000", "{}/40000"), extension="vector"),
    Samples(
        "geometry",
        ("POINT(2.5 -4)", "SRID=4326;POINT(1 2)", "POLYGON EMPTY", "LINESTRING Z (0 0 1,1 1 2)"),
        extension="postgis",
    ),
    Samples("geography", ("SRID=4326;POINT(1 2)",), extension="postgis"),
    Samples("box2d", ("BOX(1 2,3 4)",), extension="postgis"),
    Samples("box3d", ("BOX3D(1 2 3,4 5 6)",), extension="postgis"),
)  # fmt: skip
