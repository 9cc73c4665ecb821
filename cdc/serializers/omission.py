"""Leaves out the columns that Debezium leaves out, under `unknown_types: omit`."""

from collections.abc import Sequence
from dataclasses import replace

from cdc.event import ChangeEvent, RawRow, Row, RowLayout, raw_row
from cdc.schema import TableSchema
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping


class Omission:
    """Narrows events to the columns that Debezium has an encoding for, and to their keys."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._by_table: dict[str, _Narrowing | None] = {}

    def narrowed(self, events: Sequence[ChangeEvent]) -> list[ChangeEvent]:
        """The events in order. A key column stays: without it the key would be another."""
        return [self._narrowed(event) for event in events]

    def _narrowed(self, event: ChangeEvent) -> ChangeEvent:
        table = event.table
        if table.id not in self._by_table:
            kept = [
                index
                for index, column in enumerate(table.columns)
                if index in table.key or not mapping(column.type, self._options).unknown
            ]
            narrowing = _Narrowing(table, kept) if len(kept) < len(table.columns) else None
            self._by_table[table.id] = narrowing
        chosen = self._by_table[table.id]
        if chosen is None:
            return event
        return event.with_rows(chosen.table, chosen.row(event.before), chosen.row(event.after))


class _Narrowing:
    """From the rows of one structure to those of `table`, which has only the kept columns."""

    def __init__(self, table: TableSchema, kept: list[int]) -> None:
        self._kept = kept
        self._layout: RowLayout | None = None
        self._narrow = RowLayout((), ())
        self.table = replace(
            table,
            columns=tuple(table.columns[index] for index in kept),
            key=tuple(kept.index(index) for index in table.key),
        )

    def row(self, row: Row | None) -> Row | None:
        """The kept values of a row, not decoded if they were not."""
        if row is None:
            return None
        if not isinstance(row, RawRow):
            return tuple([row[index] for index in self._kept])
        if row.layout is not self._layout:
            self._layout = row.layout
            self._narrow = RowLayout(
                tuple(row.layout.decoders[index] for index in self._kept),
                tuple(row.layout.forms[index] for index in self._kept),
            )
        raw = row.raw
        return raw_row(self._narrow, [raw[index] for index in self._kept])
