"""Marks: when has everything passed that was committed before a certain moment?"""

from dataclasses import dataclass

from connectors.postgres.lsn import Lsn


@dataclass(slots=True)
class _Waiting:
    id: str
    target: Lsn
    settled_s: float


class Marks:
    """Marks that wait for the stream to reach their target.

    A target is where the log's insertion was. On an idle server the stream may never get there: it
    ends where the log is flushed, and what is not a commit may stay unflushed. Every commit is
    flushed after a while; the flushed end as of then is enough.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, mark: str, inserted: Lsn, settled_s: float) -> None:
        """Wait for `inserted`; what was committed by now is flushed at the time `settled_s`."""
        self._waiting.append(_Waiting(mark, inserted, settled_s))

    def is_settled(self, now_s: float) -> bool:
        """Whether some target may be lowered to where the log is flushed now."""
        return any(waiting.settled_s <= now_s for waiting in self._waiting)

    def settle(self, flushed: Lsn, now_s: float) -> None:
        """Lower the targets that are older than their time to `flushed`, read at `now_s`."""
        for waiting in self._waiting:
            if waiting.settled_s <= now_s:
                waiting.target = min(waiting.target, flushed)
                waiting.settled_s = float("inf")

    def reached(self, lsn: Lsn) -> tuple[str, ...]:
        """The ids of those at or before `lsn`, in the order they were added; each once."""
        passed = tuple(waiting.id for waiting in self._waiting if waiting.target <= lsn)
        self._waiting = [waiting for waiting in self._waiting if waiting.target > lsn]
        return passed

    def __bool__(self) -> bool:
        return bool(self._waiting)
