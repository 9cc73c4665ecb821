"""Rows of COPY in text format.

A hot module: plain Python that setup.py compiles (declarations in copy_text.pxd).

Source: PostgreSQL manual, COPY, File Formats, Text Format.
"""

import re
from typing import Final

from cdc import event as changes
from cdc import rows
from cdc.errors import DecodeError
from cdc.event import ChangeEvent, Transaction
from connectors.postgres.pgoutput import Table

_ESCAPE: Final = re.compile(rb"\\(.?)", re.DOTALL)
_MEANING: Final = {
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
}


class RowMaker:
    """Makes snapshot events of one table's lines, numbered from 0 in the order they come."""

    __slots__ = ("_position", "_table", "_transaction", "ordinal")

    def __init__(self, table: Table, transaction: Transaction, position: int) -> None:
        self.ordinal = 0
        self._table = table
        self._transaction = transaction
        self._position = position

    def event(self, line: bytes, marker: str) -> ChangeEvent:
        """The event of one line, which ends with a newline. Raises DecodeError."""
        table = self._table
        row = rows.raw_row(table.layout, fields(line, table.width))
        ordinal = self.ordinal
        self.ordinal = ordinal + 1
        return changes.change(
            "r", table.schema, None, row, self._transaction, ordinal, self._position, marker
        )

    def append(self, lines: list[bytes], start: int, stop: int, events: list[ChangeEvent]) -> None:
        """Append the events of the lines from `start` to before `stop`, marked `true`."""
        for index in range(start, stop):
            # Compiled, an append is cheaper than a generator.
            events.append(self.event(lines[index], "true"))  # noqa: PERF401


def fields(line: bytes, width: int) -> list[object]:
    """The `width` values of one line: bytes, or None for NULL. Raises DecodeError."""
    content = line[:-1]
    values: list[object] = list(content.split(b"\t")) if width or content else []
    if len(values) != width or line[-1:] != b"\n":
        raise DecodeError(f"a row of {len(values)} columns, not {width}", kind="COPY")
    # A number is looked for at once; bytes are first taken for a number, which is an error inside.
    if 92 in content:
        for index in range(width):
            value = values[index]
            assert isinstance(value, bytes)
            if 92 in value:
                values[index] = None if value == b"\\N" else _unescaped(value)
    return values


def _unescaped(value: bytes) -> bytes:
    try:
        return _ESCAPE.sub(_meaning, value)
    except KeyError as error:
        raise DecodeError("an unknown escape", kind="COPY") from error


def _meaning(match: re.Match[bytes]) -> bytes:
    return _MEANING[match[1]]
