"""Debezium's records as JSON, as Kafka's JsonConverter would have written them.

A hot module: plain Python that setup.py compiles (declarations in debezium_json.pxd). What does not
depend on a row is worked out once per table structure (TablePlan), what depends on a transaction
once per transaction, what depends on the clock once per batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from cdc import event as changes
from cdc.errors import SchemaError
from cdc.event import EVERY_PARTITION, ChangeEvent, Record, Stored, Topic
from cdc.orders import Orders, resumed
from cdc.protocols import Schemas
from cdc.rowless import BEGIN, END, STRUCTURE, is_rowless
from cdc.rows import UNCHANGED, RawRow, Row
from cdc.schema import TableSchema
from cdc.serializers.debezium_decode import Decoder
from cdc.serializers.debezium_plan import PlanContent, context_headers, plan_content
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.json_rows import RowPlan, RowWriter
from cdc.serializers.json_text import Scratch
from cdc.serializers.json_values import quote
from cdc.serializers.letters import Letters
from cdc.serializers.omission import Omission
from cdc.serializers.options import Options
from cdc.serializers.rowless_json import RowlessJson, source_block_end

_NOT_COUNTED: Final = b',"transaction":null,"op":"'
_NO_ORIGIN: Final = b',"xmin":null,"origin":null,"origin_lsn":null}' + _NOT_COUNTED
_OPS: Final = {"r": b"r", "c": b"c", "u": b"u", "d": b"d", "t": b"t"}


class TablePlan:
    """Everything about one table structure that its records share."""

    __slots__ = (
        "clock", "content", "counted", "end", "head", "mark", "middle", "op", "rows", "snapshot",
        "start", "start_alone", "tail", "topic", "transaction", "value_end",
    )  # fmt: skip

    def __init__(self, content: PlanContent) -> None:
        self.content = content
        self.topic = content.topic
        self.mark = b"." + content.table.id.encode()
        self.rows = RowPlan(
            content.columns,
            list(zip(content.table.key, content.key_columns, strict=True)),
            content.key_start,
            content.key_end,
            content.where,
        )
        self.start = content.value_start + b'{"before":'
        # Where there is no row before.
        self.start_alone = self.start + b'null,"after":'
        self.value_end = content.value_end
        self.transaction: object = self
        self.snapshot: str | None = None
        self.head = b""
        self.middle = b""
        # Whether the transaction's changes are counted: their places then stand behind `end`.
        self.counted = False
        self.end = b""
        # What stands behind the position, for this operation and batch.
        self.op = ""
        self.clock = b""
        self.tail = b""


class DebeziumJson:
    """The serializer of one source, or of one sink that reads what it wrote.

    `schemas` is where `decode` finds structures; None when it only encodes. `compacts` says whether
    the log compacts topics by key. `clock_us` gives microseconds since 1970 UTC.
    """

    __slots__ = (
        "_clock_us", "_compacts", "_decoder", "_facts", "_headers", "_identity", "_letters",
        "_omission", "_options", "_orders", "_plan", "_plans", "_rowless", "_rows",
        "_schemas_topic", "_table",
    )  # fmt: skip

    def __init__(
        self,
        identity: SourceIdentity,
        options: Options,
        schemas: Schemas | None,
        *,
        compacts: bool,
        pipeline: str,
        clock_us: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._options = options
        self._compacts = compacts
        self._clock_us = clock_us
        self._decoder = Decoder(schemas)
        dead = options.unrepresentable == "dead_letter"
        self._letters = Letters(identity.name, options) if dead else None
        self._omission = Omission(options) if options.unknown_types == "omit" else None
        self._schemas_topic = Topic(f"__cdc.{pipeline}.schemas", True, True)  # noqa: FBT003
        self._headers = context_headers(identity, clock_us()) if options.debezium_headers else ()
        self._plans: dict[str, TablePlan] = {}
        self._table: TableSchema | None = None
        self._plan: TablePlan | None = None
        self._rows = RowWriter()
        # Made when it is needed: one that only decodes has no identity of its own.
        self._rowless: RowlessJson | None = None
        self._orders: Orders | None = None
        self._facts: tuple[Orders, ...] = ()

    def encode(self, events: Sequence[ChangeEvent]) -> list[Record]:
        """Records in order, with sequence 0, and the structures they need in front of them.

        Raises SchemaError for what the format cannot carry.
        """
        records: list[Record] = []
        if self._omission is not None:
            events = self._omission.narrowed(events)
        letters: list[Record] = []
        if self._letters is not None:
            events, letters = self._letters.screened(events)
        now_us = self._clock_us()
        clock = b'","ts_ms":%d,"ts_us":%d,"ts_ns":%d}' % (now_us // 1000, now_us, now_us * 1000)
        for event in events:
            if event.table is not self._table:
                self._enter(event.table, records)
            plan = self._plan
            if plan is None:
                self._no_row(event, now_us, records)
                continue
            if event.transaction is not plan.transaction or event.snapshot != plan.snapshot:
                self._begin(plan, event, now_us)
            if event.op == "d":
                self._delete(plan, event, event.before, clock, (), records)
            elif event.op == "t":
                self._truncate(plan, event, clock, records)
            else:
                self._change(plan, event, clock, records)
        records.extend(letters)
        return records

    def decode(self, stored: Stored) -> ChangeEvent | None:
        """The change in a record; None for records that change no row.

        Raises DecodeError or SchemaError.
        """
        return self._decoder.decode(stored)

    def orders(self) -> Orders | None:
        """The counters of the transaction that is being written; None outside, or not asked for."""
        return self._facts[-1] if self._facts else self._orders

    def resume(self, facts: Sequence[Orders]) -> None:
        """Go on counting where `facts` were counted up to; before the first `encode`."""
        self._facts = tuple(facts)

    def _no_row(self, event: ChangeEvent, now_us: int, records: list[Record]) -> None:
        """What is no row; the begin and the end of a transaction are those of counting it."""
        if event.op == BEGIN:
            assert event.transaction is not None
            self._facts = ()
            self._orders = Orders(event.transaction.id)
        # A structure has no place in its transaction, so it does not tell which counters fit.
        orders = None if event.op == STRUCTURE else self._orders_of(event)
        if event.op != END or orders is not None:
            if self._rowless is None:
                self._rowless = RowlessJson(self._identity, self._options)
            records.extend(self._rowless.encode(event, orders, now_us))
        if event.op == END:
            self._orders = None

    def _orders_of(self, event: ChangeEvent) -> Orders | None:
        """The counters of the event's transaction, None when its begin was not seen."""
        transaction = event.transaction
        if transaction is None or event.snapshot is not None:
            return None
        if self._facts:
            self._orders = resumed(self._facts, transaction.id, event.ordinal)
            self._facts = ()
        orders = self._orders
        return orders if orders is not None and orders.transaction == transaction.id else None

    def _enter(self, table: TableSchema, records: list[Record]) -> None:
        """Make `table` the current one, and give out its structure the first time."""
        if is_rowless(table):
            self._table = table
            self._plan = None
            return
        plan = self._plans.get(table.id)
        if plan is None:
            written = replace(table, encoding=self._options.encoding())
            content = plan_content(written, self._identity, self._options, compacts=self._compacts)
            plan = TablePlan(content)
            self._plans[table.id] = plan
            canonical = written.canonical().encode()
            records.append(Record(self._schemas_topic, written.id.encode(), canonical))
        self._table = table
        self._plan = plan

    def _begin(self, plan: TablePlan, event: ChangeEvent, now_us: int) -> None:
        """Work out the parts of the source block that the transaction's events share."""
        transaction = event.transaction
        content = plan.content
        plan.transaction = transaction
        plan.snapshot = event.snapshot
        us = now_us if transaction is None else transaction.commit_time_us
        prior = xid = b"null"
        if transaction is not None:
            if transaction.prior_position is not None:
                prior = b'\\"%d\\"' % transaction.prior_position
            if transaction.xid is not None:
                xid = b"%d" % transaction.xid
        marker = content.no_snapshot if event.snapshot is None else quote(event.snapshot)
        us_text = b"%d" % us
        ms_text = us_text[:-3] if us > 999 else b"%d" % (us // 1000)
        text = self._rows.text
        text.begin()
        text.put_between(content.source_head, ms_text, marker, prior)
        plan.head = text.take()
        text.put_between(content.source_middle, us_text, us_text + b"000" if us else b"0", xid)
        plan.middle = text.take()
        plan.counted = self._orders_of(event) is not None
        if plan.counted:
            assert transaction is not None
            id_ = quote(transaction.id)[:-1]
            end = source_block_end(event) + b',"transaction":{"id":%b:' % id_
        elif transaction is None or transaction.origin is None:
            end = _NO_ORIGIN
        else:
            end = source_block_end(event) + _NOT_COUNTED
        if end is not plan.end:
            plan.end = end
            plan.op = ""

    def _change(
        self, plan: TablePlan, event: ChangeEvent, clock: bytes, records: list[Record]
    ) -> None:
        """A read, create or update; an update of the key as delete, tombstone and create."""
        before = event.before
        after = event.after
        if after is None:
            raise SchemaError(f"a change of {plan.content.where} came without its new row")
        key = self._key(plan, after, before)
        headers: tuple[tuple[str, bytes], ...] = ()
        op = event.op
        if before is not None and op == "u":
            old_key = self._rows.key(plan.rows, before)
            if old_key is not None and old_key != key:
                new_text = plan.content.key_header(after, before)
                old_text = plan.content.key_header(before, None)
                self._delete(
                    plan, event, before, clock, (("__debezium.newkey", new_text),), records
                )
                headers = (("__debezium.oldkey", old_text),)
                op = "c"
                before = None
            elif _is_partial(before):
                # The header tells only of `after` which values are real, so nothing is said.
                before = None
        rows = self._rows
        text = rows.text
        text.begin()
        before_nulls = 0
        if before is None or op != "u":
            text.put(plan.start_alone)
        else:
            text.put(plan.start)
            rows.row(plan.rows, before, True)  # noqa: FBT003
            before_nulls = rows.nulls
            text.put(b',"after":')
        rows.row(plan.rows, after, False)  # noqa: FBT003
        mark = plan.mark
        if rows.unchanged or rows.nulls or before_nulls:
            mark = _mark(mark, rows.unchanged, rows.nulls, before_nulls)
        self._finish(plan, event, op, clock, text)
        records.append(
            changes.keyed_record(
                plan.topic,
                key,
                text.take(),
                mark,
                headers + self._headers if headers else self._headers,
            )
        )

    def _delete(
        self,
        plan: TablePlan,
        event: ChangeEvent,
        before: Row | None,
        clock: bytes,
        headers: tuple[tuple[str, bytes], ...],
        records: list[Record],
    ) -> None:
        """A delete and its tombstone, which has the same headers."""
        if before is None:
            raise SchemaError(f"a delete in {plan.content.where} came without its old row")
        key = self._key(plan, before, None)
        rows = self._rows
        text = rows.text
        text.begin()
        text.put(plan.start)
        rows.row(plan.rows, before, True)  # noqa: FBT003
        mark = plan.mark
        if rows.unchanged or rows.nulls:
            mark = _mark(mark, rows.unchanged, rows.nulls, 0)
        text.put(b',"after":null')
        self._finish(plan, event, "d", clock, text)
        headers += self._headers
        records.append(Record(plan.topic, key, text.take(), mark, headers))
        if self._options.tombstones:
            records.append(Record(plan.topic, key, None, plan.mark, headers))

    def _truncate(
        self, plan: TablePlan, event: ChangeEvent, clock: bytes, records: list[Record]
    ) -> None:
        """A truncate, for every partition; compacted topics refuse records without a key."""
        text = self._rows.text
        text.begin()
        text.put(plan.start_alone)
        text.put(b"null")
        self._finish(plan, event, "t", clock, text)
        key = plan.content.truncate_key if plan.topic.compacted else None
        value = text.take()
        records.append(Record(plan.topic, key, value, plan.mark, self._headers, EVERY_PARTITION))

    def _finish(
        self, plan: TablePlan, event: ChangeEvent, op: str, clock: bytes, text: Scratch
    ) -> None:
        """Everything behind the rows."""
        text.put(plan.head)
        text.put_number(event.position)
        text.put(plan.middle)
        text.put_number(event.position)
        if plan.counted:
            self._count(plan, event, text)
        if plan.op != op or plan.clock is not clock:
            plan.op = op
            plan.clock = clock
            end = b',"op":"' if plan.counted else plan.end
            plan.tail = end + _OPS[op] + clock + plan.value_end
        text.put(plan.tail)

    def _count(self, plan: TablePlan, event: ChangeEvent, text: Scratch) -> None:
        """The end of the source block, and the place of one more change in its transaction."""
        orders = self._orders
        assert orders is not None
        total, place = orders.count(plan.content.table.qualified_name, event.ordinal)
        text.put(plan.end)
        text.put_number(event.position)
        text.put(b'","total_order":%d,"data_collection_order":%d}' % (total, place))

    def _key(self, plan: TablePlan, row: Row, other: Row | None) -> bytes | None:
        """The record's key; None when the table has none.

        A key value that the new row lacks (it is large and did not change) is in the old one.
        Raises SchemaError when a part of the key was not sent at all.
        """
        if not plan.rows.key:
            return None
        key = self._rows.key(plan.rows, row)
        if key is not None:
            return key
        filled = plan.content.filled_key(row, other)
        if filled is not None:
            key = self._rows.key(plan.rows, filled)
        if key is None:
            raise SchemaError(
                f"the key of a change of {plan.content.where} was not sent by the database",
                hint="Set a replica identity that contains the key: ALTER TABLE ... REPLICA "
                "IDENTITY FULL (or USING INDEX an index on the key).",
            )
        return key


def _is_partial(row: Row) -> bool:
    values = row.values() if isinstance(row, RawRow) else row
    return any(value is UNCHANGED for value in values)


def _mark(mark: bytes, unchanged: int, nulls: int, before_nulls: int) -> bytes:
    """The mark with its bitmaps in hexadecimal; those at the end that are zero are left out."""
    if before_nulls:
        return mark + b".%x.%x.%x" % (unchanged, nulls, before_nulls)
    if nulls:
        return mark + b".%x.%x" % (unchanged, nulls)
    return mark + b".%x" % unchanged
