"""Blocks of transactions in progress: their messages, kept as they will be needed at the commit.

A hot module: plain Python that setup.py compiles (declarations in blocks.pxd). A message becomes a
frame: four bytes of length, then the message as the protocol without streaming would have sent it,
in XLogData and without the transaction id. So a transaction that was streamed and one that was not
are decoded by the same code.

Source: PostgreSQL manual, Logical Replication Message Formats (the fields that are only present for
streamed transactions), and src/backend/replication/logical/proto.c.
"""

from typing import Final

from cdc.errors import DecodeError
from connectors.postgres.messages import HEADER_BYTES, NAMES, short

LENGTH_BYTES: Final = 4

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
            self._add(data, b"")
            return
        if kind not in {0x49, 0x55, 0x44, 0x52, 0x59, 0x54, 0x4D}:
            name = NAMES.get(kind, f"message of kind {kind:#04x}")
            raise DecodeError(f"a {name} in a streamed block", offset=_HEADER, kind="XLogData")
        if len(data) < _HEADER + 5:
            raise short(data, kind)
        xid = data[_HEADER + 1]
        xid = (xid << 8) | data[_HEADER + 2]
        xid = (xid << 8) | data[_HEADER + 3]
        xid = (xid << 8) | data[_HEADER + 4]
        if xid != self._xid:
            self._xid = xid
            self.starts.append((xid, len(self.frames)))
        if kind == 0x52:
            self.relations.append(int.from_bytes(data[_HEADER + 5 : _HEADER + 9], "big"))
        self._add(data[: _HEADER + 1], data[_HEADER + 5 :])

    def _add(self, head: bytes, rest: bytes) -> None:
        frames = self.frames
        size = len(head) + len(rest)
        frames.append((size >> 24) & 0xFF)
        frames.append((size >> 16) & 0xFF)
        frames.append((size >> 8) & 0xFF)
        frames.append(size & 0xFF)
        frames += head
        frames += rest


def unframe(frames: bytes, position: int, messages_max: int, payloads: list[bytes]) -> int:
    """Append up to `messages_max` messages to `payloads`, from the frame at `position` on.

    Returns where the first frame begins that was not taken; behind the last whole one at the most.
    """
    end = len(frames)
    taken = 0
    while taken < messages_max and end - position >= 4:
        size = frames[position]
        size = (size << 8) | frames[position + 1]
        size = (size << 8) | frames[position + 2]
        size = (size << 8) | frames[position + 3]
        if end - position - 4 < size:
            break
        payloads.append(frames[position + 4 : position + 4 + size])
        position += 4 + size
        taken += 1
    return position
