"""Column defaults as logical values, without ever running anything of the user's.

A default is taken from its stored expression. A constant, with casts between built-in types or to
an enum, is worked out: the server casts it once more, to the column's own type. An expression that
calls a function gives the type's zero, as Debezium shows it. Everything else (operators, arrays,
defaults of domains) gives none. The types that carry a default are Debezium's.
Source for expressions' text: PostgreSQL src/backend/utils/adt/ruleutils.c, get_const_expr.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from cdc.schema import (
    NO_DEFAULT,
    Bits,
    Boolean,
    Date,
    Decimal,
    Enum,
    Float32,
    Float64,
    Int16,
    Int32,
    Int64,
    Interval,
    Json,
    LogicalType,
    String,
    Time,
    Timestamp,
    TimestampTz,
    Uuid,
)  # fmt: skip
from connectors.postgres.decoders import decoder

# A type's text in an expression, when the search_path is empty: no dot means built in.
_TYPE_TEXT: Final = (
    r"(?:bigint|smallint|integer|real|double precision|boolean|date|uuid|jsonb?|xml|text|name"
    r'|"char"|"bit"|bpchar|numeric(?:\(\d+,-?\d+\))?|character(?: varying)?(?:\(\d+\))?'
    r"|bit(?: varying)?(?:\(\d+\))?|interval[a-z ]*(?:\(\d\))?"
    r"|time(?:stamp)?(?:\(\d\))? with(?:out)? time zone)"
)
_ENUM_TEXT: Final = (
    r'(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)(?:\.(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*))?'
)
_BUILT_IN: Final = re.compile(_TYPE_TEXT)
_CAST: Final = re.compile(f"::({_TYPE_TEXT}|{_ENUM_TEXT})$")
_STRING: Final = re.compile(r"'((?:[^']|'')*)'", re.DOTALL)
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?(?:e[+-]?\d+)?")
_CALL: Final = re.compile(
    r"[a-z0-9_\"$]\(|\b(?:CURRENT|LOCAL|SESSION)_?[A-Z]+\b|\bUSER\b|\bAT TIME ZONE\b"
)
_STRINGS: Final = frozenset({"text", "varchar", "bpchar", "xml"})
_COLUMNS_MAX: Final = 500  # a result has at most 1,664 columns (MaxTupleAttributeNumber)
_ZEROS: Final[Mapping[type[LogicalType], object]] = {
    Boolean: False,
    Float32: 0.0,
    Float64: 0.0,
    String: "",
    Json: "{}",
    Interval: (0, 0, 0),
    Uuid: "00000000-0000-0000-0000-000000000000",
    # No label of an enum stands for nothing.
    Enum: NO_DEFAULT,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A column's default: `text` by pg_get_expr, and what the column is below all domains.

    `type_text` is format_type's name of that type with its modifier.
    """

    text: str
    kind: LogicalType
    type_text: str


@dataclass(frozen=True, slots=True)
class _Constant:
    text: str
    casts: tuple[str, ...]


def defaults_of(connection: psycopg.Connection, expressions: Sequence[Expression]) -> list[object]:
    """The default of each expression as a logical value or NO_DEFAULT, in the same order.

    Only reads, in savepoints of its own. The session must have decoders.SESSION_SETTINGS.
    """
    results: list[object] = [NO_DEFAULT] * len(expressions)
    to_cast: list[tuple[int, _Constant]] = []
    for index, expression in enumerate(expressions):
        if not _carries(expression.kind):
            continue
        constant = _constant(expression.text)
        if constant is None:
            if _calls(expression.text):
                results[index] = _zero(expression.kind)
        elif isinstance(expression.kind, Enum):
            if constant.text in expression.kind.labels:
                results[index] = constant.text
        elif all(_BUILT_IN.fullmatch(name) for name in (*constant.casts, expression.type_text)):
            to_cast.append((index, constant))
    for start in range(0, len(to_cast), _COLUMNS_MAX):
        part = to_cast[start : start + _COLUMNS_MAX]
        wanted = [(expressions[index], constant) for index, constant in part]
        for (index, _), value in zip(part, _cast(connection, wanted), strict=True):
            results[index] = value
    return results


