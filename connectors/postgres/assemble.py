"""From messages to events by transaction, and the place to resume from behind each of them.

Takes bytes, returns events. What a relation is, is asked of a function given by the caller;
transactions in progress are kept by an object given by it.
"""

from collections.abc import Callable, Iterable
from typing import Final

from cdc.errors import DecodeError, PositionLost
from cdc.event import ChangeEvent, Transaction
from cdc.rowless import BEGIN, begin_event, end_event, message_event
from connectors.postgres.blocks import Block
from connectors.postgres.emission import HEARTBEAT_PREFIX, Emission
from connectors.postgres.in_progress import TransactionsInProgress
from connectors.postgres.lsn import Lsn
from connectors.postgres.messages import (
    LogicalMessage,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    relations,
)
from connectors.postgres.pgoutput import (
    Begin,
    Commit,
    Decoder,
    Keepalive,
    Message,
    Origin,
    Relation,
    Type,
    begin_of,
)
from connectors.postgres.position import Started, StreamPosition
from connectors.postgres.replay import Replay, RolledBack
from connectors.postgres.sight import Resolve, Sight

# More changes than a transaction can have: skips all of them.
_EVERY_CHANGE: Final = (1 << 62) - 1

# A transaction that was kept is decoded in lots of this size, like one that comes over the network.
_LOT_MESSAGES_MAX: Final = 1000
_LOT_BYTES_MAX: Final = 1 << 20


