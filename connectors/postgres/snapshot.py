"""The rows that exist, read in one view of the database with COPY."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from cdc.errors import TransientError
from cdc.event import ChangeEvent, Transaction
from cdc.protocols import TableProgress
from connectors.postgres.catalog import ExcludedColumns, describe
from connectors.postgres.connection import rows_of, translated
from connectors.postgres.copy_stream import CopyStream, next_result
from connectors.postgres.copy_text import RowMaker
from connectors.postgres.lsn import Lsn
from connectors.postgres.pgoutput import Table
from connectors.postgres.refusals import result_error
from connectors.postgres.resume import table_part
from connectors.postgres.tables import CapturedTable

Connection = psycopg.Connection[tuple[Any, ...]]

_BEGIN: Final[LiteralString] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# A lock that somebody holds against readers ends this attempt, not the patience of the whole loop.
_LOCK_TIMEOUT: Final[LiteralString] = "SET LOCAL lock_timeout = '5s'"
_CLOCK: Final[LiteralString] = """
SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8,
       pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text
"""
# The catalog row is the view's, the function's answer is the present.
_FILES: Final[LiteralString] = """
SELECT c.relfilenode = pg_catalog.pg_relation_filenode(c.oid)
FROM pg_catalog.pg_class c WHERE c.oid = %s
"""
_HORIZON: Final[LiteralString] = """
SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.text,
       pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text
