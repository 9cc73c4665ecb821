"""How far a snapshot is, by table and as a whole."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from cdc.protocols import SnapshotProgress, TableProgress
from connectors.postgres.table_reads import TableRead

TABLES_MAX: Final = 1000
"""How many tables are listed one by one: the largest."""

_TELLING_SHARE: Final = 0.01
"""What must be done before the speed so far says something about the rest."""


class Tally:
    """Counts rows and bytes. Cheap to ask, whatever the number of tables."""

    def __init__(
        self, reads: Sequence[TableRead], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._began_s = clock()
        self._pages = {read.table.oid: sum(piece.pages for piece in read.pieces) for read in reads}
        self._all = {
            read.table.oid: TableProgress(
                read.table.qualified_name,
                0,
                read.table.rows_estimated,
                False,  # noqa: FBT003
                0,
                read.table.size_bytes,
            )
            for read in reads
        }
        largest = sorted(reads, key=lambda read: -read.table.size_bytes)[:TABLES_MAX]
        listed = {read.table.oid for read in largest}
        self._listed = {read.table.oid for read in reads if read.table.oid in listed}
        self._shown = {oid: self._all[oid] for oid in self._all if oid in self._listed}
        self._tables_done = self._rows = self._bytes = 0
        self._bytes_estimated = sum(read.table.size_bytes for read in reads)
        estimates = [read.table.rows_estimated for read in reads]
        known = [rows for rows in estimates if rows is not None]
        self._rows_estimated = sum(known) if len(known) == len(estimates) else None

    def rows_of(self, oid: int) -> int:
        """Rows read of a table."""
        return self._all[oid].rows_done

    def add(self, oid: int, rows: int) -> None:
        """Rows of a table that is read as a whole: its estimate says how far that is."""
        before = self._all[oid]
        share = (
            min((before.rows_done + rows) / before.rows_estimated, 1.0)
            if (before.rows_estimated)
            else 0.0
        )
        self._put(oid, rows, round(share * (before.bytes_estimated or 0)))

    def add_rows(self, oid: int, rows: int) -> None:
        """Rows of a table that is read in ranges."""
        self._put(oid, rows, self._all[oid].bytes_done)

    def add_pages(self, oid: int, pages: int) -> None:
        """A range of a table has been read."""
        before, total = self._all[oid], self._pages[oid]
        share = pages / total if total else 0.0
        estimated = before.bytes_estimated or 0
        self._put(oid, 0, min(before.bytes_done + round(share * estimated), estimated))

    def end(self, oid: int) -> None:
        """A table has been read."""
        self._tables_done += 1
        self._put(oid, 0, self._all[oid].bytes_estimated or 0, done=True)

    def tables(self) -> tuple[TableProgress, ...]:
        """The tables, in the order in which they are read."""
        return tuple(self._shown.values())

    def whole(self) -> SnapshotProgress:
        """All of them."""
        done, estimated = self._bytes, self._bytes_estimated
        eta_s: float | None = None
        if self._tables_done == len(self._all):
            eta_s = 0.0
        elif done and done >= estimated * _TELLING_SHARE:
            eta_s = (self._clock() - self._began_s) * (estimated - done) / done
        return SnapshotProgress(
            len(self._all),
            self._tables_done,
            self._rows,
            self._rows_estimated,
            done,
            estimated,
            eta_s,
        )

    def _put(self, oid: int, rows: int, bytes_done: int, *, done: bool = False) -> None:
        before = self._all[oid]
        self._rows += rows
        self._bytes += bytes_done - before.bytes_done
        now = TableProgress(
            before.table,
            before.rows_done + rows,
            before.rows_estimated,
            done or before.done,
            bytes_done,
            before.bytes_estimated,
        )
        self._all[oid] = now
        if oid in self._listed:
            self._shown[oid] = now
