"""Records that a test can read: JSON with every field in the open.

Every record has the header `at`: `<transaction>:<ordinal>:<part>`, where parts number the records
of one change. Row values must be JSON-able. A delete is followed by a tombstone where there is a
key, a key change is a delete, a tombstone and a create, a truncate goes to every partition. Events
that are no rows make no records.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from cdc.errors import DecodeError, SchemaError
from cdc.event import (
    CREATE,
    DELETE,
    EVERY_PARTITION,
    TRUNCATE,
    UNCHANGED,
    UPDATE,
    ChangeEvent,
    Record,
    Row,
    Stored,
    Topic,
    Transaction,
)
from cdc.orders import Orders
from cdc.protocols import Schemas
from cdc.rowless import is_rowless
from cdc.schema import TableSchema

SCHEMAS_TOPIC = Topic("__schemas", compacted=True, internal=True)


class StoredSchemas:
    """A Schemas that looks into the schemas topic each time."""

    def __init__(self, stored: Callable[[str], Sequence[Stored]]) -> None:
        """`stored` gives all records of a topic, as MemoryLog.stored does."""
        self._stored = stored

    def find(self, schema_id: str) -> TableSchema:
        """The structure with this id."""
        for record in self._stored(SCHEMAS_TOPIC.name):
            if record.key == schema_id.encode() and record.value is not None:
                return TableSchema.from_canonical(record.value)
        raise SchemaError(f"the structure {schema_id} is not known")


class PlainSerializer:
    """A Serializer; `prefix` begins the names of its topics."""

    def __init__(self, prefix: str, schemas: Schemas) -> None:
        self._prefix = prefix
        self._schemas = schemas
        self._known: dict[str, Topic] = {}
        self._found: dict[str, TableSchema] = {}

    def encode(self, events: Sequence[ChangeEvent]) -> list[Record]:
        """Records in order, each structure in front of the first that uses it."""
        records: list[Record] = []
        for event in events:
            table = event.table
            if is_rowless(table):
                continue
            if table.id not in self._known:
                self._known[table.id] = Topic(
                    f"{self._prefix}.{table.qualified_name}", bool(table.key)
                )
                content = table.canonical().encode()
                records.append(Record(SCHEMAS_TOPIC, table.id.encode(), content))
            records += self._encoded(event, self._known[table.id])
        return records

    def orders(self) -> Orders | None:
        """None: it counts nothing."""
        return None

    def resume(self, facts: Sequence[Orders]) -> None:
        """Nothing to resume."""

    def decode(self, stored: Stored) -> ChangeEvent | None:
        """The change in a record; None for those of the schemas topic."""
        headers = dict(stored.headers)
        if "cdc" not in headers:
            return None
        sequence, schema_id = headers["cdc"].decode().split(".")
        table = self._table(schema_id)
        transaction, ordinal, _ = headers["at"].decode().split(":")
        content = _content(stored)
        return ChangeEvent(
            op=content["op"],
            table=table,
            before=_row_of(table, content["before"]),
            after=_row_of(table, content["after"]),
            transaction=Transaction(transaction, 0),
            ordinal=int(ordinal),
            sequence=int(sequence),
        )

    def _encoded(self, event: ChangeEvent, topic: Topic) -> list[Record]:
        table, before, after = event.table, event.before, event.after
        if event.op == TRUNCATE:
            return [self._record(event, topic, TRUNCATE, (None, None), 0)]
        if event.op == DELETE or (event.op == UPDATE and before is not None):
            gone = [self._record(event, topic, DELETE, (before, None), 0)]
            if table.key:
                gone.append(self._record(event, topic, None, (before, None), 1))
            if event.op == DELETE:
                return gone
            return [*gone, self._record(event, topic, CREATE, (None, after), 2)]
        return [self._record(event, topic, event.op, (None, after), 0)]

    def _record(
        self,
        event: ChangeEvent,
        topic: Topic,
        op: str | None,
        rows: tuple[Row | None, Row | None],
        part: int,
    ) -> Record:
        table = event.table
        assert event.transaction is not None
        at = f"{event.transaction.id}:{event.ordinal}:{part}".encode()
        row = rows[1] if rows[1] is not None else rows[0]
        key = None
        if table.key and row is not None:
            key = json.dumps([row[index] for index in table.key]).encode()
        content = {"op": op, "before": _fields(table, rows[0]), "after": _fields(table, rows[1])}
        return Record(
            topic,
            key,
            None if op is None else json.dumps(content).encode(),
            b".%s" % table.id.encode(),
            (("at", at),),
            EVERY_PARTITION if op == TRUNCATE else None,
        )

    def _table(self, schema_id: str) -> TableSchema:
        if schema_id not in self._found:
            self._found[schema_id] = self._schemas.find(schema_id)
        return self._found[schema_id]


def _content(stored: Stored) -> dict[str, Any]:
    try:
        if stored.value is not None:
            content = json.loads(stored.value)
            return {"op": content["op"], "before": content["before"], "after": content["after"]}
        return {"op": DELETE, "before": json.loads(stored.key or b""), "after": None}
    except (ValueError, KeyError, TypeError) as error:
        raise DecodeError("the record is no plain change", kind="record") from error


def _fields(table: TableSchema, row: Row | None) -> dict[str, object] | None:
    # What was not sent is not there, which JSON can say without a placeholder.
    if row is None:
        return None
    return {
        column.name: value
        for column, value in zip(table.columns, row, strict=True)
        if value is not UNCHANGED
    }


def _row_of(table: TableSchema, content: dict[str, object] | list[object] | None) -> Row | None:
    if isinstance(content, list):
        # The key alone, of a tombstone.
        content = dict(zip(table.key_names, content, strict=True))
    if content is None:
        return None
    return tuple(content.get(column.name, UNCHANGED) for column in table.columns)
