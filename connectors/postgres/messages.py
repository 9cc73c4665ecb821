"""What a logical replication stream says besides changes of rows; the decoder's vocabulary.

Source: PostgreSQL manual, Streaming Replication Protocol (XLogData) and Logical Replication Message
Formats.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from cdc.errors import DecodeError

# Bytes of an XLogData header: type, start, end, clock. The message proper begins behind it.
HEADER_BYTES: Final = 25

# Microseconds between 1970-01-01 and the server's epoch 2000-01-01.
EPOCH_US: Final = 946_684_800_000_000

NAMES: Final = {
    0x42: "Begin",
    0x43: "Commit",
    0x4F: "Origin",
    0x52: "Relation",
    0x59: "Type",
    0x49: "Insert",
    0x55: "Update",
    0x44: "Delete",
    0x54: "Truncate",
    0x4D: "Message",
    0x53: "Stream Start",
    0x45: "Stream Stop",
    0x63: "Stream Commit",
    0x41: "Stream Abort",
}


class Keepalive(NamedTuple):
    """The server lives. `wal_end` is how far it has read its log and sent what we asked for."""

    wal_end: int
    reply_requested: bool


class Begin(NamedTuple):
    """A transaction begins. `commit_lsn` is where its commit record begins.

    `lsn` is the place of the message itself: that of the first change that is sent, or before it.
    """

    commit_lsn: int
    commit_time_us: int
    xid: int
    lsn: int


class Commit(NamedTuple):
    """The transaction ends. `end_lsn` is behind its commit record."""

    commit_lsn: int
    end_lsn: int
    commit_time_us: int


class Origin(NamedTuple):
    """Where the transaction came from. `lsn` is its commit at the origin."""

    lsn: int
    name: str


class RelationColumn(NamedTuple):
    """One published column. `in_identity`: part of the replica identity."""

    name: str
    type_oid: int
    type_modifier: int
    in_identity: bool


class Relation(NamedTuple):
    """The structure of a table as of the changes that follow.

    `identity` is the replica identity as in pg_class.relreplident: d, n, f or i.
    """

    oid: int
    namespace: str
    name: str
    identity: str
    columns: tuple[RelationColumn, ...]


class Type(NamedTuple):
    """A type that is not built in, named before a Relation that uses it."""

    oid: int
    namespace: str
    name: str


class LogicalMessage(NamedTuple):
    """What somebody wrote into the log with pg_logical_emit_message.

    `lsn` is where its record ends. One that is not `transactional` comes when the server reads it,
    whatever becomes of the transaction around it.
    """

    lsn: int
    transactional: bool
    prefix: str
    content: bytes


class StreamStart(NamedTuple):
    """Messages of a transaction in progress follow, up to the next Stream Stop."""

    xid: int
    first: bool


class StreamStop(NamedTuple):
    """The streamed block ends."""


class StreamCommit(NamedTuple):
    """A streamed transaction was committed; the places are those of Begin and Commit."""

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_time_us: int


class StreamAbort(NamedTuple):
    """A streamed transaction, or its subtransaction `subxid`, was rolled back.

    Both ids are equal when it was the whole transaction.
    """

    xid: int
    subxid: int


Message = (
    Keepalive
    | Begin
    | Commit
    | Origin
    | Relation
    | Type
    | LogicalMessage
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
)


def short(data: bytes, kind: int) -> DecodeError:
    """The error for a message of `kind` whose lengths do not fit; to be raised."""
    return DecodeError(
        "the length of the message does not fit its content", offset=len(data), kind=NAMES[kind]
    )


def origin(data: bytes) -> Origin:
    """The Origin in XLogData. Raises DecodeError."""
    if len(data) < HEADER_BYTES + 10:
        raise short(data, 0x4F)
    name, pos = _text(data, HEADER_BYTES + 9, 0x4F)
    expect(data, 0x4F, pos - HEADER_BYTES - 1)
    return Origin(_uint(data, HEADER_BYTES + 1, 8), name)


def named_type(data: bytes) -> Type:
    """The Type in XLogData. Raises DecodeError."""
    if len(data) < HEADER_BYTES + 7:
        raise short(data, 0x59)
    namespace, pos = _text(data, HEADER_BYTES + 5, 0x59)
    name, pos = _text(data, pos, 0x59)
    expect(data, 0x59, pos - HEADER_BYTES - 1)
    return Type(_uint(data, HEADER_BYTES + 1, 4), namespace, name)


def relation(data: bytes) -> Relation:
    """The Relation in XLogData. Raises DecodeError."""
    kind = 0x52
    if len(data) < HEADER_BYTES + 10:
        raise short(data, kind)
    oid = _uint(data, HEADER_BYTES + 1, 4)
    namespace, pos = _text(data, HEADER_BYTES + 5, kind)
    name, pos = _text(data, pos, kind)
    if len(data) - pos < 3:
        raise short(data, kind)
    identity = chr(data[pos])
    if identity not in "dnfi":
        raise DecodeError(f"an unknown replica identity {identity!r}", offset=pos, kind="Relation")
    width = (data[pos + 1] << 8) | data[pos + 2]
    pos += 3
    columns = []
    for _ in range(width):
        if len(data) - pos < 10:
            raise short(data, kind)
        in_identity = (data[pos] & 1) != 0
        column, pos = _text(data, pos + 1, kind)
        if len(data) - pos < 8:
            raise short(data, kind)
        modifier = _uint(data, pos + 4, 4)
        if modifier >= 0x80000000:
            modifier -= 0x100000000
        columns.append(RelationColumn(column, _uint(data, pos, 4), modifier, in_identity))
        pos += 8
    expect(data, kind, pos - HEADER_BYTES - 1)
    # pg_catalog is sent as an empty string.
    return Relation(oid, namespace or "pg_catalog", name, identity, tuple(columns))


def relations(payloads: Iterable[bytes]) -> Iterator[Relation]:
    """The Relations among these messages, in order; those of transactions in progress are not."""
    in_block = False
    for data in payloads:
        if data[:1] != b"w":
            continue
        kind = data[HEADER_BYTES : HEADER_BYTES + 1]
        if kind == b"R" and not in_block:
            yield relation(data)
        in_block = (in_block or kind == b"S") and kind != b"E"


def logical_message(data: bytes) -> LogicalMessage:
    """The Message in XLogData. Raises DecodeError."""
    kind = 0x4D
    if len(data) < HEADER_BYTES + 15:
        raise short(data, kind)
    prefix, pos = _text(data, HEADER_BYTES + 10, kind)
    if len(data) - pos < 4 or len(data) - pos - 4 != _uint(data, pos, 4):
        raise short(data, kind)
    transactional = (data[HEADER_BYTES + 1] & 1) != 0
    return LogicalMessage(_uint(data, HEADER_BYTES + 2, 8), transactional, prefix, data[pos + 4 :])


def stream_start(data: bytes) -> StreamStart:
    """The Stream Start in XLogData. Raises DecodeError."""
    expect(data, 0x53, 5)
    return StreamStart(_uint(data, HEADER_BYTES + 1, 4), data[HEADER_BYTES + 5] != 0)


def stream_stop(data: bytes) -> StreamStop:
    """The Stream Stop in XLogData. Raises DecodeError."""
    expect(data, 0x45, 0)
    return StreamStop()


def stream_commit(data: bytes) -> StreamCommit:
    """The Stream Commit in XLogData. Raises DecodeError."""
    expect(data, 0x63, 29)
    at = HEADER_BYTES + 1
    xid, commit_lsn, end_lsn = _uint(data, at, 4), _uint(data, at + 5, 8), _uint(data, at + 13, 8)
    return StreamCommit(xid, commit_lsn, end_lsn, _uint(data, at + 21, 8) + EPOCH_US)


def stream_abort(data: bytes) -> StreamAbort:
    """The Stream Abort in XLogData, as protocols 2 and 3 have it. Raises DecodeError."""
    expect(data, 0x41, 8)
    return StreamAbort(_uint(data, HEADER_BYTES + 1, 4), _uint(data, HEADER_BYTES + 5, 4))


def _text(data: bytes, pos: int, kind: int) -> tuple[str, int]:
    """The NUL-terminated name at `pos`, and the offset behind it."""
    end = data.find(b"\0", pos)
    if end < 0:
        raise short(data, kind)
    try:
        return data[pos:end].decode(), end + 1
    except UnicodeDecodeError as error:
        raise DecodeError("a name that is not UTF-8", offset=pos, kind=NAMES[kind]) from error


def expect(data: bytes, kind: int, content_bytes: int) -> None:
    """Raise DecodeError unless that many bytes follow the kind."""
    if len(data) != HEADER_BYTES + 1 + content_bytes:
        raise short(data, kind)


def _uint(data: bytes, pos: int, size: int) -> int:
    return int.from_bytes(data[pos : pos + size], "big")


PARSERS: Final[dict[int, Callable[[bytes], Message]]] = {
    0x4F: origin,
    0x52: relation,
    0x59: named_type,
    0x4D: logical_message,
    0x53: stream_start,
    0x45: stream_stop,
    0x63: stream_commit,
    0x41: stream_abort,
}
"""How the messages are read that are not as frequent as transactions, by the byte of their kind."""
