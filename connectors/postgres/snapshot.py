"""The rows that exist, read by the capture process itself over one connection."""

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import psycopg

from cdc.event import ChangeEvent, Record, Transaction
from connectors.postgres.catalog import describe
from connectors.postgres.column_rules import NO_RULES, ColumnRules
from connectors.postgres.connection import translated
from connectors.postgres.copy_text import RowMaker
from connectors.postgres.lsn import Lsn
from connectors.postgres.markers import Markers
from connectors.postgres.pgoutput import Table
from connectors.postgres.range_copy import Locked, RangeCopy, gone, still_locked
from connectors.postgres.resume import table_part
from connectors.postgres.row_form import PartialRowMaker, row_form, row_maker, unread_columns
from connectors.postgres.snapshot_progress import Tally
from connectors.postgres.table_reads import Piece, TableRead, range_source
from connectors.postgres.view import begin_reading, transaction_of

Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_ATTEMPTS: Final = 30
"""Each waits two seconds (lock_timeout), and other tables are read in between."""

_DESCRIBED_AT_ONCE: Final = 200
# Thousands of empty tables must not keep the lease from being looked at.
_PARTS_MAX: Final = 100


@dataclass(slots=True)
class SnapshotLot:
    """What one read gave: events, records behind them, and parts of tables that are finished.

    `encoded` changes made the records. `size_bytes` is what the server sent.
    """

    events: list[ChangeEvent] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    encoded: int = 0
    parts: dict[str, bytes | None] = field(default_factory=dict)
    size_bytes: int = 0

    @property
    def empty(self) -> bool:
        """Nothing came."""
        return not (self.events or self.records or self.parts)


class Snapshot(Protocol):
    """What reads the rows, however many processes it takes."""

    finished: bool
    tally: Tally

    def poll(self, timeout_s: float) -> SnapshotLot:
        """The next rows; an empty lot when none came in time. Sets `finished` behind the last row.

        Raises TransientError when a table was changed so that the view cannot show it any more.
        """
        ...

    def close(self) -> None:
        """End the view and its connections. Repeatable."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """The structure of a table's rows; what is not read of them; what makes events of them."""

    table: Table
    unread: tuple[str, ...]
    maker: RowMaker | PartialRowMaker
    transaction: Transaction

    @property
    def columns(self) -> list[str]:
        """The columns to read, in the order of the structure."""
        names = [column.name for column in self.table.schema.columns]
        return [name for name in names if name not in self.unread]


class Forms:
    """The forms of the tables, looked up for many of them at once."""

    def __init__(
        self,
        connection: Connection,
        reads: Sequence[TableRead],
        rules: ColumnRules,
        position: int,
    ) -> None:
        """`position` is what the rows carry as their place in the source."""
        self._connection = connection
        self._ahead = deque(reads)
        self._rules = rules
        self._position = position
        self._known: dict[int, Form] = {}

    def of(self, read: TableRead) -> Form:
        """The form of a table. The connection must be free.

        Raises TransientError when it is gone from the view.
        """
        while read.table.oid not in self._known and self._ahead:
            self._describe(
                [self._ahead.popleft() for _ in range(min(_DESCRIBED_AT_ONCE, len(self._ahead)))]
            )
        form = self._known.get(read.table.oid)
        if form is None:
            raise gone(read.table.qualified_name)
        return form

    def forget(self, read: TableRead) -> None:
        """The table has been read."""
        self._known.pop(read.table.oid, None)

    def _describe(self, reads: Sequence[TableRead]) -> None:
        with translated("looking up the tables of the snapshot"):
            oids = [read.table.oid for read in reads]
            found = describe(self._connection, oids, self._rules)
        transaction = transaction_of(self._connection)
        for read in reads:
            facts = found.get(read.table.oid)
            if facts is None:
                continue
            table = row_form(facts, read.published)
            unread = unread_columns(table, read.wanted)
            maker = row_maker(table, unread, transaction, self._position)
            self._known[read.table.oid] = Form(table, unread, maker, transaction)


@dataclass(slots=True)
class Ends:
    """When tables end: how many of their parts are still to be read."""

    left: dict[int, int]

    def ended(self, read: TableRead) -> bool:
        """One more part has been read; whether it was the last."""
        self.left[read.table.oid] -= 1
        return self.left[read.table.oid] == 0


@dataclass(slots=True)
class _Work:
    """A relation to read, and how often it was found locked."""

    read: TableRead
    piece: Piece
    attempts: int = 0


class LocalSnapshot:
    """Reads relations one after the other; takes over `connection`, whose view is open."""

    def __init__(
        self,
        connection: Connection,
        reads: Sequence[TableRead],
        position: Lsn,
        rows_max: int,
        bytes_max: int,
        rules: ColumnRules = NO_RULES,
    ) -> None:
        self.finished = False
        self.tally = Tally(reads)
        self._connection = connection
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._todo = deque(_Work(read, piece) for read in reads for piece in read.pieces)
        self._ends = Ends({read.table.oid: len(read.pieces) for read in reads})
        self._forms = Forms(connection, reads, rules, int(position))
        self._markers = Markers()
        begin_reading(connection)
        self._work: _Work | None = None
        self._form: Form | None = None
        self._copy: RangeCopy | None = None

    def poll(self, timeout_s: float) -> SnapshotLot:
        """See Snapshot."""
        lot = SnapshotLot()
        while not (lot.events or len(lot.parts) >= _PARTS_MAX or self.finished):
            if self._copy is None and not self._begin():
                self._markers.finish(lot.events, lot.parts)
                self.finished = True
                break
            work, copy = self._work, self._copy
            assert work is not None
            assert copy is not None
            try:
                lines = copy.read(timeout_s, self._rows_max, self._bytes_max)
            except Locked:
                self._later(work)
                continue
            if lines:
                self._take(work.read, lines, lot)
            if copy.ended:
                self._end(work.read, lot)
            elif not lines:
                break
        return lot

    def close(self) -> None:
        """See Snapshot."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def _begin(self) -> bool:
        """Start reading the next relation; False when there is none."""
        if not self._todo:
            return False
        work = self._work = self._todo.popleft()
        form = self._form = self._forms.of(work.read)
        source = range_source(work.read, work.piece, (0, None), form.columns)
        self._copy = RangeCopy(self._connection.pgconn, source)
        return True

    def _later(self, work: _Work) -> None:
        work.attempts += 1
        if work.attempts == LOCK_ATTEMPTS:
            raise still_locked(work.piece.qualified_name, LOCK_ATTEMPTS)
        self._todo.append(work)
        self._copy = None

    def _take(self, read: TableRead, lines: list[bytes], lot: SnapshotLot) -> None:
        oid, form = read.table.oid, self._form
        assert form is not None
        lot.size_bytes += sum(map(len, lines))
        self.tally.add(oid, len(lines))
        start = 0
        if not self._markers.has_begun(oid):
            self._markers.push(oid, lines[0], form.maker, lot.events, lot.parts)
            start = 1
        if start < len(lines) - 1:
            self._markers.flush(oid, lot.events, lot.parts)
            form.maker.append(lines, start, len(lines) - 1, lot.events)
        if start < len(lines):
            self._markers.push(oid, lines[-1], form.maker, lot.events, lot.parts)

    def _end(self, read: TableRead, lot: SnapshotLot) -> None:
        self._copy = None
        if not self._ends.ended(read):
            return
        oid = read.table.oid
        self._forms.forget(read)
        part = table_part(read.table, self.tally.rows_of(oid), read.narrowed)
        self._markers.end(oid, part, lot.events, lot.parts)
        self.tally.end(oid)
