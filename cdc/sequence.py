"""The sequence: one strictly growing number per record of a source, the version of its key.

The checkpoint part `sequence` holds a bound: every number that any reader may have seen is below
it. Exactly once, records and bound become durable together, so the bound is simply the next number.
At least once, records may be seen before the checkpoint behind them, so a bound above the numbers
is made durable before they are used; after each open it goes on at the bound, or at the clock when
that is further, so that what is repeated has higher numbers than what it repeats.
"""

from typing import Final

from cdc.checkpoint import Checkpoint, decode_part, encode_part
from cdc.errors import DecodeError
from cdc.event import Record, stamp

PART: Final = "sequence"
"""Name of the checkpoint part."""

LIMIT: Final = 2**53
"""Numbers stay below it: Redis scores and JavaScript keep only these exactly."""

RESERVE: Final = 1_000_000
"""How many numbers one durable bound reserves, at least once."""


def split(stored: Checkpoint | None) -> tuple[Checkpoint | None, int | None]:
    """The source's own part of a stored state, and the bound; None for what is not stored.

    Raises DecodeError for a damaged part.
    """
    if stored is None:
        return None, None
    parts = dict(stored.parts)
    part = parts.pop(PART, None)
    if part is None:
        return Checkpoint(parts) if parts else None, None
    bound = decode_part(PART, part).get("bound")
    if not isinstance(bound, int) or not 0 < bound < LIMIT:
        raise DecodeError(f"checkpoint part {PART!r} has no bound below 2**53", kind="checkpoint")
    return Checkpoint(parts) if parts else None, bound


class Sequencer:
    """Numbers records of one session."""

    def __init__(self, bound: int | None, *, exactly_once: bool, wall_us: int) -> None:
        """Begin behind `bound`, which is what is durable, or None."""
        self._exactly_once = exactly_once
        if bound is None:
            self._next = wall_us
        else:
            self._next = bound if exactly_once else max(bound, wall_us)
        self._durable = bound or 0
        self._proposed = self._durable

    def covers(self, count: int) -> bool:
        """Whether `count` more numbers may be used before the next commit."""
        return self._exactly_once or self._next + count <= self._durable

    def change(self, count: int = 0) -> Checkpoint:
        """The checkpoint change to commit next, empty if none is needed.

        At least once, the new bound leaves room for `count` numbers and more.
        """
        if self._exactly_once:
            self._proposed = self._next
        elif self._durable - self._next < count + RESERVE // 2:
            self._proposed = self._next + count + RESERVE
        if self._proposed == self._durable:
            return Checkpoint()
        if self._proposed >= LIMIT:
            raise DecodeError("the sequence has reached 2**53", kind="checkpoint")
        return Checkpoint({PART: encode_part({"bound": self._proposed})})

    def committed(self) -> None:
        """The last `change` is durable."""
        self._durable = self._proposed

    def number(self, records: list[Record]) -> None:
        """Give each record the next number, in order."""
        self._next = stamp(records, self._next)
