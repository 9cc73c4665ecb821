"""The messages of a logical replication stream, protocols 1 and 2, in text format.

A hot module: plain Python that setup.py compiles (declarations in pgoutput.pxd). Changes of rows
become events here, without a Python object per message; everything that happens once a transaction
or less is handed out as a message object. Values stay the bytes that the server sent.

Source: PostgreSQL manual, Streaming Replication Protocol (XLogData, Primary keepalive) and Logical
Replication Message Formats.
"""

from collections.abc import Callable
from typing import Final

from cdc import event as changes
from cdc import rows
from cdc.compiled import is_compiled
from cdc.errors import DecodeError
from cdc.event import ChangeEvent, Transaction
from cdc.rows import UNCHANGED, RawRow, RowLayout
from cdc.schema import TableSchema
from connectors.postgres.blocks import Block
from connectors.postgres.messages import (
    EPOCH_US,
    HEADER_BYTES,
    NAMES,
    PARSERS,
    Begin,
    Commit,
    Keepalive,
    Message,
    Origin,
    Relation,
    RelationColumn,
    Type,
    expect,
    short,
)

__all__ = [
    "EPOCH_US", "Begin", "Commit", "Decoder", "Keepalive", "Message", "Origin", "Relation",
    "RelationColumn", "Table", "Type",
]  # fmt: skip

_UNCHANGED: Final = UNCHANGED
_DIRECT: Final = is_compiled("connectors.postgres.pgoutput")

_HEADER: Final = HEADER_BYTES
_BEGIN_BYTES: Final = HEADER_BYTES + 21
_COMMIT_BYTES: Final = HEADER_BYTES + 26


class Table:
    """What the decoder needs of a captured table in its present structure.

    `schema` may be replaced by one whose columns have the same names and layout. `layout` and
    `in_identity` are aligned with the columns of the Relation message.
    """

    __slots__ = ("in_identity", "layout", "schema", "width")

    def __init__(
        self, schema: TableSchema, layout: RowLayout, in_identity: tuple[bool, ...]
    ) -> None:
        self.schema = schema
        self.layout = layout
        self.in_identity = in_identity
        self.width = len(in_identity)


