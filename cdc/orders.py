"""The places of changes in their transaction, and how they survive a restart in its middle.

A serializer counts the records that it writes, behind transforms and filters. What it has counted
up to a commit is a fact about the transaction, told by the ordinal of the last change counted; the
checkpoint part `transaction` holds the last few. At least once, the position is written behind the
other parts, so that after a crash it may be an older one than theirs. The first change that comes
again tells: the counters to go on with are those of the greatest ordinal before its own.
"""

from collections.abc import Iterable
from typing import Final

from cdc.checkpoint import Checkpoint, decode_part, encode_part
from cdc.errors import DecodeError

PART: Final = "transaction"
"""Name of the checkpoint part; it is there while a transaction is in the log in part."""

_FACTS_KEPT: Final = 3


class Orders:
    """How many changes of one transaction were written, in all and by data collection.

    `ordinal` is that of the last change counted, -1 before the first. Needs memory for the number
    of tables that the transaction changed.
    """

    __slots__ = ("collections", "ordinal", "total", "transaction")

    def __init__(
        self,
        transaction: str,
        ordinal: int = -1,
        total: int = 0,
        collections: dict[str, int] | None = None,
    ) -> None:
        self.transaction = transaction
        self.ordinal = ordinal
        self.total = total
        self.collections = {} if collections is None else collections

    def count(self, collection: str, ordinal: int) -> tuple[int, int]:
        """Count a record of a change; its place in the transaction and in its collection, from 1.

        A change that makes two records (its key changed) is counted twice with one ordinal.
        """
        self.ordinal = ordinal
        self.total += 1
        place = self.collections.get(collection, 0) + 1
        self.collections[collection] = place
        return self.total, place

    def copy(self) -> "Orders":
        """The same, as of now."""
        return Orders(self.transaction, self.ordinal, self.total, dict(self.collections))

    def is_same(self, other: "Orders") -> bool:
        """Whether both are counted up to the same change."""
        return (self.transaction, self.ordinal) == (other.transaction, other.ordinal)

    def content(self) -> dict[str, object]:
        """The counters as JSON content."""
        return {
            "transaction": self.transaction,
            "ordinal": self.ordinal,
            "total": self.total,
            # As pairs: in the order in which they came, which the end of the transaction keeps.
            "collections": [list(pair) for pair in self.collections.items()],
        }


def orders_of(content: object) -> Orders:
    """The counters that `content` was taken from. Raises DecodeError."""
    if isinstance(content, dict):
        transaction, ordinal, total, collections = (
            content.get(name) for name in ("transaction", "ordinal", "total", "collections")
        )
        if (
            isinstance(transaction, str)
            and isinstance(ordinal, int)
            and isinstance(total, int)
            and isinstance(collections, list)
        ):
            counted = {str(name): int(count) for name, count in collections}
            return Orders(transaction, ordinal, total, counted)
    raise DecodeError(f"checkpoint part {PART!r} has no counters", kind="checkpoint")


def resumed(facts: Iterable[Orders], transaction: str, ordinal: int) -> Orders | None:
    """The counters to go on with at the change `ordinal` of a transaction, the first that came.

    None when nothing of it was counted: it began while nobody asked for that.
    """
    fitting = [each for each in facts if each.transaction == transaction and each.ordinal < ordinal]
    return max(fitting, key=lambda each: each.ordinal, default=None)


class StoredOrders:
    """The checkpoint part through one session: what is durable, and what to write next."""

    def __init__(self, part: bytes | None) -> None:
        """Take the stored part, None when there is none. Raises DecodeError."""
        self.facts: tuple[Orders, ...] = ()
        if part is not None:
            stored = decode_part(PART, part).get("facts")
            self.facts = tuple(map(orders_of, stored if isinstance(stored, list) else [None]))
        self._proposed = self.facts
        self._over = False

    def change(self, now: Orders | None) -> Checkpoint:
        """The checkpoint change of the commit that comes; `now` is counted up to it, None: nothing.

        `now` must not change any more. Empty where nothing was counted, so that it costs nothing
        between transactions.
        """
        facts = self.facts
        if now is not None:
            self._over = False
            if facts and facts[-1].is_same(now):
                return Checkpoint()
            self._proposed = (*facts[1 - _FACTS_KEPT :], now)
            content = [each.content() for each in self._proposed]
            return Checkpoint({PART: encode_part({"facts": content})})
        if facts and self._over:
            self._proposed = ()
            return Checkpoint({PART: None})
        # The position behind the transaction is durable only when this commit is.
        self._over = True
        return Checkpoint()

    def committed(self) -> None:
        """The last `change` is durable."""
        self.facts = self._proposed


def split(stored: Checkpoint | None) -> tuple[Checkpoint | None, StoredOrders]:
    """What is not the part of this module, None when that is nothing; and the part.

    Raises DecodeError for a damaged part.
    """
    if stored is None:
        return None, StoredOrders(None)
    parts = dict(stored.parts)
    orders = StoredOrders(parts.pop(PART, None))
    return Checkpoint(parts) if parts else None, orders
