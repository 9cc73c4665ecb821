"""Questions asked of the server now and then beside the stream: is everything as it must be?

A watch looks in the thread of the stream, so each look is bounded: a session that does not answer
is given up, a statement that waits for a lock is cancelled by the server and asked again later.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, LiteralString, Protocol

import psycopg

from cdc.errors import TransientError
from cdc.notes import Note
from connectors.postgres.connection import require_answer, translated
from connectors.postgres.publication_facts import read_publication
from connectors.postgres.publications import require_published
from connectors.postgres.tables import CapturedTable

Connection = psycopg.Connection[tuple[Any, ...]]

_LIMIT: Final[LiteralString] = "SET statement_timeout = '2s'"
_UNLIMIT: Final[LiteralString] = "RESET statement_timeout"
_WATCHING: Final = "watching the source"
_MISSED_MAX: Final = 3
_PUBLICATION_INTERVAL_S: Final = 5.0


class Watch(Protocol):
    """One question. Made by whoever wants to know; asked by Watches."""

    @property
    def interval_s(self) -> float:
        """The pause between two looks; may change from look to look."""
        ...

    @property
    def while_waiting(self) -> bool:
        """Whether to look also while the log takes nothing; False: between batches only."""
        ...

    def look(self, connection: Connection) -> None:
        """Ask. Each statement is cancelled after two seconds; the look then counts as not made.

        Raises the CdcError that ends the session when something is not as it must be.
        """
        ...


class _Due:
    """A watch, and when it looks again. `missed`: looks in a row that were cancelled."""

    __slots__ = ("at_s", "missed", "watch")

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.at_s = 0.0
        self.missed = 0


class Watches:
    """All watches of one source, over one connection for questions."""

    def __init__(
        self,
        connection: Callable[[], Connection],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connection` gives one that is open, and opens it when it has to."""
        self._connection = connection
        self._clock = clock
        self._all: list[_Due] = []

    def add(self, watch: Watch) -> None:
        """Look with it from now on; the first time at once."""
        self._all.append(_Due(watch))

    def hurry(self) -> None:
        """Everybody looks at the next opportunity."""
        for due in self._all:
            due.at_s = 0.0

    def look(self, *, waiting: bool = False) -> None:
        """Let those look that are due; `waiting`: only those that may while the log takes nothing.

        Raises what a watch raises, and TransientError when the session does not answer.
        """
        now_s = self._clock()
        those = [
            due
            for due in self._all
            if now_s >= due.at_s and (due.watch.while_waiting or not waiting)
        ]
        if not those:
            return
        connection = self._connection()
        require_answer(connection, _WATCHING)
        with _limited(connection):
            for due in those:
                self._ask(due, connection)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the watches have to say, and a question that was cancelled again and again."""
        told = [note for due in self._all for note in getattr(due.watch, "notes", ())]
        if max((due.missed for due in self._all), default=0) < _MISSED_MAX:
            return tuple(told)
        return (
            *told,
            Note(
                "warning",
                "watch-missed",
                f"a question to the server was cancelled {_MISSED_MAX} times in a row: a lock that "
                "somebody holds keeps it from being answered",
                "The stream goes on, but a publication that is narrowed would not be noticed; see "
                "who holds an ACCESS EXCLUSIVE lock in pg_locks.",
            ),
        )

    def _ask(self, due: _Due, connection: Connection) -> None:
        try:
            due.watch.look(connection)
            due.missed = 0
        except TransientError as error:
            # The server is well, and somebody holds a lock that the question needs.
            if not isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise
            due.missed += 1
        due.at_s = self._clock() + due.watch.interval_s


@contextmanager
def _limited(connection: Connection) -> Iterator[None]:
    """The server cancels what takes long."""
    with translated(_WATCHING):
        connection.execute(_LIMIT)
    try:
        yield
    finally:
        if not connection.closed:
            with translated(_WATCHING):
                connection.execute(_UNLIMIT)


class PublicationWatch:
    """Notices that the publication was narrowed: the server then leaves changes out silently."""

    interval_s: Final = _PUBLICATION_INTERVAL_S
    while_waiting: Final = False

    def __init__(
        self,
        name: str,
        tables: Callable[[], tuple[CapturedTable, ...]],
        narrowed: Mapping[int, str | None],
    ) -> None:
        """`tables` gives those that must be published now; `narrowed` how they were at the start.

        A table that comes later is held to what is found when it is looked at first.
        """
        self._name = name
        self._tables = tables
        self._narrowed = dict(narrowed)

    def look(self, connection: Connection) -> None:
        """Raises PositionLost or SourceRefused; see `require_published`."""
        tables = self._tables()
        require_published(connection, self._name, tables, self._narrowed)
        if any(table.oid not in self._narrowed for table in tables):
            found = read_publication(connection, self._name)
            narrowed = {} if found is None else found.narrowed
            for table in tables:
                self._narrowed.setdefault(table.oid, narrowed.get(table.oid))
