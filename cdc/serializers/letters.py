"""Changes that the format has no encoding for, as letters (`unrepresentable: dead_letter`).

A letter is plain JSON: why, which change, and its rows as documents hold values (cdc.documents), in
which every value of every type has a text.
"""

import json
from collections.abc import Callable, Sequence

from cdc.documents import converter
from cdc.event import UNCHANGED, ChangeEvent, Record, Row, Topic
from cdc.rowless import is_rowless
from cdc.schema import TableSchema
from cdc.serializers.decimals import Unrepresentable
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping

Write = Callable[[object], object]


class Letters:
    """Takes out what cannot be written, and writes letters about it."""

    def __init__(self, prefix: str, options: Options) -> None:
        self._options = options
        self._topic = Topic(f"{prefix}.dead-letters", compacted=False)
        self._writers: dict[str, list[tuple[int, Write]]] = {}

    def screened(self, events: Sequence[ChangeEvent]) -> tuple[list[ChangeEvent], list[Record]]:
        """The events that can be written, in order, and letters about the others.

        An old value without an encoding is taken for one that was not sent, so that a delete gets
        through; one of a new row or of the key makes a letter.
        """
        kept: list[ChangeEvent] = []
        letters: list[Record] = []
        for event in events:
            if is_rowless(event.table) or not self._writers_of(event.table):
                kept.append(event)
                continue
            before = self._refused(event.table, event.before)
            after = self._refused(event.table, event.after)
            in_key = before.keys() & set(event.table.key)
            if after or in_key:
                letters.append(self._letter(event, {**before, **after}))
            elif before and event.before is not None:
                old = [
                    UNCHANGED if index in before else value
                    for index, value in enumerate(event.before)
                ]
                kept.append(event.with_rows(event.table, tuple(old), event.after))
            else:
                kept.append(event)
        return kept, letters

    def _writers_of(self, table: TableSchema) -> list[tuple[int, Write]]:
        """What turns the values of a column into Connect values, where anything does."""
        found = self._writers.get(table.id)
        if found is None:
            writes = [mapping(column.type, self._options).write for column in table.columns]
            found = [(index, write) for index, write in enumerate(writes) if write is not None]
            self._writers[table.id] = found
        return found

    def _refused(self, table: TableSchema, row: Row | None) -> dict[int, str]:
        """Reasons by the index of the column."""
        reasons: dict[int, str] = {}
        for index, write in self._writers_of(table) if row is not None else ():
            assert row is not None
            value = row[index]
            if value is None or value is UNCHANGED:
                continue
            try:
                write(value)
            except Unrepresentable as error:
                reasons[index] = error.reason
        return reasons

    def _letter(self, event: ChangeEvent, reasons: dict[int, str]) -> Record:
        table, transaction = event.table, event.transaction
        content = {
            "table": table.qualified_name,
            "op": event.op,
            "reasons": {table.columns[index].name: reasons[index] for index in sorted(reasons)},
            "lsn": event.position,
            "txId": None if transaction is None else transaction.xid,
            "ts_us": None if transaction is None else transaction.commit_time_us,
            "snapshot": event.snapshot,
            "before": _document(table, event.before),
            "after": _document(table, event.after),
        }
        row = event.before if event.after is None else event.after
        document = _document(table, row) or {}
        key = {name: document.get(name) for name in table.key_names}
        return Record(self._topic, _text(key) if key else None, _text(content))


def _document(table: TableSchema, row: Row | None) -> dict[str, object] | None:
    """A row as a document; values that were not sent are not in it."""
    if row is None:
        return None
    document: dict[str, object] = {}
    for column, value in zip(table.columns, row, strict=True):
        if value is UNCHANGED:
            continue
        convert = converter(column.type)
        document[column.name] = value if value is None or convert is None else convert(value)
    return document


def _text(content: dict[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
