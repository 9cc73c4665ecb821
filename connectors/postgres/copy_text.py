"""Rows of COPY in text format.

A hot module: plain Python that setup.py compiles (declarations in copy_text.pxd).

Source: PostgreSQL manual, COPY, File Formats, Text Format.
"""

import re
from typing import Final

from cdc import event as changes
from cdc import memory, rows
from cdc.compiled import is_compiled
from cdc.errors import DecodeError
from cdc.event import ChangeEvent, Transaction
from cdc.rows import RawRow
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
# What follows a backslash and what both mean, 0 for nothing.
_UNESCAPED: Final = bytes(_MEANING.get(bytes([byte]), b"\0")[0] for byte in range(256))
_UNESCAPED_BYTES: Final = _UNESCAPED
_DIRECT: Final = is_compiled("connectors.postgres.copy_text")


class RowMaker:
    """Makes snapshot events of one table's lines, numbered from 0 in the order they come."""

    __slots__ = ("_memory", "_position", "_table", "_transaction", "ordinal")

    def __init__(self, table: Table, transaction: Transaction, position: int) -> None:
        self.ordinal = 0
        self._table = table
        self._transaction = transaction
        self._position = position
        self._memory = bytearray(4096)

    def event(self, line: bytes, marker: str) -> ChangeEvent:
        """The event of one line, which ends with a newline. Raises DecodeError."""
        table = self._table
        row = self._row(line, table)
        ordinal = self.ordinal
        self.ordinal = ordinal + 1
        return changes.change(
            "r", table.schema, None, row, self._transaction, ordinal, self._position, marker
        )

    def _row(self, line: bytes, table: Table) -> RawRow:
        if _DIRECT:
            room = len(line) + 5 * table.width
            if room > len(self._memory):
                self._memory = bytearray(2 * room)
            size = pack(line, len(line), table.width, self._memory)
            if size >= 0:
                return rows.packed_row(table.layout, memory.taken(self._memory, size), 0)
        return rows.raw_row(table.layout, fields(line, table.width))

    def append(self, lines: list[bytes], start: int, stop: int, events: list[ChangeEvent]) -> None:
        """Append the events of the lines from `start` to before `stop`, marked `true`."""
        for index in range(start, stop):
            # Compiled, an append is cheaper than a generator.
            events.append(self.event(lines[index], "true"))  # noqa: PERF401


def pack(line: bytes, size: int, width: int, out: bytearray) -> int:
    """Write the values of one line as `rows.place_behind` reads them; how many bytes that are.

    -1 for a line that `fields` refuses, or of no column. `out` has room for the line of `size`
    bytes and five bytes for each of `width` values.
    """
    end = size - 1
    if end < 0 or line[end] != 10 or width == 0:
        return -1
    is_escaped = memory.find(line, 0, end, 92) >= 0
    place = at = 0
    for index in range(width):
        stop = memory.find(line, place, end, 9)
        if (stop < 0) != (index == width - 1):
            return -1
        if stop < 0:
            stop = end
        length = stop - place
        if is_escaped and length == 2 and line[place] == 92 and line[place + 1] == 78:
            out[at] = 0x6E
            at += 1
        else:
            if is_escaped:
                length = _unescape(line, place, stop, out, at + 5)
                if length < 0:
                    return -1
            else:
                memory.copy(out, at + 5, memory.part(line, place, length), length)
            out[at] = 0x74
            out[at + 1] = (length >> 24) & 255
            out[at + 2] = (length >> 16) & 255
            out[at + 3] = (length >> 8) & 255
            out[at + 4] = length & 255
            at += 5 + length
        place = stop + 1
    return at


def _unescape(line: bytes, place: int, stop: int, out: bytearray, at: int) -> int:
    """Write the value between `place` and `stop`; its length, -1 for an unknown escape."""
    start = at
    while place < stop:
        byte = line[place]
        place += 1
        if byte == 92:
            byte = _UNESCAPED_BYTES[line[place]] if place < stop else 0
            place += 1
            if byte == 0:
                return -1
        out[at] = byte
        at += 1
    return at - start


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
