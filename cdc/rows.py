"""Rows as sources give them: values as they were sent, decoded one by one when they are asked for.

A hot module: plain Python that setup.py compiles (declarations in rows.pxd).
"""

from collections.abc import Callable, Iterator
from typing import Final


class Unchanged:
    """The type of UNCHANGED: a value that was not sent, never to be confused with None (NULL)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __reduce__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged()
_UNCHANGED: Final = UNCHANGED

FORM_OPAQUE: Final = 0
FORM_INTEGER: Final = 1
FORM_TEXT: Final = 2
FORM_UUID: Final = 3
FORM_BOOLEAN: Final = 4
FORM_FLOAT: Final = 5
FORM_NUMERIC: Final = 6
FORM_DATE: Final = 7
FORM_TIME: Final = 8
FORM_TIMESTAMP: Final = 9
FORM_TIMESTAMP_UTC: Final = 10
"""What the bytes of a column are, so that an encoder may turn them into its own text directly.

OPAQUE: only the decoder can tell. Then in order: decimal digits; the characters of a string in
UTF-8; a UUID in lower case; `t` or `f`; the shortest text that gives the floating-point number
back; digits with a point; `YYYY-MM-DD`; `HH:MM:SS.ffffff`; both with a space between; the same with
the offset `+00`. A form is what is usual: an encoder checks every value, and takes the decoder for
all others, for example infinities.
"""


class RowLayout:
    """How the columns of a RawRow are decoded; one object per table version.

    `decoders[i]` turns the bytes of column i, as sent, into its logical value. `forms[i]` is a FORM
    constant.
    """

    __slots__ = ("decoders", "forms", "width")

    def __init__(
        self, decoders: tuple[Callable[[bytes], object], ...], forms: tuple[int, ...]
    ) -> None:
        self.decoders = decoders
        self.forms = forms
        self.width = len(decoders)


class RawRow:
    """A row that keeps its values as sent and decodes one when it is asked for.

    `raw[i]` is bytes, None (NULL) or UNCHANGED. Behaves as the tuple of the decoded values:
    indexing, length, iteration, equality with tuples and other rows.

    A row is made of a list, or by `packed_row` of one piece of bytes: `packed` has the values from
    `start` on, one behind the other, as `place_behind` reads them, and is None for a row that was
    made of a list. `kept` is the list, None until somebody wants it.
    """

    __slots__ = ("kept", "layout", "packed", "start")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, layout: RowLayout, raw: list[object]) -> None:
        self.layout = layout
        self.packed: bytes | None = None
        self.start = 0
        self.kept: list[object] | None = raw

    @property
    def raw(self) -> list[object]:
        """The values as sent. Do not change the list."""
        return self.values()

    def values(self) -> list[object]:
        """The same as `raw`, which compiled modules call."""
        raw = self.kept
        if raw is None:
            assert self.packed is not None
            raw = unpacked(self.packed, self.start, self.layout.width)
            self.kept = raw
        return raw

    def __len__(self) -> int:
        return self.layout.width if self.kept is None else len(self.kept)

    def __getitem__(self, index: int) -> object:
        value = self.values()[index]
        if isinstance(value, bytes):
            return self.layout.decoders[index](value)
        return value

    def __iter__(self) -> Iterator[object]:
        return iter([self[index] for index in range(len(self))])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, RawRow)):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __repr__(self) -> str:
        # Row values never reach a log, not even by accident.
        return f"<row of {len(self)} columns>"


def raw_row(layout: RowLayout, raw: list[object]) -> RawRow:
    """`RawRow(layout, raw)`, which costs less from compiled code."""
    row: RawRow = RawRow.__new__(RawRow)
    row.layout = layout
    row.packed = None
    row.start = 0
    row.kept = raw
    return row


def packed_row(layout: RowLayout, packed: bytes, start: int) -> RawRow:
    """A row of `layout.width` values in `packed` from `start` on, which the caller has checked.

    It is checked by `place_behind` once for each value: nobody looks at lengths again.
    """
    row: RawRow = RawRow.__new__(RawRow)
    row.layout = layout
    row.packed = packed
    row.start = start
    row.kept = None
    return row


def place_behind(packed: bytes, place: int, end: int) -> int:
    """The place behind the value at `place`; -1 if it does not end before `end`, -2 if it is none.

    A value is `t`, its length in four bytes (the highest first) and its bytes; `n` is NULL, `u` was
    not sent. Postgres' own TupleData is of this form.
    """
    if place >= end:
        return -1
    form = packed[place]
    if form == 0x74:
        if end - place < 5:
            return -1
        size = length_at(packed, place + 1)
        return -1 if size > end - place - 5 else place + 5 + size
    return place + 1 if form == 0x6E or form == 0x75 else -2  # noqa: PLR1714 - two compares in C


def length_at(packed: bytes, place: int) -> int:
    """The number in the four bytes at `place`."""
    size = packed[place]
    size = (size << 8) | packed[place + 1]
    size = (size << 8) | packed[place + 2]
    return (size << 8) | packed[place + 3]


def unpacked(packed: bytes, place: int, width: int) -> list[object]:
    """The values in `packed` from `place` on: bytes, None or UNCHANGED."""
    raw: list[object] = []
    for _ in range(width):
        form = packed[place]
        place += 1
        if form == 0x74:
            size = length_at(packed, place)
            place += 4
            raw.append(packed[place : place + size])
            place += size
        else:
            raw.append(None if form == 0x6E else _UNCHANGED)
    return raw


def cut(packed: bytes, place: int, width: int) -> list[object] | None:
    """The `width` values from `place` to the end, for the form that is not compiled.

    None for what `place_behind` has to look at: values of 256 bytes and more, and what is wrong.

    A text of Postgres has no NUL, so that `t` and three of them stand at the beginning of a value
    only. Each piece is checked: its first byte is how long the value is, and what stands behind the
    value is of other forms. So a piece that was cut wrongly is none.
    """
    pieces = packed[place:].split(b"t\0\0\0")
    raw: list[object] = []
    if pieces[0] and not _absent(pieces[0], raw):
        return None
    del pieces[0]
    for piece in pieces:
        if not piece:
            return None
        stop = piece[0] + 1
        size = len(piece)
        if size == stop:
            raw.append(piece[1:])
        elif size < stop:
            return None
        else:
            raw.append(piece[1:stop])
            if not _absent(piece[stop:], raw):
                return None
    return raw if len(raw) == width else None


def _absent(forms: bytes, raw: list[object]) -> bool:
    """Append what these forms of values without bytes stand for; whether all are known."""
    for form in forms:
        if form == 0x6E:
            raw.append(None)
        elif form == 0x75:
            raw.append(_UNCHANGED)
        else:
            return False
    return True


Row = tuple[object, ...] | RawRow
"""A row aligned with `TableSchema.columns`: a tuple of logical values, or a RawRow."""