def _carries(kind: LogicalType) -> bool:
    """Whether Debezium shows a default for columns of this type."""
    if isinstance(kind, Decimal):
        # Without precision the format decides: only text and doubles show it. Money never.
        return kind.precision is not None or kind.scale is None
    if isinstance(kind, String):
        return kind.kind in _STRINGS
    return isinstance(
        kind,
        (
            Boolean, Int16, Int32, Int64, Float32, Float64, Enum, Uuid, Json, Bits, Date, Time,
            Timestamp, TimestampTz, Interval,
        ),
    )  # fmt: skip


def _constant(text: str) -> _Constant | None:
    """The constant that an expression is, None if it is anything else."""
    casts: list[str] = []
    while True:
        text = _without_parentheses(text)
        string = _STRING.fullmatch(text)
        if string:
            return _Constant(string[1].replace("''", "'"), tuple(reversed(casts)))
        number = _NUMBER.fullmatch(text)
        if number:
            return _Constant(text, ("numeric", *reversed(casts)))
        if text in {"true", "false"}:
            return _Constant(text, ("boolean", *reversed(casts)))
        cast = _CAST.search(text)
        if cast is None:
            return None
        casts.append(cast[1])
        text = text[: cast.start()]


def _without_parentheses(text: str) -> str:
    # Only a pair around one constant with casts is taken off: no other parenthesis is inside.
    while text.startswith("(") and text.endswith(")"):
        inner = text[1:-1]
        if "(" in _STRING.sub("''", inner) and not _CAST.search(inner):
            break
        text = inner
    return text


def _calls(text: str) -> bool:
    """Whether an expression calls a function, by its text outside of strings and casts."""
    bare = re.sub(f"::{_TYPE_TEXT}", "", _STRING.sub("''", text))
    return _CALL.search(bare) is not None


def _cast(
    connection: psycopg.Connection, wanted: Sequence[tuple[Expression, _Constant]]
) -> list[object]:
    """Each constant as a value of its column's type, NO_DEFAULT where the server refuses."""
    try:
        return _cast_all(connection, wanted)
    except (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError):
        # A default that no row could take, such as 12345 for numeric(3,1): find out which.
        if len(wanted) == 1:
            return [NO_DEFAULT]
    return [value for one in wanted for value in _cast(connection, [one])]


def _cast_all(
    connection: psycopg.Connection, wanted: Sequence[tuple[Expression, _Constant]]
) -> list[object]:
    fields = []
    for expression, constant in wanted:
        item: sql.Composable = sql.Placeholder()
        for name in ("text", *constant.casts, expression.type_text):
            # Both come from the server and match a list of built-in types, so no quoting is due.
            assert _BUILT_IN.fullmatch(name)
            item = sql.SQL("CAST({} AS {})").format(item, sql.SQL(name))
        fields.append(item)
    query = sql.SQL("SELECT {}").format(sql.SQL(", ").join(fields))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(query, [constant.text for _, constant in wanted])
        result = cursor.pgresult
        assert result is not None
        raw = [result.get_value(0, column) for column in range(len(wanted))]
    return [
        NO_DEFAULT if value is None else decoder(expression.kind)(value)
        for value, (expression, _) in zip(raw, wanted, strict=True)
    ]


def _zero(kind: LogicalType) -> object:
    """The value that stands for a default which is made anew for each row."""
    if isinstance(kind, Decimal):
        return f"{0:.{max(kind.scale or 0, 0)}f}"
    if isinstance(kind, Bits):
        return "0" * (kind.length or 0)
    return _ZEROS.get(type(kind), 0)