class Decoder:
    """Turns copy data into events and messages; holds the open transaction.

    `tables` says which relations are captured: None for one that is not, no entry for one that the
    server has not described yet. `index` is where `decode` stopped. `count` is how many changes the
    open transaction had so far, of any table; the first `skip` of them make no events. While
    `block` is set, messages are put into it as they are, up to the next Stream Stop.

    Once told to `follow`, it takes the begins and commits of transactions itself where nothing is
    special about them. `lsn` and `prior_commit` are then behind the last of them, and `opened` is
    the Begin of the open one.
    """

    __slots__ = (
        "_partial",
        "_pos",
        "block",
        "count",
        "follows",
        "index",
        "lsn",
        "opened",
        "ordinal",
        "prior_commit",
        "skip",
        "tables",
        "transaction",
    )

    def __init__(self) -> None:
        self.block: Block | None = None
        self.tables: dict[int, Table | None] = {}
        self.transaction: Transaction | None = None
        self.index = 0
        self.count = 0
        self.ordinal = 0
        self.skip = 0
        self.follows = False
        self.lsn = 0
        self.prior_commit: int | None = None
        self.opened: bytes | None = None
        self._pos = 0
        self._partial = False

    def begin(self, transaction: Transaction, skip: int) -> None:
        """Changes belong to `transaction` from now on; make no events of the first `skip`."""
        self.transaction = transaction
        self.opened = None
        self.count = 0
        self.ordinal = 0
        self.skip = skip

    def end(self) -> None:
        """No transaction is open any more."""
        self.transaction = self.opened = None

    def follow(self, lsn: int, prior_commit: int | None) -> None:
        """Take begins and commits in the next `decode`; all that committed before `lsn` is done."""
        self.follows = True
        self.lsn = lsn
        self.prior_commit = prior_commit

    def place(self, wanted: bool) -> int:  # noqa: FBT001 - by position from one place
        """Count a change that is no row's; its ordinal, -1 when it shall make no event.

        One that is not `wanted` has no ordinal, like a change of a table that is not captured.
        """
        self.count += 1
        if not wanted:
            return -1
        ordinal = self.ordinal
        self.ordinal = ordinal + 1
        return -1 if self.count <= self.skip else ordinal

    def decode(
        self, payloads: list[bytes], index: int, events: list[ChangeEvent]
    ) -> Message | None:
        """Append the changes from payload `index` on to `events`, up to the next other message.

        Returns that message, or None at the end; `self.index` is the first payload not looked at.
        Raises DecodeError for what the protocol does not allow here.
        """
        stop = len(payloads)
        while index < stop:
            data = payloads[index]
            index += 1
            if len(data) > _HEADER and data[0] == 0x77:
                kind = data[_HEADER]
                if self.block is not None and kind != 0x45:
                    self.block.keep(data)
                    continue
                if kind in {0x49, 0x55, 0x44}:
                    self._change(data, kind, events)
                    continue
                if kind == 0x54:
                    self._truncate(data, events)
                    continue
                if kind == 0x42 and self.follows and self._is_begun(data):
                    continue
                if kind == 0x43 and self.follows and self._is_ended(data):
                    continue
            self.index = index
            return _message(data)
        self.index = index
        return None

    def _is_begun(self, data: bytes) -> bool:
        """Begin the transaction, unless it is special or misplaced: who is told decides then."""
        if len(data) != _BEGIN_BYTES or self.transaction is not None:
            return False
        if _uint64(data, _HEADER + 1) < self.lsn:
            return False
        xid = _uint32(data, _HEADER + 17)
        us = _uint64(data, _HEADER + 9) + EPOCH_US
        self.begin(changes.transaction(str(xid), us, xid, self.prior_commit), 0)
        self.opened = data
        return True

    def _is_ended(self, data: bytes) -> bool:
        """End the transaction that was begun here."""
        if len(data) != _COMMIT_BYTES or self.opened is None:
            return False
        if _uint64(data, _HEADER + 2) != _uint64(self.opened, _HEADER + 1):
            return False
        self.lsn = _uint64(data, _HEADER + 10)
        self.prior_commit = self.lsn
        self.transaction = self.opened = None
        return True

    def _change(self, data: bytes, kind: int, events: list[ChangeEvent]) -> None:
        if len(data) < _HEADER + 6:
            raise short(data, kind)
        oid = _uint32(data, _HEADER + 1)
        if self.transaction is None or oid not in self.tables:
            raise self._misplaced(kind, oid)
        table = self.tables[oid]
        self.count += 1
        if table is None:
            return
        ordinal = self.ordinal
        self.ordinal = ordinal + 1
        if self.count <= self.skip:
            return
        self._pos = _HEADER + 5
        lsn = _uint64(data, 1)
        if kind == 0x49:
            after = self._row(data, kind, 0x4E, table)
            event = changes.change(
                "c", table.schema, None, after, self.transaction, ordinal, lsn, None
            )
        elif kind == 0x55:
            before = self._old_row(data, kind, table)
            after = self._row(data, kind, 0x4E, table)
            if self._partial and before is not None:
                after = _completed(after, before)
            event = changes.change(
                "u", table.schema, before, after, self.transaction, ordinal, lsn, None
            )
        else:
            before = self._old_row(data, kind, table)
            if before is None:
                raise DecodeError("a delete without its old row", offset=self._pos, kind="Delete")
            event = changes.change(
                "d", table.schema, before, None, self.transaction, ordinal, lsn, None
            )
        if self._pos != len(data):
            raise DecodeError("bytes behind the end", offset=self._pos, kind=NAMES[kind])
        events.append(event)

    def _old_row(self, data: bytes, kind: int, table: Table) -> RawRow | None:
        """The row behind a K (replica identity only) or O (whole) mark, None without a mark."""
        if self._pos >= len(data):
            raise short(data, kind)
        mark = data[self._pos]
        if mark == 0x4F:
            return self._row(data, kind, 0x4F, table)
        if mark != 0x4B:
            return None
        row = self._row(data, kind, 0x4B, table)
        # The server sends the columns outside the identity as NULL, which they need not be.
        raw = list(row.values())
        index = 0
        for known in table.in_identity:
            if not known:
                raw[index] = _UNCHANGED
            index += 1  # noqa: SIM113 - enumerate makes a tuple per column when compiled
        return rows.raw_row(table.layout, raw)

    def _row(self, data: bytes, kind: int, mark: int, table: Table) -> RawRow:
        """The row at `_pos` behind its `mark`; `_pos` moves behind it, `_partial` is set.

        Source: PostgreSQL manual, Logical Replication Message Formats, TupleData.
        """
        end = len(data)
        pos = self._pos
        bytes_at = data
        if end - pos < 3:
            raise short(data, kind)
        if bytes_at[pos] != mark:
            raise DecodeError("a row was expected", offset=pos, kind=NAMES[kind])
        width = (bytes_at[pos + 1] << 8) | bytes_at[pos + 2]
        if width != table.width:
            raise DecodeError(
                f"{width} columns of {table.schema.qualified_name}, which has {table.width}",
                offset=pos + 1,
                kind=NAMES[kind],
            )
        pos += 3
        start = pos
        self._partial = False
        if not _DIRECT and (mark == 0x4E or kind == 0x44):
            raw = rows.cut(data, pos, width)
            if raw is not None:
                self._partial = _UNCHANGED in raw
                self._pos = end
                return rows.raw_row(table.layout, raw)
        for _ in range(width):
            behind = rows.place_behind(bytes_at, pos, end)
            if behind < 0:
                raise _no_value(data, pos, kind)
            if bytes_at[pos] == 0x75:
                self._partial = True
            pos = behind
        self._pos = pos
        return rows.packed_row(table.layout, data, start)

    def _truncate(self, data: bytes, events: list[ChangeEvent]) -> None:
        """One event for each captured table that the statement emptied, in its order."""
        if len(data) < _HEADER + 6:
            raise short(data, 0x54)
        tables = _uint32(data, _HEADER + 1)
        if len(data) != _HEADER + 6 + 4 * tables:
            raise short(data, 0x54)
        lsn = _uint64(data, 1)
        for number in range(tables):
            oid = _uint32(data, _HEADER + 6 + 4 * number)
            if self.transaction is None or oid not in self.tables:
                raise self._misplaced(0x54, oid)
            table = self.tables[oid]
            self.count += 1
            if table is None:
                continue
            if self.count > self.skip:
                events.append(
                    ChangeEvent("t", table.schema, None, None, self.transaction, self.ordinal, lsn)
                )
            self.ordinal += 1

    def _misplaced(self, kind: int, oid: int) -> DecodeError:
        if self.transaction is None:
            return DecodeError("a change outside a transaction", kind=NAMES[kind])
        return DecodeError(
            f"a change of relation {oid}, which the server has not described",
            offset=_HEADER + 1,
            kind=NAMES[kind],
        )


