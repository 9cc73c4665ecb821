"""From messages to events by transaction, and the place to resume from behind each of them.

Pure: takes bytes, returns events. What a relation is, is asked of a function given by the caller.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from cdc.errors import DecodeError, PositionLost
from cdc.event import ChangeEvent, Transaction
from connectors.postgres.lsn import Lsn
from connectors.postgres.messages import relations
from connectors.postgres.pgoutput import (
    Begin,
    Commit,
    Decoder,
    Keepalive,
    Origin,
    Relation,
    Table,
    Type,
)

_Kind = TypeVar("_Kind")

# More changes than a transaction can have: skips all of them.
_EVERY_CHANGE: Final = (1 << 62) - 1


@dataclass(frozen=True, slots=True)
class Started:
    """A transaction of which the first `changes` changes are in the log, of whatever table.

    `commit_lsn` is where its commit record begins; with `xid` it tells the transaction again.
    """

    xid: int
    commit_lsn: Lsn
    changes: int


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where the stream is: everything committed up to `lsn` is done.

    `prior_commit` is the end of the last transaction seen, None when there was none yet. `started`
    is the transaction behind `lsn` that is done in part, None at the end of a transaction.
    """

    lsn: Lsn
    prior_commit: Lsn | None = None
    started: Started | None = None

    def content(self) -> dict[str, object]:
        """The position as JSON content."""
        started = self.started
        return {
            "lsn": str(self.lsn),
            "prior_commit": None if self.prior_commit is None else str(self.prior_commit),
            "started": None
            if started is None
            else {
                "xid": started.xid,
                "commit_lsn": str(started.commit_lsn),
                "changes": started.changes,
            },
        }

    @classmethod
    def of(cls, content: dict[str, object]) -> Self:
        """The position that `content` was taken from. Raises DecodeError."""
        try:
            prior, started = content["prior_commit"], content["started"]
            return cls(
                Lsn.parse(_as(str, content["lsn"])),
                None if prior is None else Lsn.parse(_as(str, prior)),
                None if started is None else _started_of(_as(dict, started)),
            )
        except (KeyError, TypeError) as error:
            raise DecodeError("the stored position is damaged", kind="checkpoint") from error


def _started_of(content: dict[str, object]) -> Started:
    return Started(
        _as(int, content["xid"]),
        Lsn.parse(_as(str, content["commit_lsn"])),
        _as(int, content["changes"]),
    )


def _as(kind: type[_Kind], value: object) -> _Kind:
    if not isinstance(value, kind):
        raise TypeError(type(value))
    return value


@dataclass(slots=True)
class Sight:
    """What surrounds a Relation message.

    `xid` is the open transaction, `lot` counts the calls of `feed`. `type_names` are the qualified
    names of types, by oid, as the stream told them. `ahead` gives the Relations behind this one in
    the same lot.
    """

    xid: int
    lot: int
    type_names: dict[int, str]
    ahead: Callable[[], Iterable[Relation]]


Resolve = Callable[[Relation, Sight], Table | None]
"""Gives what the decoder needs of a relation, or None when it is not captured."""


class Assembler:
    """Follows one stream from `start` on; made anew for each connection.

    `resolve` is called for every Relation message.
    """

    def __init__(self, start: StreamPosition, resolve: Resolve) -> None:
        self.reply_requested = False
        self._payloads: list[bytes] = []
        self._sight = Sight(0, 0, {}, self._ahead)
        self._resolve = resolve
        self._decoder = Decoder()
        self._lsn = start.lsn
        self._prior_commit = start.prior_commit
        # The transaction that must come first, because a part of it is in the log.
        self._repeated = start.started
        self._begin: Begin | None = None
        self._handlers: dict[type, Callable[..., None]] = {
            Keepalive: self._on_keepalive,
            Begin: self._on_begin,
            Commit: self._on_commit,
            Origin: self._on_origin,
            Relation: self._on_relation,
            Type: self._on_type,
        }

    def feed(self, payloads: list[bytes]) -> list[ChangeEvent]:
        """The changes in these messages, in commit order.

        Raises DecodeError, PositionLost when the server does not repeat what it must, and whatever
        `resolve` raises.
        """
        events: list[ChangeEvent] = []
        decoder, handlers = self._decoder, self._handlers
        index = 0
        self._payloads = payloads
        self._sight.lot += 1
        while (message := decoder.decode(payloads, index, events)) is not None:
            index = decoder.index
            handlers[type(message)](message)
        return events

    @property
    def position(self) -> StreamPosition:
        """The place to resume from once everything fed so far is durable."""
        begin, decoder = self._begin, self._decoder
        if self._repeated is not None:
            started = self._repeated
        elif begin is None or self._is_done(begin) or not max(decoder.count, decoder.skip):
            started = None
        else:
            changes = max(decoder.count, decoder.skip)
            started = Started(begin.xid, Lsn(begin.commit_lsn), changes)
        return StreamPosition(self._lsn, self._prior_commit, started)

    @property
    def lsn(self) -> Lsn:
        """Everything that was committed before is fed; nothing behind it is complete."""
        return self._lsn

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
        skip = 0
        if self._is_done(message):
            skip = _EVERY_CHANGE
        elif self._repeated is not None:
            skip = self._skip_of(self._repeated, message)
            self._repeated = None
        self._decoder.begin(self._transaction(message), skip)

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
        origin = self._transaction(self._begin, message.name, message.lsn)
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
                    "run `cdc reset SOURCE` to forget the checkpoint and take a new snapshot.",
                )
            self._lsn = self._prior_commit = Lsn(message.end_lsn)
        self._begin = None
        decoder.end()

    def _on_relation(self, message: Relation) -> None:
        self._sight.xid = 0 if self._begin is None else self._begin.xid
        self._decoder.tables[message.oid] = self._resolve(message, self._sight)

    def _ahead(self) -> Iterable[Relation]:
        return relations(self._payloads[self._decoder.index :])

    def _on_type(self, message: Type) -> None:
        self._sight.type_names[message.oid] = f"{message.namespace}.{message.name}"


def size_of(payloads: Sequence[bytes]) -> int:
    """Bytes received."""
    return sum(map(len, payloads))
