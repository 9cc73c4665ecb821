"""A transaction that was in progress and is committed, on its way through the decoder."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from connectors.postgres.in_progress import InProgress
from connectors.postgres.pgoutput import Commit, Table

RolledBack = Callable[[Sequence[int]], AbstractSet[int]]
"""Tells which of these subtransactions of a committed transaction were rolled back."""

_QUESTIONS_MAX: Final = 10_000


class Replay:
    """What was kept of one transaction, and its commit.

    `plain` is what transactions around it know of relations: it describes those it needs itself.
    """

    def __init__(
        self,
        kept: InProgress,
        commit: Commit,
        plain: dict[int, Table | None],
        rolled_back: RolledBack,
    ) -> None:
        self.kept = kept
        self.commit = commit
        self.plain = plain
        self._rolled_back = rolled_back
        self._unasked = kept.subtransactions()
        self._gone: set[int] = set()

    def is_settled(self) -> bool:
        """Whether it is known what was rolled back; asks about the next ones where it is not."""
        if self._unasked:
            self._gone.update(self._rolled_back(self._unasked[-_QUESTIONS_MAX:]))
            del self._unasked[-_QUESTIONS_MAX:]
        return not self._unasked

    def read(self, messages_max: int) -> list[bytes]:
        """The next messages, as XLogData; empty at the end."""
        return self.kept.read(messages_max, self._gone)