class Assembler:
    """Follows one stream from `start` on; made anew for each connection.

    `resolve` is called for every Relation message, of a transaction in progress when it is
    committed; `rolled_back` then for its subtransactions. `size_bytes` counts what was received for
    the events given so far; whoever takes it sets it to 0 again.
    """

    def __init__(
        self,
        start: StreamPosition,
        resolve: Resolve,
        in_progress: TransactionsInProgress,
        emission: Emission,
        rolled_back: RolledBack,
    ) -> None:
        self.reply_requested = False
        self.size_bytes = 0
        self._sight = Sight(0, 0, {}, self._ahead)
        self._resolve = resolve
        self._in_progress = in_progress
        self._emission = emission
        self._rolled_back = rolled_back
        self._decoder = Decoder()
        # What was fed and is not decoded yet, and what is being decoded.
        self._payloads: list[bytes] = []
        self._decoding: list[bytes] = []
        self._events: list[ChangeEvent] = []
        self._lsn = start.lsn
        self._prior_commit = start.prior_commit
        # The transaction that must come first, because a part of it is in the log.
        self._repeated = start.started
        self._begin: Begin | None = None
        # The same as the decoder has it, which follows transactions where it can.
        self._opened: bytes | None = None
        # Whether the event of the open transaction's begin was given, now or before the start.
        self._begun = False
        # Whether the first thing in the open transaction is a heartbeat of ours.
        self._own = False
        self._streamed_xid: int | None = None
        self._replay: Replay | None = None
        # Descriptions of relations are numbered as they come; the number of the one in force.
        self._descriptions = 0
        self._described: dict[int, int] = {}
        self._handlers: dict[type, Callable[..., None]] = {
            Keepalive: self._on_keepalive,
            Begin: self._on_begin,
            Commit: self._on_commit,
            Origin: self._on_origin,
            Relation: self._on_relation,
            Type: self._on_type,
            LogicalMessage: self._on_message,
            StreamStart: self._on_stream_start,
            StreamStop: self._on_stream_stop,
            StreamCommit: self._on_stream_commit,
            StreamAbort: self._on_stream_abort,
        }

    def feed(self, payloads: list[bytes]) -> list[ChangeEvent]:
        """The changes in these messages, in commit order, or the first of them: see `behind`.

        Raises DecodeError, PositionLost when the server does not repeat what it must, StorageFull
        and TransientError for transactions in progress, and whatever `resolve` raises.
        """
        assert not self.behind, "go on first"
        self._payloads = payloads
        self.size_bytes += sum(map(len, payloads))
        return self.go_on()

    @property
    def behind(self) -> bool:
        """Whether there is more in what was fed; `go_on` then comes before the next `feed`."""
        return self._replay is not None or bool(self._payloads)

    def go_on(self) -> list[ChangeEvent]:
        """The changes that follow: those before the next large transaction, or a lot of it."""
        events = self._events = []
        if self._replay is not None and not self._replay_lot(self._replay):
            return events
        while self._payloads:
            self._payloads = self._decode(self._payloads)
            if self._replay is not None and not self._replay_lot(self._replay):
                return events
        self._keep_block()
        return events

    def _decode(self, payloads: list[bytes]) -> list[bytes]:
        """Decode up to the end, or up to the commit of a transaction that is kept; the rest."""
        self._decoding = payloads
        self._sight.lot += 1
        decoder, handlers, index = self._decoder, self._handlers, 0
        replay = self._replay
        while (message := self._next_message(decoder, payloads, index)) is not None:
            index = decoder.index
            handlers[type(message)](message)
            if self._replay is not replay:
                return payloads[index:]
        return []

    def _next_message(self, decoder: Decoder, payloads: list[bytes], index: int) -> Message | None:
        """The next message for us; the decoder follows what comes before, where it can."""
        decoder.follows = False
        if self._repeated is not None or self._emission.transactions or self._replay is not None:
            return decoder.decode(payloads, index, self._events)
        decoder.follow(self._lsn, self._prior_commit)
        message = decoder.decode(payloads, index, self._events)
        self._lsn = Lsn(decoder.lsn)
        self._prior_commit = None if decoder.prior_commit is None else Lsn(decoder.prior_commit)
        if decoder.opened is None:
            self._begin = self._begin if decoder.transaction is not None else None
        elif decoder.opened is not self._opened:
            self._begin, self._begun = begin_of(decoder.opened), False
        self._opened = decoder.opened
        return message

    @property
    def position(self) -> StreamPosition:
        """The place to resume from once everything given so far is durable."""
        begin, decoder = self._begin, self._decoder
        if self._repeated is not None:
            started = self._repeated
        elif begin is None or self._is_done(begin):
            started = None
        else:
            changes = max(decoder.count, decoder.skip)
            is_started = self._begun or changes > 0
            started = Started(begin.xid, Lsn(begin.commit_lsn), changes) if is_started else None
        return StreamPosition(self._lsn, self._prior_commit, started)

    @property
    def lsn(self) -> Lsn:
        """Everything that was committed before is given; nothing behind it is complete."""
        return self._lsn

    @property
    def changes_replayed(self) -> int | None:
        """How many changes of a transaction that was kept are decoded, None: there is none."""
        return None if self._replay is None else self._decoder.count

    def close(self) -> None:
        """Forget the transactions in progress, and the one that is being replayed. Repeatable."""
        if self._replay is not None:
            self._replay.kept.close()
        self._in_progress.close()

    # --- transactions -------------------------------------------------------------------------

    def _is_done(self, begin: Begin) -> bool:
        # `_lsn` is the end of some record; a commit record that begins before it is not behind it.
        return begin.commit_lsn < self._lsn

    def _on_keepalive(self, message: Keepalive) -> None:
        self.reply_requested |= message.reply_requested
        if self._repeated is not None:
            # The server says where it is once it has sent everything that was committed before.
            if message.wal_end > self._repeated.commit_lsn:
                raise PositionLost(
                    f"the log holds a part of transaction {self._repeated.xid}, committed at "
                    f"{self._repeated.commit_lsn}, but the server passed {Lsn(message.wal_end)} "
                    "without it"
                )
        elif self._begin is None and message.wal_end > self._lsn:
            self._lsn = Lsn(message.wal_end)

    def _on_begin(self, message: Begin) -> None:
        if self._begin is not None:
            raise DecodeError(
                f"transaction {message.xid} begins inside {self._begin.xid}", kind="Begin"
            )
        self._begin = message
        self._own = False
        skip = 0
        self._begun = self._is_done(message)
        if self._begun:
            skip = _EVERY_CHANGE
        elif self._repeated is not None:
            skip = self._skip_of(self._repeated, message)
            self._repeated = None
            self._begun = True
        transaction = self._transaction(message)
        self._decoder.begin(transaction, skip)
        if self._emission.transactions and not self._begun:
            self._begun = True
            self._events.append(begin_event(self._emission.table, transaction, message.lsn))

    def _skip_of(self, repeated: Started, begin: Begin) -> int:
        if (repeated.xid, repeated.commit_lsn) != (begin.xid, begin.commit_lsn):
            raise PositionLost(
                f"the log holds a part of transaction {repeated.xid}, committed at "
                f"{repeated.commit_lsn}, but the server sends {begin.xid}, committed at "
                f"{Lsn(begin.commit_lsn)}, in its place"
            )
        return repeated.changes

    def _transaction(
        self, begin: Begin, origin: str | None = None, origin_lsn: int | None = None
    ) -> Transaction:
        prior = self._prior_commit
        return Transaction(
            str(begin.xid),
            begin.commit_time_us,
            begin.xid,
            None if prior is None else int(prior),
            origin,
            origin_lsn,
        )

    def _on_origin(self, message: Origin) -> None:
        if self._begin is None or self._decoder.count:
            raise DecodeError("an origin that does not follow a Begin", kind="Origin")
        # Of a transaction in progress, the server does not know its commit at the origin yet.
        origin = self._transaction(self._begin, message.name, message.lsn or None)
        self._decoder.begin(origin, self._decoder.skip)

    def _on_commit(self, message: Commit) -> None:
        begin, decoder = self._begin, self._decoder
        if begin is None or begin.commit_lsn != message.commit_lsn:
            raise DecodeError("a commit of a transaction that was not begun", kind="Commit")
        if not self._is_done(begin):
            if decoder.count < decoder.skip:
                raise PositionLost(
                    f"the log holds {decoder.skip} changes of transaction {begin.xid}, of which "
                    f"the server now sends only {decoder.count}",
                    hint="Was the publication changed or another one configured? Set it back, or "
                    "run `cdc heal SOURCE` to begin anew.",
                )
            if self._emission.transactions and decoder.transaction is not None:
                self._end(decoder.transaction, message)
            self._lsn = self._prior_commit = Lsn(message.end_lsn)
        self._begin = None
        decoder.end()

    def _end(self, transaction: Transaction, message: Commit) -> None:
        """Tell of the end, unless it is a heartbeat of ours whose begin nobody was told of yet."""
        events, ordinal = self._events, self._decoder.ordinal
        if self._own and self._decoder.count == 1 and events and events[-1].op == BEGIN:
            events.pop()
            return
        events.append(end_event(self._emission.table, transaction, ordinal, message.end_lsn))

    def _on_relation(self, message: Relation) -> None:
        self._sight.xid = 0 if self._begin is None else self._begin.xid
        self._sight.around = {} if self._replay is None else self._replay.plain
        self._decoder.tables[message.oid] = self._resolve(message, self._sight)
        if self._replay is None:
            self._descriptions += 1
            self._described[message.oid] = self._descriptions

    def _ahead(self) -> Iterable[Relation]:
        return relations(self._decoding[self._decoder.index :])

    def _on_type(self, message: Type) -> None:
        self._sight.type_names[message.oid] = f"{message.namespace}.{message.name}"

    def _on_message(self, message: LogicalMessage) -> None:
        wanted = self._emission.wants(message.prefix)
        if message.transactional:
            if self._begin is None:
                raise DecodeError("a transactional message outside of one", kind="Message")
            ordinal = self._decoder.place(wanted)
            if ordinal >= 0:
                self._emit(message, self._decoder.transaction, ordinal)
            elif message.prefix == HEARTBEAT_PREFIX:
                self._own = self._decoder.count == 1
        elif self._begin is not None:
            raise DecodeError("a message that is not transactional in one", kind="Message")
        elif message.lsn > self._lsn:
            # The server sends it when it reads it, in one order with the commits, and again to
            # whom asks for a place before its record.
            self._lsn = Lsn(message.lsn)
            if wanted:
                self._prior_commit = self._lsn
                self._emit(message, None, 0)

    def _emit(self, message: LogicalMessage, transaction: Transaction | None, ordinal: int) -> None:
        table, prefix, content = self._emission.table, message.prefix, message.content
        self._events.append(
            message_event(table, prefix, content, transaction, ordinal, message.lsn)
        )

    # --- transactions in progress -------------------------------------------------------------

    def _on_stream_start(self, message: StreamStart) -> None:
        if self._begin is not None or self._streamed_xid is not None:
            raise DecodeError(f"a block of {message.xid} inside another", kind="Stream Start")
        self._in_progress.start(message.xid, first=message.first)
        self._streamed_xid = message.xid
        self._decoder.block = Block()

    def _on_stream_stop(self, _message: StreamStop) -> None:
        if self._streamed_xid is None:
            raise DecodeError("no block is open", kind="Stream Stop")
        self._keep_block()
        self._decoder.block = self._streamed_xid = None

    def _keep_block(self) -> None:
        """Put what came of an open block to its transaction."""
        block, xid = self._decoder.block, self._streamed_xid
        if block is None or xid is None:
            return
        self._decoder.block = Block()
        # A frame is a little larger than what was received for it.
        self.size_bytes = max(0, self.size_bytes - len(block.frames))
        self._descriptions += 1
        self._in_progress.extend(xid, block, self._descriptions)

    def _on_stream_abort(self, message: StreamAbort) -> None:
        self._in_progress.abort(message.xid, message.subxid)

    def _on_stream_commit(self, message: StreamCommit) -> None:
        if self._begin is not None:
            raise DecodeError(f"{message.xid} is committed inside another", kind="Stream Commit")
        kept = self._in_progress.commit(message.xid)
        commit = Commit(message.commit_lsn, message.end_lsn, message.commit_time_us)
        self._replay = Replay(kept, commit, self._decoder.tables, self._rolled_back)
        self._decoder.tables = {}

    def _replay_lot(self, replay: Replay) -> bool:
        """Decode the next lot of the transaction that was kept; whether that was all of it."""
        kept, commit = replay.kept, replay.commit
        if not replay.is_settled():
            return False
        messages = size_bytes = 0
        while messages < _LOT_MESSAGES_MAX and size_bytes < _LOT_BYTES_MAX:
            payloads = replay.read(_LOT_MESSAGES_MAX - messages)
            if self._begin is None:
                lsn = int.from_bytes(payloads[0][1:9], "big") if payloads else commit.commit_lsn
                self._on_begin(Begin(commit.commit_lsn, commit.commit_time_us, kept.xid, lsn))
            if not payloads:
                self._on_commit(commit)
                self._merge(replay)
                kept.close()
                self._replay = None
                return True
            self._decode(payloads)
            messages += len(payloads)
            lot_bytes = sum(map(len, payloads))
            size_bytes += lot_bytes
            self.size_bytes += lot_bytes
        return False

    def _merge(self, replay: Replay) -> None:
        """Let what the transaction said about relations hold for those that follow.

        The server does not repeat it for them, except where it has described the relation since.
        """
        tables, plain = self._decoder.tables, replay.plain
        for oid, number in replay.kept.described.items():
            if oid in tables and number > self._described.get(oid, 0):
                plain[oid] = tables[oid]
                self._described[oid] = number
        self._decoder.tables = plain
