"""Copy data that real servers sent, and messages made by hand from the same layouts."""

import struct
from functools import cache
from pathlib import Path

from cdc.event import FORM_TEXT, ChangeEvent, RowLayout
from cdc.schema import Column, String, TableSchema
from connectors.postgres.assemble import Assembler
from connectors.postgres.emission import Emission
from connectors.postgres.in_progress import TransactionsInProgress
from connectors.postgres.messages import EPOCH_US
from connectors.postgres.pgoutput import Relation, Table
from connectors.postgres.position import StreamPosition
from connectors.postgres.sight import Resolve
from connectors.postgres.spill import SpillFolder

FOLDER = Path(__file__).parent / "captured"
VERSIONS = ("15.18", "17.10")
"""PostgreSQL releases whose walsender wrote the files in `captured`, one message a line."""


@cache
def captured(version: str) -> tuple[bytes, ...]:
    """XLogData messages of one session in order, and a keepalive at the end."""
    lines = (FOLDER / f"pgoutput_{version}.hex").read_text().splitlines()
    return tuple(bytes.fromhex(line) for line in lines)


def table_of(relation: Relation) -> Table:
    """What the decoder needs, every column a string."""
    columns = tuple(Column(column.name, String()) for column in relation.columns)
    key = tuple(place for place, column in enumerate(relation.columns) if column.in_identity)
    schema = TableSchema("d", relation.namespace, relation.name, columns, key)
    width = len(columns)
    layout = RowLayout((bytes.decode,) * width, (FORM_TEXT,) * width)
    return Table(schema, layout, tuple(column.in_identity for column in relation.columns))


def assembler(
    start: StreamPosition,
    resolve: Resolve = lambda relation, _: table_of(relation),
    *,
    folder: Path = Path("no folder"),
    memory_bytes_max: int = 1 << 30,
    emission: Emission | None = None,
    rolled_back: frozenset[int] = frozenset(),
) -> Assembler:
    """One that keeps transactions in progress in memory unless it is told to use less of it."""
    in_progress = TransactionsInProgress(SpillFolder(folder, None), memory_bytes_max)
    return Assembler(
        start, resolve, in_progress, emission or Emission("d"), rolled_back.intersection
    )


def fed(following: Assembler, payloads: list[bytes]) -> list[ChangeEvent]:
    """All events of these messages."""
    events = following.feed(payloads)
    while following.behind:
        events += following.go_on()
    return events


def xlog_data(content: bytes, lsn: int = 0) -> bytes:
    return b"w" + struct.pack("!QQQ", lsn, lsn, 0) + content


def begin(commit_lsn: int, xid: int, time_us: int = EPOCH_US) -> bytes:
    return xlog_data(b"B" + struct.pack("!QQI", commit_lsn, time_us - EPOCH_US, xid))


def commit(commit_lsn: int, end_lsn: int) -> bytes:
    return xlog_data(b"C" + struct.pack("!BQQQ", 0, commit_lsn, end_lsn, 0))


def keepalive(wal_end: int, *, reply: bool = False) -> bytes:
    return b"k" + struct.pack("!QQB", wal_end, 0, reply)


def relation(oid: int, name: str = "t", columns: tuple[str, ...] = ("id",)) -> bytes:
    parts = [b"R", struct.pack("!I", oid), b"public\0", name.encode(), b"\0d"]
    parts.append(struct.pack("!H", len(columns)))
    for place, column in enumerate(columns):
        parts.append(bytes([place == 0]) + column.encode() + b"\0" + struct.pack("!Ii", 25, -1))
    return xlog_data(b"".join(parts))


def row(*values: bytes | None) -> bytes:
    parts = [struct.pack("!H", len(values))]
    for value in values:
        parts.append(b"n" if value is None else b"t" + struct.pack("!I", len(value)) + value)
    return b"".join(parts)


def insert(oid: int, *values: bytes | None, lsn: int = 0) -> bytes:
    return xlog_data(b"I" + struct.pack("!I", oid) + b"N" + row(*values), lsn)


def truncate(*oids: int) -> bytes:
    return xlog_data(b"T" + struct.pack(f"!IB{len(oids)}I", len(oids), 0, *oids))


def streamed(payload: bytes, xid: int) -> bytes:
    """The same message as a streamed block has it: with the id of its (sub)transaction."""
    return payload[:26] + struct.pack("!I", xid) + payload[26:]


def stream_start(xid: int, *, first: bool = True) -> bytes:
    return xlog_data(b"S" + struct.pack("!IB", xid, first))


def stream_stop() -> bytes:
    return xlog_data(b"E")


def stream_commit(xid: int, commit_lsn: int, end_lsn: int, time_us: int = EPOCH_US) -> bytes:
    content = struct.pack("!IBQQQ", xid, 0, commit_lsn, end_lsn, time_us - EPOCH_US)
    return xlog_data(b"c" + content)


def stream_abort(xid: int, subxid: int) -> bytes:
    return xlog_data(b"A" + struct.pack("!II", xid, subxid))


def message(prefix: str, content: bytes, lsn: int, *, transactional: bool) -> bytes:
    head = struct.pack("!BQ", transactional, lsn) + prefix.encode() + b"\0"
    return xlog_data(b"M" + head + struct.pack("!I", len(content)) + content, lsn)