"""


@dataclass(slots=True)
class SnapshotLot:
    """What one read gave: events, checkpoint parts of tables that are finished, and the size."""

    events: list[ChangeEvent] = field(default_factory=list)
    parts: dict[str, bytes | None] = field(default_factory=dict)
    size_bytes: int = 0


@dataclass(slots=True)
class _Reading:
    """The table that is being read. `starts`: no row of it was handed out yet."""

    table: CapturedTable
    maker: RowMaker
    copy: CopyStream
    doing: str
    starts: bool = True


@dataclass(frozen=True, slots=True)
class _Held:
    """The last row read, kept back until it is known what follows it.

    `marker` is right if another row of its table follows. `part` is set when its table has ended.
    """

    line: bytes
    maker: RowMaker
    marker: str
    part: tuple[str, bytes] | None = None


class Snapshot:
    """Reads tables one after the other; takes over `connection` and closes it.

    `position` is what the rows carry as their place in the source. Markers as Debezium sets them:
    a row is `last` before it is `first`, before `last_in_data_collection`, before
    `first_in_data_collection`, before `true`.
    """

    def __init__(
        self,
        connection: Connection,
        tables: Sequence[CapturedTable],
        position: Lsn,
        rows_max: int,
        bytes_max: int,
        excluded_columns: ExcludedColumns = (),
    ) -> None:
        self.finished = False
        self._excluded_columns = excluded_columns
        self._connection = connection
        self._todo = list(reversed(tables))
        self._position = int(position)
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._reading: _Reading | None = None
        self._held: _Held | None = None
        self._any_row = False
        self._rows_done: dict[str, int] = {}

    def open_view(self, exported: str | None) -> None:
        """Fix what is seen: the exported snapshot, or the database as it is now."""
        with translated("opening the snapshot's view"):
            self._connection.execute(_BEGIN)
            if exported is not None:
                self._connection.execute(
                    sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported))
                )
            self._connection.execute(_LOCK_TIMEOUT)
            self._connection.execute(_CLOCK)

    def poll(self, timeout_s: float) -> SnapshotLot:
        """The next rows; an empty lot when none came in time. Sets `finished` behind the last row.

        Raises TransientError when a table was changed so that the view cannot show it any more.
        """
        lot = SnapshotLot()
        while not lot.events and not self.finished:
            if self._reading is None and not self._begin_table():
                self._release("last", lot)
                self.finished = True
                break
            reading = self._reading
            assert reading is not None
            lines = reading.copy.read(timeout_s, self._rows_max, self._bytes_max)
            lot.size_bytes += sum(map(len, lines))
            if lines:
                self._take(reading, lines, lot)
            if reading.copy.ended:
                self._end_table(reading, lot)
            elif not lines:
                break
        return lot

    def progress(self) -> tuple[TableProgress, ...]:
        """How far each table is that has begun."""
        reading = self._reading
        if reading is not None:
            self._rows_done[reading.table.qualified_name] = reading.maker.ordinal
        return tuple(
            TableProgress(name, rows, None, reading is None or name != reading.table.qualified_name)
            for name, rows in self._rows_done.items()
        )

    def close(self) -> None:
        """End the view and its connection. Repeatable."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def _begin_table(self) -> bool:
        """Start reading the next table; False when there is none."""
        if not self._todo:
            return False
        table = self._todo.pop()
        doing = f"reading the rows of {table.qualified_name}"
        with translated(doing):
            self._reading = self._start_copy(table, doing)
        return True

    def _start_copy(self, table: CapturedTable, doing: str) -> _Reading:
        name = sql.Identifier(table.namespace, table.table)
        execute = self._connection.execute
        try:
            # COPY takes this lock anyway; taken first, what the catalog says stays true.
            execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(name))
            same_file = execute(_FILES, (table.oid,)).fetchone()
            catalog = describe(self._connection, [table.oid], self._excluded_columns)
            facts = catalog.get(table.oid)
            if facts is None or same_file is None or not same_file[0]:
                raise _changed(table)
            columns = [column.name for column in facts.schema.columns]
            statement = sql.SQL("COPY {} {} TO STDOUT").format(name, _column_list(columns))
            now_us, xmax = rows_of(self._connection, doing, _CLOCK)[0]
            pgconn = self._connection.pgconn
            pgconn.send_query(statement.as_bytes(None))
            result = next_result(pgconn, None)
        except (
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.LockNotAvailable,
        ) as error:
            raise _changed(table) from error
        assert result is not None
        if result.status != ExecStatus.COPY_OUT:
            raise result_error(result, doing)
        # The first transaction that the view cannot see stands for the view.
        transaction = Transaction(xmax, now_us, int(xmax) & 0xFFFFFFFF)
        described = Table(facts.schema, facts.layout, (False,) * len(columns))
        maker = RowMaker(described, transaction, self._position)
        return _Reading(table, maker, CopyStream(pgconn, doing), doing)

    def _take(self, reading: _Reading, lines: list[bytes], lot: SnapshotLot) -> None:
        """Hand out these rows but the last, behind the one that was kept back."""
        start = 0
        if self._held is None or self._held.part is not None or reading.starts:
            self._release(None, lot)
            marker = "first_in_data_collection" if self._any_row else "first"
            self._any_row = True
            reading.starts = False
            if len(lines) == 1:
                self._held = _Held(lines[0], reading.maker, marker)
                return
            lot.events.append(reading.maker.event(lines[0], marker))
            start = 1
        else:
            self._release(None, lot)
        reading.maker.append(lines, start, len(lines) - 1, lot.events)
        self._held = _Held(lines[-1], reading.maker, "true")

    def _release(self, marker: str | None, lot: SnapshotLot) -> None:
        """Hand out the row that was kept back, marked by what follows it."""
        held, self._held = self._held, None
        if held is None:
            return
        if marker is None:
            ends = held.part is not None and held.marker != "first"
            marker = "last_in_data_collection" if ends else held.marker
        lot.events.append(held.maker.event(held.line, marker))
        if held.part is not None:
            name, content = held.part
            lot.parts[name] = content

    def _end_table(self, reading: _Reading, lot: SnapshotLot) -> None:
        with translated(reading.doing):
            while (result := next_result(self._connection.pgconn, None)) is not None:
                if result.status != ExecStatus.COMMAND_OK:
                    raise result_error(result, reading.doing)
        self._reading = None
        held = self._held
        if reading.starts or held is None:
            name, content = table_part(reading.table, 0)
            lot.parts[name] = content
            self._rows_done[reading.table.qualified_name] = 0
            return
        rows = reading.maker.ordinal + 1
        self._rows_done[reading.table.qualified_name] = rows
        part = table_part(reading.table, rows)
        self._held = _Held(held.line, held.maker, held.marker, part)


def horizon(connection: Connection) -> tuple[int, int]:
    """The oldest transaction that is still open, and the one that will come next."""
    oldest, coming = rows_of(connection, "looking for open transactions", _HORIZON)[0]
    return int(oldest), int(coming)


def _column_list(names: Sequence[str]) -> sql.Composable:
    # A table without columns has rows all the same, and no column list.
    if not names:
        return sql.SQL("")
    return sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, names)))


def _changed(table: CapturedTable) -> TransientError:
    return TransientError(
        f"{table.qualified_name} was dropped, rewritten or locked after the snapshot's view began",
        hint="Tables that are finished are kept; the others are read in a new view.",
    )
