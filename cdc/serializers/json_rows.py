"""Rows and keys as JSON objects.

A hot module: plain Python that setup.py compiles (declarations in json_rows.pxd). Values that came
as a database's text go their own way to JSON text, without an object in between, where the column
has one (json_ways), compiled through json_text and otherwise through plain_rows; all others are
decoded and written by the column's writer.
"""

from collections.abc import Callable, Sequence
from typing import Final

from cdc import rows
from cdc.compiled import is_compiled
from cdc.errors import SchemaError
from cdc.rows import UNCHANGED, RawRow, Row, RowLayout
from cdc.serializers.debezium_plan import ColumnContent
from cdc.serializers.json_text import Scratch
from cdc.serializers.json_ways import FORMS, WAY_NONE
from cdc.serializers.plain_rows import Plain, nothing, plain

_DIRECT: Final = is_compiled("cdc.serializers.json_text")
# Compiled, a number of C would lose the bits of a wide table.
_ONE: Final = 1


class ColumnPlan:
    """How one column is written; `fragment` is what stands in front of its value.

    `taken` is its way for the rows that come now, `plain` the same where nothing is compiled, and
    `decode` gives their logical values.
    """

    __slots__ = (
        "decode", "fallback", "fragment", "index", "null", "null_lost", "parameter", "plain",
        "taken", "unavailable", "way", "write",
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
        self.taken = WAY_NONE
        self.plain: Plain = nothing
        self.decode: Callable[[bytes], object] = bytes

    def enter(self, layout: RowLayout) -> None:
        """Rows come in `layout` from now on."""
        form = layout.forms[self.index]
        self.taken = self.way if FORMS[self.way] == form else WAY_NONE
        if not _DIRECT:
            self.plain = plain(self.taken, self.parameter)
        self.decode = layout.decoders[self.index]


class RowPlan:
    """The columns of one table structure and those of its key; `where` is for messages."""

    __slots__ = ("_layout", "columns", "key", "key_end", "where")

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
        self._layout: RowLayout | None = None

    def enter(self, layout: RowLayout) -> None:
        """Rows come in `layout` from now on, which says what need not be decoded."""
        if layout is not self._layout:
            self._layout = layout
            for column in self.columns:
                column.enter(layout)
            for column in self.key:
                column.enter(layout)


def _column_plans(
    contents: Sequence[tuple[int, ColumnContent]], opening: bytes
) -> list[ColumnPlan]:
    return [
        ColumnPlan(content, b"," if place else opening, index)
        for place, (index, content) in enumerate(contents)
    ]


class RowWriter:
    """Writes rows to `text`, and says what the text of the last one does not tell.

    `unchanged` is the bitmap of the columns that were not sent, `nulls` of those whose NULL looks
    like a value.
    """

    __slots__ = ("nulls", "text", "unchanged")

    def __init__(self) -> None:
        self.text = Scratch()
        self.unchanged = 0
        self.nulls = 0

    def row(self, plan: RowPlan, row: Row, old: bool) -> None:  # noqa: FBT001
        """Append a row. `old`: what was not sent has stand-ins as in a delete, no placeholders."""
        if len(row) != len(plan.columns):
            raise SchemaError(f"a row of {plan.where} does not fit its structure")
        self.unchanged = 0
        self.nulls = 0
        if not plan.columns:
            # Otherwise the brace stands in front of the first column's name.
            self.text.put(b"{")
        self._columns(plan, plan.columns, row, old)
        self.text.put(b"}")

    def key(self, plan: RowPlan, row: Row) -> bytes | None:
        """The key of a row, None without a key or when a part of it was not sent.

        What was appended to `text` before is forgotten.
        """
        if not plan.key:
            return None
        self.text.begin()
        self.unchanged = 0
        self._columns(plan, plan.key, row, True)  # noqa: FBT003
        if self.unchanged:
            return None
        self.text.put(plan.key_end)
        return self.text.take()

    def _columns(self, plan: RowPlan, columns: list[ColumnPlan], row: Row, old: bool) -> None:  # noqa: FBT001
        raw_row = row if isinstance(row, RawRow) else None
        if raw_row is None:
            self._decoded(columns, row, old)  # type: ignore[arg-type]
            return
        plan.enter(raw_row.layout)
        if not _DIRECT:
            self._plainly(columns, raw_row.values(), old)
        elif raw_row.packed is not None:
            self._packed(columns, raw_row, old)
        else:
            self._listed(columns, raw_row.values(), old)

    def _decoded(self, columns: list[ColumnPlan], row: tuple[object, ...], old: bool) -> None:  # noqa: FBT001
        """Append these columns of a row of logical values."""
        for column in columns:
            value = row[column.index]
            if value is None or value is UNCHANGED:
                self._missing(column, value is None, old)
            else:
                self.text.put(column.fragment + column.write(value))

    def _listed(self, columns: list[ColumnPlan], raw: list[object], old: bool) -> None:  # noqa: FBT001
        """Append these columns of a row of values as sent."""
        text = self.text
        for column in columns:
            value = raw[column.index]
            if value is None or value is UNCHANGED:
                self._missing(column, value is None, old)
                continue
            assert isinstance(value, bytes)
            if not column.taken or not text.put_value(
                column.fragment, column.taken, column.parameter, value, 0, len(value)
            ):
                text.put(column.fragment + column.write(column.decode(value)))

    def _plainly(self, columns: list[ColumnPlan], raw: list[object], old: bool) -> None:  # noqa: FBT001
        """The same where nothing is compiled, with as few calls for a value as can be."""
        parts: list[bytes] = []
        for column in columns:
            value = raw[column.index]
            if isinstance(value, bytes):
                parts.append(column.fragment)
                written = column.plain(value)
                parts.append(column.write(column.decode(value)) if written is None else written)
            else:
                self.text.put(b"".join(parts))
                parts.clear()
                self._missing(column, value is None, old)
        self.text.put(b"".join(parts))

    def _packed(self, columns: list[ColumnPlan], row: RawRow, old: bool) -> None:  # noqa: FBT001
        """Append these columns of a packed row; quick for columns in their order."""
        packed = row.packed
        assert packed is not None
        sent = packed
        text = self.text
        place = row.start
        index = 0
        for column in columns:
            if column.index < index:
                place = row.start
                index = 0
            while index < column.index:
                place = rows.place_behind(sent, place, len(packed))
                index += 1
            if sent[place] != 0x74:
                self._missing(column, sent[place] == 0x6E, old)
                place += 1
            else:
                size = rows.length_at(sent, place + 1)
                place += 5
                if not column.taken or not text.put_value(
                    column.fragment, column.taken, column.parameter, sent, place, size
                ):
                    value = packed[place : place + size]
                    text.put(column.fragment + column.write(column.decode(value)))
                place += size
            index += 1

    def _missing(self, column: ColumnPlan, null: bool, old: bool) -> None:  # noqa: FBT001
        """Append a column that is NULL, or that was not sent."""
        if null:
            self.text.put(column.null)
            if column.null_lost:
                self.nulls |= _ONE << column.index
        else:
            self.text.put(column.fallback if old else column.unavailable)
            self.unchanged |= _ONE << column.index
