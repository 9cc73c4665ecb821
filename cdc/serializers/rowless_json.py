"""Debezium's records that are no rows, as JSON: messages, transactions, heartbeats.

None has a `cdc` header or a context header, and none has a version of a key.
"""

from collections.abc import Callable
from typing import Final

from cdc.event import ChangeEvent, Record, Topic
from cdc.orders import Orders
from cdc.rowless import BEGIN, END, HEARTBEAT, MESSAGE, STRUCTURE
from cdc.schema import Bytes, TableSchema
from cdc.serializers import rowless_schemas as schemas
from cdc.serializers.debezium_plan import around, no_snapshot, source_parts
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.json_values import quote, writer
from cdc.serializers.mapping import as_bytes
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping
from cdc.serializers.structure_json import (
    structure_key_schema,
    structure_value_schema,
    structures_of,
    table_changes,
)


def transaction_id(event: ChangeEvent) -> str:
    """The id of a transaction as a record of it has it: with the place of that record behind it.

    What all records of the transaction share is the part before the colon.
    """
    assert event.transaction is not None
    return f"{event.transaction.id}:{event.position}"


def transaction_block(event: ChangeEvent, orders: Orders, collection: str) -> bytes:
    """The block `transaction` of one more change, which is counted."""
    total, place = orders.count(collection, event.ordinal)
    return b'{"id":%b,"total_order":%d,"data_collection_order":%d}' % (
        quote(transaction_id(event)),
        total,
        place,
    )


def source_block_end(event: ChangeEvent) -> bytes:
    """The last three fields of the source block, with the comma in front."""
    origin = origin_lsn = b"null"
    transaction = event.transaction
    if transaction is not None:
        if transaction.origin is not None:
            origin = quote(transaction.origin)
        if transaction.origin_position is not None:
            origin_lsn = b"%d" % transaction.origin_position
    return b',"xmin":null,"origin":%b,"origin_lsn":%b}' % (origin, origin_lsn)


