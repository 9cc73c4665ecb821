"""Rows and keys as JSON objects.

A hot module: plain Python that setup.py compiles (declarations in json_rows.pxd). Compiled, values
that came as a database's text go their own way to JSON text, without an object in between, where
the column has one (json_ways); all others are decoded and written by the column's writer.
"""

from collections.abc import Sequence
from typing import Final

from cdc.compiled import is_compiled
from cdc.errors import SchemaError
from cdc.event import UNCHANGED, RawRow, Row, RowLayout
from cdc.serializers.debezium_plan import ColumnContent
from cdc.serializers.json_text import Scratch
from cdc.serializers.json_ways import FORMS, WAY_INTEGER, WAY_NONE, WAY_STRING

# In plain Python only what a call or two can check is faster than decoding.
_DIRECT: Final = is_compiled("cdc.serializers.json_text")
_WAYS: Final = frozenset(FORMS) - {WAY_NONE} if _DIRECT else frozenset({WAY_INTEGER, WAY_STRING})
_INTEGER: Final = WAY_INTEGER
_STRING: Final = WAY_STRING
# Turns everything that cannot stand between quotes as it is into `?`: control characters, quote,
# backslash and all bytes of characters beyond ASCII.
_PLAIN: Final = bytes(63 if n < 32 or n in {34, 92} or n > 127 else n for n in range(256))
_ZERO: Final = 48


class ColumnPlan:
    """How one column is written; `fragment` is what stands in front of its value."""

    __slots__ = (
        "fallback", "fragment", "index", "null", "null_lost", "parameter", "unavailable", "way",
        "write",
    )  # fmt: skip

    def __init__(self, content: ColumnContent, opening: bytes, index: int) -> None:
        self.index = index
        self.fragment = opening + content.name + b":"
        self.way = content.way
        self.parameter = content.parameter
        self.write = content.write
        self.null = self.fragment + content.null
        self.null_lost = content.null_lost
        self.fallback = self.fragment + content.fallback
        self.unavailable = self.fragment + content.unavailable


class RowPlan:
    """The columns of one table structure and those of its key; `where` is for messages."""

    __slots__ = ("_layout", "columns", "end", "key", "key_end", "ways", "where")

    def __init__(
        self,
        columns: Sequence[ColumnContent],
        key: Sequence[tuple[int, ColumnContent]],
        key_start: bytes,
        key_end: bytes,
        where: str,
    ) -> None:
        self.columns = _column_plans(list(enumerate(columns)), b"{")
        self.key = _column_plans(key, key_start + b"{")
        self.key_end = b"}" + key_end
        self.where = where
        self.ways: list[int] = []
        self._layout: RowLayout | None = None

    def enter(self, layout: RowLayout) -> None:
        """Rows come in `layout` from now on: `ways` says what need not be decoded."""
        if layout is not self._layout:
            self._layout = layout
            self.ways = [
                column.way if column.way in _WAYS and FORMS[column.way] == form else WAY_NONE
                for column, form in zip(self.columns, layout.forms, strict=True)
            ]


def _column_plans(
    contents: Sequence[tuple[int, ColumnContent]], opening: bytes
) -> list[ColumnPlan]:
    return [
        ColumnPlan(content, b"," if place else opening, index)
        for place, (index, content) in enumerate(contents)
    ]


class RowWriter:
    """Writes rows, and says what the text of the last one does not tell.

    `unchanged` is the bitmap of the columns that were not sent, `nulls` of those whose NULL looks
    like a value.
    """

    __slots__ = ("_scratch", "nulls", "unchanged")

    def __init__(self) -> None:
        self._scratch = Scratch()
        self.unchanged = 0
        self.nulls = 0

    def row(self, plan: RowPlan, row: Row, old: bool, out: list[bytes]) -> None:  # noqa: FBT001
        """Append a row. `old`: what was not sent has stand-ins as in a delete, no placeholders."""
        if len(row) != len(plan.columns):
            raise SchemaError(f"a row of {plan.where} does not fit its structure")
        self.unchanged = 0
        self.nulls = 0
        self._columns(plan, plan.columns, row, old, out)
        out.append(b"}")

    def key(self, plan: RowPlan, row: Row) -> bytes | None:
        """The key of a row, None without a key or when a part of it was not sent."""
        if not plan.key:
            return None
        self.unchanged = 0
        out: list[bytes] = []
        self._columns(plan, plan.key, row, True, out)  # noqa: FBT003
        if self.unchanged:
            return None
        out.append(plan.key_end)
        return b"".join(out)

    def _columns(  # noqa: C901, PLR0912 - one pass over the values
        self,
        plan: RowPlan,
        columns: list[ColumnPlan],
        row: Row,
        old: bool,  # noqa: FBT001
        out: list[bytes],
    ) -> None:
        raw_row = row if isinstance(row, RawRow) else None
        raw: list[object] = []
        if raw_row is not None:
            plan.enter(raw_row.layout)
            raw = raw_row.raw
        ways = plan.ways
        scratch = self._scratch
        for column in columns:
            index = column.index
            value = row[index] if raw_row is None else raw[index]
            if value is None:
                text = column.null
                if column.null_lost:
                    self.nulls |= 1 << index
            elif value is UNCHANGED:
                text = column.fallback if old else column.unavailable
                self.unchanged |= 1 << index
            elif raw_row is None:
                text = column.fragment + column.write(value)
            else:
                way = ways[index]
                if _DIRECT:
                    if way and scratch.put_value(column.fragment, way, column.parameter, value):  # type: ignore[arg-type]
                        continue
                elif way == _STRING and value.translate(_PLAIN) == value:  # type: ignore[attr-defined]
                    out.append(column.fragment + b'"' + value + b'"')  # type: ignore[operator]
                    continue
                elif way == _INTEGER and _is_integer(value, column.parameter):  # type: ignore[arg-type]
                    out.append(column.fragment + value)  # type: ignore[operator]
                    continue
                text = column.fragment + column.write(raw_row.layout.decoders[index](value))  # type: ignore[arg-type]
            if _DIRECT:
                scratch.put(text)
            else:
                out.append(text)
        if _DIRECT:
            out.append(scratch.take())


def _is_integer(text: bytes, bits: int) -> bool:
    """Whether the bytes are an integer's one canonical text, and so few that `bits` bits do."""
    if len(text) > bits * 29 // 100:
        return False
    if text.isdigit():
        return text[0] != _ZERO or len(text) == 1
    return text[:1] == b"-" and text[1:].isdigit() and text[1] != _ZERO
