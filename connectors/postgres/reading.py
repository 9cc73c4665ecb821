"""What a reader of the snapshot does in its process: copy ranges, and make events of their rows."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final, cast

import psycopg

from cdc.event import Transaction
from cdc.protocols import SourceContext
from cdc.reading import Plain, TaskLot
from connectors.postgres.catalog import describe
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.config import Config
from connectors.postgres.connection import translated
from connectors.postgres.dialing import dialer_of
from connectors.postgres.parallel_snapshot import ENDED, LOCKED, MORE, Entry, Note
from connectors.postgres.pgoutput import Table
from connectors.postgres.range_copy import Locked, RangeCopy, RangeSource, gone
from connectors.postgres.row_form import row_form, row_maker, unread_columns
from connectors.postgres.view import begin_reading, open_view

Connection = psycopg.Connection[tuple[Any, ...]]

Opening = tuple[str, "tuple[tuple[str, str], ...]", int]
"""The exported view, the address of its server, and the position that rows carry."""

_WAIT_S: Final = 1.0
_TABLES_KNOWN: Final = 1000


class RangeReader:
    """A TaskReader with a connection of its own, in the exported view."""

    def __init__(self, config: Config, context: SourceContext, opening: Opening) -> None:
        view, address, position = opening
        self._config = config
        self._rules = ColumnRules.of(context)
        self._position = position
        dialer = dialer_of(config, context)
        dialer.pin(address)
        self._connection = dialer.connect()
        self._forms: dict[int, tuple[Table, tuple[str, ...]]] = {}
        open_view(self._connection, view)
        begin_reading(self._connection)

    def read(self, task: Plain) -> Iterator[TaskLot]:
        """Ranges, one after the other. Raises what `describe` and RangeCopy raise."""
        entries = cast("list[Entry]", task)
        self._describe(entries)
        for entry in entries:
            yield from self._read(entry)

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def _describe(self, entries: list[Entry]) -> None:
        """Look up all tables that are new, at once."""
        new = {entry[3]: entry for entry in entries if entry[3] not in self._forms}
        if not new:
            return
        if len(self._forms) > _TABLES_KNOWN:
            self._forms.clear()
            new = {entry[3]: entry for entry in entries}
        with translated("looking up the tables of the snapshot"):
            found = describe(self._connection, list(new), self._rules)
        for oid, entry in new.items():
            facts = found.get(oid)
            if facts is None:
                raise gone(entry[1])
            table = row_form(facts, entry[4])
            self._forms[oid] = table, unread_columns(table, entry[5])

    def _read(self, entry: Entry) -> Iterator[TaskLot]:
        number, name, statement, oid, _, _, id_, time_us, xid = entry
        table, unread = self._forms[oid]
        maker = row_maker(table, unread, Transaction(id_, time_us, xid), self._position)
        copy = RangeCopy(self._connection.pgconn, RangeSource(name, statement))
        rows_max, bytes_max = (
            self._config.snapshot_lot_rows_max,
            self._config.snapshot_lot_bytes_max,
        )
        first: bytes | None = None
        last: bytes | None = None
        begun = False
        try:
            while not copy.ended:
                lines = copy.read(_WAIT_S, rows_max, bytes_max)
                if not lines:
                    continue
                size_bytes = sum(map(len, lines))
                if not begun:
                    begun, first = True, lines.pop(0)
                if lines:
                    if last is not None:
                        lines.insert(0, last)
                    last = lines.pop()
                if lines or first is not None:
                    lot = TaskLot([], size_bytes, _note(number, first, None, MORE))
                    maker.append(lines, 0, len(lines), lot.events)
                    first = None
                    yield lot
        except Locked:
            yield TaskLot([], 0, _note(number, None, None, LOCKED))
            return
        yield TaskLot([], 0, _note(number, None, last, ENDED))


def _note(number: int, first: bytes | None, last: bytes | None, state: str) -> Note:
    return number, first, last, state


def open_reader(config: Config, context: SourceContext, opening: Plain) -> RangeReader:
    """What does the tasks of a ParallelSnapshot, in the view of its connection."""
    return RangeReader(config, context, cast("Opening", opening))