def _no_value(data: bytes, pos: int, kind: int) -> DecodeError:
    """Why there is no value at `pos`."""
    if pos >= len(data) or data[pos] == 0x74:
        return short(data, kind)
    return DecodeError(f"a value of unknown form {data[pos]:#04x}", offset=pos, kind=NAMES[kind])


def _completed(after: RawRow, before: RawRow) -> RawRow:
    """Values that did not change, from the old row where it has them (identity FULL)."""
    new = list(after.values())
    old = before.values()
    for index in range(len(new)):
        if new[index] is _UNCHANGED:
            new[index] = old[index]
    return rows.raw_row(after.layout, new)


def _uint32(data: bytes, pos: int) -> int:
    # Byte by byte in one wide variable: compiled, a shift of a single byte would be one of an int.
    number = data[pos]
    number = (number << 8) | data[pos + 1]
    number = (number << 8) | data[pos + 2]
    return (number << 8) | data[pos + 3]


def _uint64(data: bytes, pos: int) -> int:
    high = _uint32(data, pos)
    return (high << 32) | _uint32(data, pos + 4)


def _message(data: bytes) -> Message:
    """The keepalive, or the message in XLogData, that changes no row. Raises DecodeError."""
    if not data:
        raise DecodeError("an empty message", kind="copy data")
    if data[0] == 0x6B:
        # Source: Primary keepalive message: type, end of WAL, clock, whether to reply.
        if len(data) != 18:
            raise DecodeError("18 bytes were expected", offset=len(data), kind="keepalive")
        return Keepalive(_uint64(data, 1), data[17] != 0)
    if data[0] != 0x77:
        raise DecodeError(f"an unknown kind {data[0]:#04x}", offset=0, kind="copy data")
    if len(data) <= _HEADER:
        raise DecodeError("26 bytes were expected", offset=len(data), kind="XLogData")
    kind = data[_HEADER]
    if kind not in _PARSERS:
        raise DecodeError(
            f"a message of kind {kind:#04x}, which was not asked for",
            offset=_HEADER,
            kind="XLogData",
        )
    return _PARSERS[kind](data)


def begin_of(data: bytes) -> Begin:
    """The Begin in XLogData. Raises DecodeError."""
    expect(data, 0x42, 20)
    time_us = _uint64(data, 34) + EPOCH_US
    return Begin(_uint64(data, 26), time_us, _uint32(data, 42), _uint64(data, 1))


def _commit(data: bytes) -> Commit:
    expect(data, 0x43, 25)
    return Commit(_uint64(data, 27), _uint64(data, 35), _uint64(data, 43) + EPOCH_US)


_PARSERS: Final[dict[int, Callable[[bytes], Message]]] = {
    0x42: begin_of,
    0x43: _commit,
    **PARSERS,
}
