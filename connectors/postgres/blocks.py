"""Blocks of transactions in progress: their messages, kept as they will be needed at the commit.

A hot module: plain Python that setup.py compiles (declarations in blocks.pxd). A message becomes a
frame: four bytes of length, the id of its (sub)transaction, then the message as the protocol
without streaming would have sent it, in XLogData and without that id. So a transaction that was
streamed and one that was not are decoded by the same code.

Source: PostgreSQL manual, Logical Replication Message Formats (the fields that are only present for
streamed transactions), and src/backend/replication/logical/proto.c.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from cdc.errors import DecodeError
from connectors.postgres.messages import HEADER_BYTES, NAMES, short

HEAD_BYTES: Final = 8
"""What is before the message in a frame."""

_HEADER: Final = HEADER_BYTES


class Block:
    """The frames of one streamed block, or of a part of it.

    `starts` has, for each run of messages of one (sub)transaction, its id and where in `frames` the
    run begins. `relations` are the oids of those that are described in it.
    """

    __slots__ = ("_xid", "frames", "relations", "starts")

    def __init__(self) -> None:
        self.relations: list[int] = []
        self.frames = bytearray()
        self.starts: list[tuple[int, int]] = []
        # No transaction has the id 0.
        self._xid = 0

    def keep(self, data: bytes) -> None:
        """Add the message in this XLogData. Raises DecodeError for one that no block may have."""
        kind = data[_HEADER]
        if kind == 0x4F:
            # An origin belongs to the whole transaction and names none.
            self._add(b"\0\0\0\0", data, b"")
            return
        if kind not in {0x49, 0x55, 0x44, 0x52, 0x59, 0x54, 0x4D}:
            name = NAMES.get(kind, f"message of kind {kind:#04x}")
            raise DecodeError(f"a {name} in a streamed block", offset=_HEADER, kind="XLogData")
        if len(data) < _HEADER + 5:
            raise short(data, kind)
        xid = _uint32(data, _HEADER + 1)
        if xid != self._xid:
            self._xid = xid
            self.starts.append((xid, len(self.frames)))
        if kind == 0x52 and len(data) >= _HEADER + 9:
            self.relations.append(_uint32(data, _HEADER + 5))
        self._add(data[_HEADER + 1 : _HEADER + 5], data[: _HEADER + 1], data[_HEADER + 5 :])

    def _add(self, xid: bytes, head: bytes, rest: bytes) -> None:
        frames = self.frames
        size = len(head) + len(rest)
        frames.append((size >> 24) & 0xFF)
        frames.append((size >> 16) & 0xFF)
        frames.append((size >> 8) & 0xFF)
        frames.append(size & 0xFF)
        frames += xid
        frames += head
        frames += rest


def unframe(
    frames: bytes,
    position: int,
    messages_max: int,
    gone: AbstractSet[int],
    payloads: list[bytes],
) -> int:
    """Append up to `messages_max` messages to `payloads`, from the frame at `position` on.

    Returns where the first frame begins that was not taken; behind the last whole one at the most.
    Changes of the subtransactions `gone` are left out. What they say of relations and types is not:
    the server may count on it.
    """
    end = len(frames)
    taken = 0
    while taken < messages_max and end - position >= 8:
        size = _uint32(frames, position)
        if end - position - 8 < size:
            break
        begin = position + 8
        position = begin + size
        if gone and _uint32(frames, begin - 4) in gone and frames[begin + _HEADER] not in b"RY":
            continue
        payloads.append(frames[begin:position])
        taken += 1
    return position


def _uint32(data: bytes, pos: int) -> int:
    number = data[pos]
    number = (number << 8) | data[pos + 1]
    number = (number << 8) | data[pos + 2]
    return (number << 8) | data[pos + 3]
