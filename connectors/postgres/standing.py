"""What is looked at from the first connection to the last: the slot, and who holds us up."""

from collections.abc import Callable
from typing import Any

import psycopg

from cdc.notes import Note, Retention
from connectors.postgres.blockers import BlockersWatch
from connectors.postgres.config import Config
from connectors.postgres.guard import Guard
from connectors.postgres.names import Names
from connectors.postgres.standby import waiting_note
from connectors.postgres.watches import Watches

Connection = psycopg.Connection[tuple[Any, ...]]


class Standing:
    """The guard of the slot and the watch for old transactions, with what they have to say.

    `waiting_to` is what old transactions of others may keep us from now, None for nothing. `begun`
    is what there is to say about how this start began.
    """

    def __init__(
        self,
        config: Config,
        names: Names,
        connection: Callable[[], Connection],
        release: Callable[[], None],
    ) -> None:
        """`release` ends what reads from the slot. `snapshot: only` has no slot."""
        self.waiting_to: str | None = None
        self.begun: tuple[Note, ...] = ()
        self._slot = names.slot
        self._waits: tuple[Note, ...] = ()
        self._guard = Guard(names, config.wal_guard, release)
        self._blockers = BlockersWatch(lambda: self.waiting_to)
        self._watches = Watches(connection)
        if config.snapshot != "only":
            self._watches.add(self._guard)
            self._watches.add(self._blockers)

    @property
    def retention(self) -> Retention | None:
        """What the server keeps for the slot, as last heard."""
        return self._guard.retention

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a person should know."""
        return (*self.begun, *self._waits, *self._guard.notes, *self._blockers.notes)

    def look(self, *, waiting: bool = False) -> None:
        """Look if it is time; `waiting`: while the log takes nothing. See Guard.look."""
        self._watches.look(waiting=waiting)

    def expect_no_slot(self, *, standby: bool) -> None:
        """The slot is being made, which may take long."""
        self.waiting_to = f"making replication slot {self._slot}"
        self._waits = (waiting_note(self._slot),) if standby else ()

    def expect_slot(self) -> None:
        """From now on the slot must be there, and nothing waits for it."""
        self.waiting_to = None
        self._waits = ()
        self._guard.expecting = True

    def ignore_limits(self) -> None:
        """Let the guard do nothing before its limits have been kept once."""
        self._guard.ignore_limits()
