"""Which rows of a snapshot are its first and last, and those of its tables. Pure.

Rows come table by table, or from several tables at once in whatever order they are read. One row of
each table that is being read is kept back, until it is known whether another follows; the last one
of a table that has ended is kept back until a row of any table follows. So every row has exactly
one marker, and in the order in which rows are handed out:

- the very first row is `first`, the very last one `last`,
- the first row of every other table is `first_in_data_collection`,
- the last row of every other table is `last_in_data_collection`,
- a row that is several of these is `last` before `first`, before `last_in_data_collection`, before
  `first_in_data_collection`.
"""

from dataclasses import dataclass
from typing import Protocol

from cdc.event import ChangeEvent


class Maker(Protocol):
    """Makes the event of one row."""

    def event(self, line: bytes, marker: str) -> ChangeEvent:
        """The event of a row as COPY sent it."""
        ...


@dataclass(frozen=True, slots=True)
class _Held:
    """A row that is kept back; `marker` is right if another row of its table follows."""

    line: bytes
    maker: Maker
    marker: str


@dataclass(frozen=True, slots=True)
class _Final:
    """The last row of a table that has ended, with the checkpoint part that says so."""

    row: _Held
    part: tuple[str, bytes]


Parts = dict[str, bytes | None]


class Markers:
    """Marks the rows of one snapshot, tables by oid; puts what goes out in `events` and `parts`."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._begun: set[int] = set()
        self._first: int | None = None
        self._final: _Final | None = None

    def push(
        self,
        table: int,
        line: bytes,
        maker: Maker,
        events: list[ChangeEvent],
        parts: Parts,
    ) -> None:
        """A row that may be the last of its table, behind all rows of it so far."""
        self.flush(table, events, parts)
        marker = "true"
        if table not in self._begun:
            marker = "first_in_data_collection" if self._begun else "first"
            if not self._begun:
                self._first = table
            self._begun.add(table)
        self._held[table] = _Held(line, maker, marker)

    def flush(self, table: int, events: list[ChangeEvent], parts: Parts) -> None:
        """Hand out what another row of `table`, which comes now, follows."""
        # The very first row goes before every other one, whatever table that is of.
        for before in (self._first, table):
            held = None if before is None else self._held.pop(before, None)
            if held is not None:
                events.append(held.maker.event(held.line, held.marker))
        self._first = None
        self._release("last_in_data_collection", events, parts)

    def has_begun(self, table: int) -> bool:
        """Whether some row of the table has come."""
        return table in self._begun

    def end(
        self,
        table: int,
        part: tuple[str, bytes],
        events: list[ChangeEvent],
        parts: Parts,
    ) -> None:
        """The table has ended; `part` is what the checkpoint says about it."""
        held = self._held.pop(table, None)
        if held is None:
            # It was empty, or its only row was the very first one and has been followed.
            parts[part[0]] = part[1]
            return
        self._release("last_in_data_collection", events, parts)
        self._final = _Final(held, part)

    def finish(self, events: list[ChangeEvent], parts: Parts) -> None:
        """No row follows any more."""
        assert not self._held, "every table has ended"
        self._release("last", events, parts)

    def _release(self, marker: str, events: list[ChangeEvent], parts: Parts) -> None:
        """Hand out the last row of the table that ended last."""
        final, self._final = self._final, None
        if final is None:
            return
        row = final.row
        if marker != "last" and row.marker == "first":
            marker = "first"
        events.append(row.maker.event(row.line, marker))
        parts[final.part[0]] = final.part[1]