class RowlessJson:
    """Writes the records of one source that are no rows."""

    def __init__(self, identity: SourceIdentity, options: Options) -> None:
        """Take what the records of rows are written with."""
        self._identity = identity
        self._options = options
        self._records: dict[str, Callable[[ChangeEvent, Orders | None, int], Record]] = {
            MESSAGE: self._message,
            BEGIN: self._begin,
            END: self._end,
            HEARTBEAT: self._heartbeat,
            STRUCTURE: self._structure,
        }
        name, connector = identity.name, identity.connector
        self._messages = Topic(schemas.message_topic(name), compacted=False)
        self._transactions = Topic(schemas.transaction_topic(name), compacted=False)
        self._heartbeats = Topic(schemas.heartbeat_topic(name), compacted=False)
        self._structures = Topic(name, compacted=False)
        self._structure_key = around(structure_key_schema(connector), options)
        self._structure_value = around(structure_value_schema(connector), options)
        self._content = mapping(Bytes(), options)
        self._message_key = around(schemas.message_key_schema(connector), options)
        self._message_value = around(
            schemas.message_value_schema(connector, self._content.schema), options
        )
        self._transaction_key = around(schemas.TRANSACTION_KEY, options)
        self._transaction_value = around(schemas.TRANSACTION_VALUE, options)
        self._heartbeat_key = around(schemas.HEARTBEAT_KEY, options)
        self._heartbeat_value = around(schemas.HEARTBEAT_VALUE, options)

    def encode(self, event: ChangeEvent, orders: Orders | None, now_us: int) -> list[Record]:
        """The record of an event that is no row, none where the format has none.

        `orders` are the counters of the event's transaction; a message is counted. `now_us` is
        microseconds since 1970 UTC.
        """
        make = self._records.get(event.op)
        return [] if make is None else [make(event, orders, now_us)]

    def _message(self, event: ChangeEvent, orders: Orders | None, now_us: int) -> Record:
        assert event.after is not None, "a message has prefix and content"
        prefix = quote(str(event.after[0]))
        write = self._content.write
        content = as_bytes(event.after[1])
        text = writer(self._content.schema)(content if write is None else write(content))
        block = b"null"
        if orders is not None and event.transaction is not None:
            block = transaction_block(event, orders, schemas.MESSAGES)
        value = b'{"op":"m","ts_ms":%d%b,"transaction":%b,"message":{"prefix":%b,"content":%b}}' % (
            now_us // 1000,
            self._source(event, now_us),
            block,
            prefix,
            text,
        )
        key = _within(self._message_key, b'{"prefix":' + prefix + b"}")
        return Record(self._messages, key, _within(self._message_value, value))

    def _structure(self, event: ChangeEvent, orders: Orders | None, now_us: int) -> Record:
        del orders
        old, new = structures_of(event)
        table = new or old
        assert table is not None, "one of them is there"
        database = quote(table.database)
        value = (
            b'{%b,"ts_ms":%d,"databaseName":%b,"schemaName":%b,"ddl":null,"tableChanges":%b}'
            % (
                self._source(event, now_us, table)[1:],
                now_us // 1000,
                database,
                quote(table.namespace),
                table_changes(old, new),
            )
        )
        key = _within(self._structure_key, b'{"databaseName":' + database + b"}")
        return Record(self._structures, key, _within(self._structure_value, value))

    def _source(self, event: ChangeEvent, now_us: int, table: TableSchema | None = None) -> bytes:
        """The source block, with a comma in front; of `table` where the event is about one."""
        transaction = event.transaction
        xid = b"null"
        # A message outside transactions is itself the last thing that is complete, and the log
        # does not tell when it was written.
        us, prior = now_us, b'\\"%d\\"' % event.position
        if transaction is not None:
            us = transaction.commit_time_us
            prior = b"null"
            if transaction.prior_position is not None:
                prior = b'\\"%d\\"' % transaction.prior_position
            if transaction.xid is not None:
                xid = b"%d" % transaction.xid
        head, middle = source_parts(table or event.table, self._identity, self._options)
        return b"%b%d%b%d%b" % (
            head % (b"%d" % (us // 1000), no_snapshot(self._options), prior),
            event.position,
            middle % (b"%d" % us, b"%d" % (us * 1000), xid),
            event.position,
            source_block_end(event),
        )

    def _begin(self, event: ChangeEvent, orders: Orders | None, now_us: int) -> Record:
        del orders, now_us
        return self._transaction(event, b"BEGIN", b'"event_count":null,"data_collections":null')

    def _end(self, event: ChangeEvent, orders: Orders | None, now_us: int) -> Record:
        del now_us
        assert orders is not None, "only what was counted is ended"
        collections = b",".join(
            b'{"data_collection":%b,"event_count":%d}' % (quote(name), count)
            for name, count in orders.collections.items()
        )
        counts = b'"event_count":%d,"data_collections":[%b]' % (orders.total, collections)
        return self._transaction(event, b"END", counts)

    def _transaction(self, event: ChangeEvent, status: bytes, counts: bytes) -> Record:
        assert event.transaction is not None
        id_ = quote(transaction_id(event))
        ms = event.transaction.commit_time_us // 1000
        value = b'{"status":"%b","id":%b,%b,"ts_ms":%d}' % (status, id_, counts, ms)
        key = _within(self._transaction_key, b'{"id":' + id_ + b"}")
        return Record(self._transactions, key, _within(self._transaction_value, value))

    def _heartbeat(self, event: ChangeEvent, orders: Orders | None, now_us: int) -> Record:
        del event, orders
        key = _within(self._heartbeat_key, b'{"serverName":' + quote(self._identity.name) + b"}")
        value = _within(self._heartbeat_value, b'{"ts_ms":%d}' % (now_us // 1000))
        return Record(self._heartbeats, key, value, partition=HEARTBEAT_PARTITION)


HEARTBEAT_PARTITION: Final = 0
"""Where Debezium puts all of them."""


def _within(parts: tuple[bytes, bytes], payload: bytes) -> bytes:
    return parts[0] + payload + parts[1]
