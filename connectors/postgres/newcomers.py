"""Tables that the configuration newly means while the stream goes on.

The catalog is looked at now and then. A new table is added to the publication; what was written to
it before, by transactions that have ended since, is read once the stream has passed everything that
was committed until then: so a table of the same name that was dropped before stays behind it.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

import psycopg

from cdc.errors import SchemaError, SourceRefused
from cdc.event import ChangeEvent
from cdc.notes import Note
from connectors.postgres import catalog
from connectors.postgres.announcements import Announcements
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.config import Config
from connectors.postgres.connection import rows_of
from connectors.postgres.facts import Facts
from connectors.postgres.lsn import Lsn
from connectors.postgres.marks import Marks, mark_now, settle
from connectors.postgres.publication_facts import published_roots
from connectors.postgres.publications import ensure_publication, is_of_all_tables, unpublished
from connectors.postgres.resume import table_part
from connectors.postgres.tables import CapturedTable, RelationTable

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[tuple[Any, ...]]

_DOING: Final = "looking for new tables"
# Sums do not depend on the order in which rows are found.
_FINGERPRINT: Final[LiteralString] = """
SELECT (
    SELECT pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(
        ' ', c.oid, c.relnamespace, c.relkind, c.relpersistence, c.relreplident, c.relname
    ), 0))
    FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p')
), (
    SELECT pg_catalog.sum(pg_catalog.hashtextextended(
        pg_catalog.concat_ws(' ', n.oid, n.nspname), 0
    ))
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname NOT LIKE 'pg\\_%%'
), (
    SELECT pg_catalog.sum(pg_catalog.hashtextextended(
        pg_catalog.concat_ws(' ', i.inhrelid, i.inhparent), 0
    ))
    FROM pg_catalog.pg_inherits i
), (
    SELECT pg_catalog.sum(pg_catalog.hashtextextended(
        pg_catalog.concat_ws(' ', r.prpubid, r.prrelid), 0
    ))
    FROM pg_catalog.pg_publication_rel r
), (
    SELECT pg_catalog.sum(pg_catalog.hashtextextended(
        pg_catalog.concat_ws(' ', p.oid, p.pubviaroot), 0
    ))
    FROM pg_catalog.pg_publication p
)
"""
# Transactions that may have written to a table: their locks last as long as they do.
_WRITERS: Final[LiteralString] = """
SELECT DISTINCT l.virtualtransaction
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_database d ON d.oid = l.database
WHERE l.locktype = 'relation' AND l.relation = ANY (%s::pg_catalog.oid[])
  AND d.datname = pg_catalog.current_database() AND l.granted
  AND l.mode IN (
      'RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
  )
