"""Transactions in progress: what was streamed of each, in memory up to one budget, else in files.

A transaction is one row of frames (connectors/postgres/blocks.py). Its beginning may be in a file,
its end is in memory. A subtransaction that is rolled back is cut out: everything behind its first
message is its own or that of subtransactions inside it, since they nest.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Set as AbstractSet
from typing import Final

from cdc.errors import DecodeError
from cdc.protocols import OpenTransactions
from connectors.postgres.blocks import HEAD_BYTES, Block, unframe
from connectors.postgres.spill import SpillFile, SpillFolder

# Small blocks are joined up to this size, so that many of them cost no more than their bytes.
_JOINED_BYTES: Final = 1 << 16
# How much of a file is read at once.
_READ_BYTES: Final = 1 << 20
# What a subtransaction costs in `_Savepoints`.
_SAVEPOINT_BYTES: Final = 12


class _Savepoints:
    """Where the subtransactions of one transaction begin in its frames, in both their orders.

    Of a subtransaction whose id is below that of an earlier message, only the id is kept. It was
    there when the one with the higher id began, which therefore is inside it, is rolled back with
    it, and is named before it: that one's beginning is where to cut.
    Source: PostgreSQL src/backend/replication/logical/decode.c, DecodeAbort.
    """

    def __init__(self, xid: int) -> None:
        self._top = xid
        # Distances from the transaction's own id, which wraps around after 32 bits.
        self._distances = array("I")
        self._offsets = array("Q")
        self._late: set[int] = set()

    def __len__(self) -> int:
        return len(self._distances)

    def add(self, xid: int, offset: int) -> None:
        """A message of `xid` is at `offset`."""
        distance = (xid - self._top) & 0xFFFFFFFF
        if not distance:
            return
        if not self._distances or distance > self._distances[-1]:
            self._distances.append(distance)
            self._offsets.append(offset)
        elif self._distances[bisect_left(self._distances, distance)] != distance:
            self._late.add(distance)

    def cut(self, subxid: int) -> int | None:
        """Forget `subxid` and all behind it; where it began, None when nothing of it is there."""
        distance = (subxid - self._top) & 0xFFFFFFFF
        place = bisect_left(self._distances, distance)
        if place == len(self._distances) or self._distances[place] != distance:
            return None
        offset = self._offsets[place]
        del self._distances[place:]
        del self._offsets[place:]
        return offset

    def xids(self) -> list[int]:
        """The ids of all whose messages may be there."""
        return [(self._top + distance) & 0xFFFFFFFF for distance in (*self._distances, *self._late)]


class InProgress:
    """One transaction. `memory_bytes` and `spilled_bytes` are what it takes where.

    `described` has the relations that the server believes to have described for it, with the number
    that the description was given; it forgets them when a subtransaction is rolled back.
    Source: PostgreSQL src/backend/replication/pgoutput/pgoutput.c, cleanup_rel_sync_cache.
    """

    def __init__(self, xid: int, folder: SpillFolder) -> None:
        self.xid = xid
        self.memory_bytes = 0
        self.described: dict[int, int] = {}
        self._folder = folder
        self._file: SpillFile | None = None
        self._blocks: deque[bytearray] = deque()
        self._in_blocks = 0
        self._savepoints = _Savepoints(xid)
        # Reading: the next byte of the file, and frames that were read of which those before
        # `_at` are done.
        self._position = 0
        self._frames = b""
        self._at = 0

    @property
    def spilled_bytes(self) -> int:
        """Bytes in its file."""
        return 0 if self._file is None else self._file.size_bytes

    def spillable_bytes(self) -> int:
        """Bytes in memory that a file could take."""
        return self._in_blocks

    def extend(self, block: Block, number: int) -> None:
        """Add what came; relations in it are described under this number."""
        self.described.update((oid, number) for oid in block.relations)
        offset = self.spilled_bytes + self._in_blocks
        for xid, start in block.starts:
            self._savepoints.add(xid, offset + start)
        if not block.frames:
            return
        if self._blocks and len(self._blocks[-1]) < _JOINED_BYTES:
            self._blocks[-1] += block.frames
        else:
            self._blocks.append(block.frames)
        self._in_blocks += len(block.frames)
        self._weigh()

    def roll_back(self, subxid: int) -> None:
        """Take out the subtransaction, of which there may be nothing here."""
        self.described.clear()
        offset = self._savepoints.cut(subxid)
        if offset is None:
            return
        keep = offset - self.spilled_bytes
        if keep < 0 and self._file is not None:
            self._file.cut(offset)
        while self._in_blocks > max(keep, 0):
            last = self._blocks[-1]
            surplus = self._in_blocks - max(keep, 0)
            if surplus < len(last):
                del last[-surplus:]
                self._in_blocks -= surplus
            else:
                self._in_blocks -= len(self._blocks.pop())
        self._weigh()

    def spill(self) -> None:
        """Move the oldest block into the file. Raises StorageFull, TransientError."""
        if self._file is None:
            self._file = self._folder.file(str(self.xid))
        self._file.append(self._blocks[0])
        self._in_blocks -= len(self._blocks.popleft())
        self._weigh()

    def subtransactions(self) -> list[int]:
        """The ids of those whose messages may be here."""
        return self._savepoints.xids()

    def read(self, messages_max: int, gone: AbstractSet[int] = frozenset()) -> list[bytes]:
        """The next messages, as XLogData; empty at the end. What was read is given up.

        No more than `messages_max`, and than what was written or read at once. Without the changes
        of the subtransactions `gone`.
        """
        messages: list[bytes] = []
        while True:
            self._at = unframe(self._frames, self._at, messages_max, gone, messages)
            if messages:
                return messages
            rest = self._frames[self._at :]
            # The whole of a large message is read at once.
            missing = int.from_bytes(rest[:4], "big") + HEAD_BYTES - len(rest)
            more = self._more(missing)
            if not more:
                if rest:
                    raise DecodeError(
                        f"transaction {self.xid} ends in a message", kind="spill file"
                    )
                return messages
            self._frames = rest + more
            self._at = 0

    def close(self) -> None:
        """Give everything back. Repeatable."""
        self._blocks.clear()
        self._in_blocks = 0
        if self._file is not None:
            self._file.close()

    def _more(self, missing: int) -> bytes:
        if self._file is not None and self._position < self._file.size_bytes:
            more = self._file.read(self._position, max(missing, _READ_BYTES))
            self._position += len(more)
            return more
        if not self._blocks:
            return b""
        block = self._blocks.popleft()
        self._in_blocks -= len(block)
        self._weigh()
        return bytes(block)

    def _weigh(self) -> None:
        self.memory_bytes = self._in_blocks + _SAVEPOINT_BYTES * len(self._savepoints)


class TransactionsInProgress:
    """All of one stream. Takes at most about `memory_bytes_max` of memory, whatever comes."""

    def __init__(self, folder: SpillFolder, memory_bytes_max: int) -> None:
        """`folder` is this session's alone: what is in it was left by an earlier one."""
        self._folder = folder
        self._memory_bytes_max = memory_bytes_max
        self._open: dict[int, InProgress] = {}
        folder.clear()

    def start(self, xid: int, *, first: bool) -> None:
        """A block of this transaction begins, its `first` one or a later one.

        Raises DecodeError when it should be here already, or should not.
        """
        if first == (xid in self._open):
            what = "of which there was one before" if first else "of which the first is missing"
            raise DecodeError(f"a block of {xid}, {what}", kind="Stream Start")
        if first:
            self._open[xid] = InProgress(xid, self._folder)

    def extend(self, xid: int, block: Block, number: int) -> None:
        """Add what came of it. Raises StorageFull, TransientError."""
        self._open[xid].extend(block, number)
        while self._memory_bytes() > self._memory_bytes_max:
            largest = max(self._open.values(), key=InProgress.spillable_bytes)
            if not largest.spillable_bytes():
                return
            largest.spill()

    def abort(self, xid: int, subxid: int) -> None:
        """The transaction, or the subtransaction of it, is rolled back."""
        transaction = self._open.get(xid)
        if transaction is None:
            return
        if xid == subxid:
            self._open.pop(xid).close()
        else:
            transaction.roll_back(subxid)

    def commit(self, xid: int) -> InProgress:
        """Give the transaction to be read and closed. Raises DecodeError when it is unknown."""
        try:
            return self._open.pop(xid)
        except KeyError:
            raise DecodeError(
                f"transaction {xid} is committed, of which nothing was streamed",
                kind="Stream Commit",
            ) from None

    def held(self, changes_given: int | None = None) -> OpenTransactions:
        """What they hold now, one that is being read with its files; for people to look at."""
        memory_bytes, spilled_bytes = self._memory_bytes(), self._folder.size_bytes
        return OpenTransactions(len(self._open), memory_bytes, spilled_bytes, changes_given)

    def close(self) -> None:
        """Give everything back; the server sends them again. Repeatable."""
        while self._open:
            self._open.popitem()[1].close()

    def _memory_bytes(self) -> int:
        return sum(transaction.memory_bytes for transaction in self._open.values())
