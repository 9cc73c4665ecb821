"""The rows that exist, read by several processes in one view; this one puts them together.

The view is exported and stays open here until the end. Work goes out in tasks: a range of a large
table, or several small tables. Readers send records; of every range they send the first and the
last row as they are, since only here it is known whether those are the first and last of a table or
of the whole: these become events here.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import psycopg

from cdc.reading import Plain, ReaderLot, Readers
from connectors.postgres.column_rules import NO_RULES, ColumnRules
from connectors.postgres.lsn import Lsn
from connectors.postgres.markers import Markers
from connectors.postgres.range_copy import still_locked
from connectors.postgres.resume import table_part
from connectors.postgres.snapshot import LOCK_ATTEMPTS, Ends, Forms, SnapshotLot
from connectors.postgres.snapshot_progress import Tally
from connectors.postgres.table_reads import (
    PageRange,
    Piece,
    TableRead,
    range_source,
    ranges,
)

Connection = psycopg.Connection[tuple[Any, ...]]

TABLES_A_TASK: Final = 64
"""Small tables are given out together; a reader looks all of them up at once."""

MORE: Final = "more"
ENDED: Final = "ended"
LOCKED: Final = "locked"

Entry = tuple[int, str, str, int, "tuple[str, ...] | None", "tuple[str, ...] | None", str, int, int]
"""One range as it travels: number, table, statement, oid, published and wanted columns, and the
transaction that stands for the view (id, time in microseconds, xid)."""

Note = tuple[int, bytes | None, bytes | None, str]
"""Number of the range, its first row, its last row, and MORE, ENDED or LOCKED."""


@dataclass(slots=True)
class Work:
    """A range to read, and how often its relation was found locked."""

    read: TableRead
    piece: Piece
    pages: PageRange
    attempts: int = 0

    @property
    def size_pages(self) -> int:
        """About how many pages it has."""
        begin, end = self.pages
        return max((self.piece.pages if end is None else end) - begin, 0)


def tasks_of(reads: Sequence[TableRead], pages_max: int) -> list[list[Work]]:
    """All ranges in order, small ones of one or several tables together."""
    tasks: list[list[Work]] = []
    pages = 0
    for read in reads:
        for piece, range_ in ranges(read, pages_max):
            work = Work(read, piece, range_)
            pages += work.size_pages
            if not tasks or pages > pages_max or len(tasks[-1]) == TABLES_A_TASK:
                tasks.append([])
                pages = work.size_pages
            tasks[-1].append(work)
    return tasks


class ParallelSnapshot:
    """Gives out tasks and puts together what comes; takes over `connection` and `readers`."""

    def __init__(
        self,
        connection: Connection,
        readers: Readers,
        reads: Sequence[TableRead],
        tasks: Sequence[list[Work]],
        position: Lsn,
        rules: ColumnRules = NO_RULES,
    ) -> None:
        """The readers have opened, or are opening, the view of `connection`."""
        self.finished = False
        self.tally = Tally(reads)
        self._connection = connection
        self._readers = readers
        self._todo = deque(tasks)
        self._given: dict[int, Work] = {}
        self._count = 0
        left: dict[int, int] = {}
        for work in (work for task in tasks for work in task):
            left[work.read.table.oid] = left.get(work.read.table.oid, 0) + 1
        self._ends = Ends(left)
        self._forms = Forms(connection, reads, rules, int(position))
        self._markers = Markers()
        self._ready: deque[SnapshotLot] = deque()

    def poll(self, timeout_s: float) -> SnapshotLot:
        """See Snapshot."""
        if not self._ready:
            self._give()
            if self._given:
                for lot in self._readers.poll(timeout_s):
                    self._take(lot)
            if not (self._given or self._todo or self.finished):
                self._finish()
        return self._ready.popleft() if self._ready else SnapshotLot()

    def close(self) -> None:
        """See Snapshot."""
        self._readers.close()
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def _finish(self) -> None:
        last = self._open_lot()
        self._markers.finish(last.events, last.parts)
        self.finished = True

    def _give(self) -> None:
        while self._todo and self._readers.room:
            self._readers.give([self._entry(work) for work in self._todo.popleft()])

    def _entry(self, work: Work) -> Plain:
        read = work.read
        form = self._forms.of(read)
        source = range_source(read, work.piece, work.pages, form.columns)
        self._count += 1
        self._given[self._count] = work
        transaction = form.transaction
        entry: Entry = (
            self._count,
            source.table,
            source.statement,
            read.table.oid,
            read.published,
            read.wanted,
            transaction.id,
            transaction.commit_time_us,
            transaction.xid or 0,
        )
        return entry

    def _take(self, lot: ReaderLot) -> None:
        if lot.ended:
            return
        number, first, last, state = cast("Note", lot.note)
        work = self._given[number]
        if state == LOCKED:
            del self._given[number]
            self._later(work)
            return
        oid, maker = work.read.table.oid, self._forms.of(work.read).maker
        out = self._open_lot()
        out.size_bytes += lot.size_bytes
        if first is not None:
            self._markers.push(oid, first, maker, out.events, out.parts)
        if lot.rows:
            # Whatever transforms left of them, these rows stand between first and last.
            self._markers.flush(oid, out.events, out.parts)
            out.records, out.encoded = lot.records, lot.rows
            out = self._open_lot()
        if last is not None:
            self._markers.push(oid, last, maker, out.events, out.parts)
        self.tally.add_rows(oid, lot.rows + (first is not None) + (last is not None))
        if state == ENDED:
            del self._given[number]
            self._end(work, out)

    def _end(self, work: Work, out: SnapshotLot) -> None:
        read = work.read
        oid = read.table.oid
        self.tally.add_pages(oid, work.size_pages)
        if not self._ends.ended(read):
            return
        self._forms.forget(read)
        part = table_part(read.table, self.tally.rows_of(oid), read.narrowed)
        self._markers.end(oid, part, out.events, out.parts)
        self.tally.end(oid)

    def _later(self, work: Work) -> None:
        work.attempts += 1
        if work.attempts == LOCK_ATTEMPTS:
            raise still_locked(work.piece.qualified_name, LOCK_ATTEMPTS)
        self._todo.append([work])

    def _open_lot(self) -> SnapshotLot:
        """The lot that is being filled; records end it, since events stand in front of them."""
        if not self._ready or self._ready[-1].records or self._ready[-1].encoded:
            self._ready.append(SnapshotLot())
        return self._ready[-1]