"""
_WAIT_INTERVAL_S: Final = 0.2
# What keeps a table from being captured may be mended without a trace in the fingerprint.
_AGAIN_S: Final = 30.0

_LARGE_HINT: Final = (
    "They are read when the source is started the next time, while the stream waits; or at once, "
    "with a larger `new_table_bytes_max`."
)

Identity = tuple[str, int]
"""Qualified name and oid: what is dropped and made again, or renamed, is another table."""


@dataclass(slots=True)
class _Arrival:
    """Tables whose rows are to be read. `writers` are transactions from before, still open."""

    tables: tuple[CapturedTable, ...]
    mark: str
    writers: set[str]
    passed: bool = False


@dataclass(slots=True)
class _Known:
    """What the last look at the whole catalog found."""

    fingerprint: tuple[object, ...] = ()
    oids: frozenset[int] = frozenset()
    tables: dict[Identity, CapturedTable] = field(default_factory=dict)


class Newcomers:
    """A watch that finds new tables, and says when their rows can be read.

    `tables` are all that are captured now. `parts` are for the checkpoint, `events` tell of tables
    that came or went: take both with a batch.
    `problems` says why tables are not captured, one sentence each.
    """

    while_waiting: Final = False

    def __init__(
        self,
        config: Config,
        publication: str,
        comment: str,
        rules: ColumnRules,
        facts: Facts,
        announcements: Announcements | None,
    ) -> None:
        """`facts` get those of new tables. `announcements` tell of new and dropped ones."""
        self.announcements = announcements
        self.events: list[ChangeEvent] = []
        self.parts: dict[str, bytes | None] = {}
        self.problems: dict[Identity, str] = {}
        self._large: dict[Identity, str] = {}
        self._config = config
        self._publication = publication
        self._comment = comment
        self._rules = rules
        self._facts = facts
        self._unread: tuple[CapturedTable, ...] = ()
        self._known = _Known()
        self._marks = Marks()
        self._marked = 0
        self._arrivals: list[_Arrival] = []
        # Tables that are gone or not captured any more, by the mark behind their last change.
        self._leaving: dict[str, frozenset[int]] = {}
        self._look_s = 0.0
        self._again_s = 0.0

    def begin(self, tables: Sequence[CapturedTable], unread: Sequence[CapturedTable]) -> None:
        """These are captured already; the rows of `unread` are to be read all the same."""
        self._known.tables = {(table.qualified_name, table.oid): table for table in tables}
        self._unread = tuple(unread)

    @property
    def interval_s(self) -> float:
        """Short while something is waited for."""
        return _WAIT_INTERVAL_S if self._arrivals else self._config.new_tables_interval_s

    @property
    def tables(self) -> tuple[CapturedTable, ...]:
        """The tables that are captured and published now."""
        return tuple(self._known.tables.values())

    def look(self, connection: Connection) -> None:
        """Find what is new, and whether what is waited for has come."""
        if self._unread:
            self._expect(connection, self._unread)
            self._unread = ()
        self._await(connection)
        now_s = time.monotonic()
        if not self._arrivals or now_s >= self._look_s:
            self._find(connection)
            self._look_s = now_s + self._config.new_tables_interval_s

    def take_events(self) -> list[ChangeEvent]:
        """What there is to tell; once."""
        events, self.events = self.events, []
        return events

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a person should know: tables that are not captured, and rows that are missing."""
        return (
            *(Note("warning", "new-table", text) for text in self.problems.values()),
            *(
                Note("warning", "new-table-rows", text, _LARGE_HINT)
                for text in self._large.values()
            ),
        )

    @property
    def expects(self) -> bool:
        """Whether rows of some table are still to be read."""
        return bool(self._arrivals or self._unread)

    def ready(self, lsn: Lsn) -> tuple[CapturedTable, ...]:
        """Tables whose rows can be read when the stream is at `lsn`; each is given once."""
        if not (self._arrivals or self._leaving):
            return ()
        passed = set(self._marks.reached(lsn))
        for mark in passed & self._leaving.keys():
            self._forget(self._leaving.pop(mark))
        for arrival in self._arrivals:
            arrival.passed |= arrival.mark in passed
        here = [arrival for arrival in self._arrivals if arrival.passed and not arrival.writers]
        self._arrivals = [arrival for arrival in self._arrivals if arrival not in here]
        return tuple(table for arrival in here for table in arrival.tables)

    # --- below ----------------------------------------------------------------------------------

    def _find(self, connection: Connection) -> None:
        """Compare the catalog with what is known, if anything in it has changed."""
        fingerprint = rows_of(connection, _DOING, _FINGERPRINT)[0]
        known = self._known
        again = bool(self.problems) and time.monotonic() >= self._again_s
        if fingerprint == known.fingerprint and not again:
            return
        self._again_s = time.monotonic() + _AGAIN_S
        relations = catalog.relations_now(connection)
        config = self._config
        roots = published_roots(connection, self._publication)
        chosen = catalog.chosen_relations(relations, config.tables, config.exclude_tables, roots)
        here = {(relation.qualified_name, relation.oid): relation for relation in chosen}
        before, known.oids = known.oids, frozenset(relation.oid for relation in relations)
        known.fingerprint = fingerprint
        for identity in known.tables.keys() - here.keys():
            logger.info("table %s is not captured any more: it was dropped or renamed", identity[0])
            del known.tables[identity]
            self._large.pop(identity, None)
        self.problems = {
            identity: text for identity, text in self.problems.items() if identity in here
        }
        fresh = [relation for identity, relation in here.items() if identity not in known.tables]
        if fresh:
            self._take_up(connection, fresh, before)
        self._leave(connection, relations)

    def _take_up(
        self, connection: Connection, fresh: Sequence[RelationTable], before: frozenset[int]
    ) -> None:
        """Capture these tables, or say why not; `before` are the relations of the last look."""
        tables = catalog.tables_of(connection, fresh)
        whole = is_of_all_tables(connection, self._publication)
        missing = {table.oid for table in unpublished(connection, self._publication, tables)}
        wanted = []
        for table in tables:
            identity = (table.qualified_name, table.oid)
            problem = self._problem(connection, table, published=table.oid not in missing)
            if problem is not None:
                if self.problems.get(identity) != problem:
                    logger.warning("%s", problem)
                self.problems[identity] = problem
                continue
            self.problems.pop(identity, None)
            self._known.tables[identity] = table
            if whole and before and table.oid not in before:
                logger.info("table %s is new and captured from its beginning", identity[0])
                name, part = table_part(table, None)
                self.parts[name] = part
            elif table.size_bytes > self._config.new_table_bytes_max:
                self._large[identity] = (
                    f"table {identity[0]} is captured from now on; its {table.size_bytes >> 20} "
                    "MiB of rows that were there before are not read yet"
                )
                logger.warning("%s. %s", self._large[identity], _LARGE_HINT)
            else:
                wanted.append(table)
        if wanted:
            names = ", ".join(table.qualified_name for table in wanted)
            logger.warning("new tables are captured, their rows are read at once: %s", names)
            self._expect(connection, wanted)

    def _problem(
        self, connection: Connection, table: CapturedTable, *, published: bool
    ) -> str | None:
        """Why a table cannot be captured, None when it can be and is published."""
        facts = catalog.describe(connection, [table.oid], self._rules)
        try:
            catalog.refuse_unsupported(facts.values())
            if self._config.keyless_tables == "refuse" and not table.has_key:
                return f"table {table.qualified_name} is new and not captured: it has no key"
            if not published:
                ensure_publication(
                    connection,
                    self._publication,
                    [table],
                    self._comment,
                    may_change=self._config.create_publication,
                )
        except (SchemaError, SourceRefused) as error:
            return f"table {table.qualified_name} is new and not captured: {error}"
        for found in facts.values():
            self._facts.remember(found.known(table.ancestors), found.types)
            if self.announcements is not None:
                self.events += self.announcements.came(found.schema)
        return None

    def _expect(self, connection: Connection, tables: Sequence[CapturedTable]) -> None:
        """Wait for the end of what may have written to the tables unseen, and for the stream."""
        oids = [table.oid for table in tables]
        writers = {row[0] for row in rows_of(connection, _DOING, _WRITERS, (oids,))}
        mark = self._mark(connection)
        self._arrivals.append(_Arrival(tuple(tables), mark, writers))

    def _mark(self, connection: Connection) -> str:
        self._marked += 1
        mark_now(self._marks, str(self._marked), connection)
        return str(self._marked)

    def _leave(self, connection: Connection, present: Sequence[RelationTable]) -> None:
        """Forget facts of tables that have no changes any more, once the stream is behind them.

        Partitioned tables are not captured themselves; their changes may come under their name.
        """
        roots = {relation.oid for relation in present if relation.kind == "p"}
        staying = {oid for _, oid in self._known.tables} | roots
        staying |= {oid for _, oid in self.problems}
        leaving = self._facts.tables.keys() - staying
        leaving -= frozenset[int]().union(*self._leaving.values())
        if leaving:
            self._leaving[self._mark(connection)] = frozenset(leaving)

    def _forget(self, oids: frozenset[int]) -> None:
        gone = oids - {oid for _, oid in self._known.tables}
        for oid in gone & self._facts.tables.keys():
            if self.announcements is not None:
                self.events += self.announcements.went(self._facts.tables[oid].schema)
        self._facts.forget(gone)

    def _await(self, connection: Connection) -> None:
        for arrival in self._arrivals:
            if arrival.writers:
                oids = [table.oid for table in arrival.tables]
                open_now = {row[0] for row in rows_of(connection, _DOING, _WRITERS, (oids,))}
                arrival.writers &= open_now
        settle(self._marks, connection)
