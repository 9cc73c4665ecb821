"""What a Relation message means here: captured or not, and the structure of its rows.

The catalog is asked once per lot of messages for all Relations in it, since every change in the lot
was committed before.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, LiteralString

import psycopg

from cdc.event import ChangeEvent
from cdc.schema import TableSchema
from connectors.postgres.catalog import TableFacts, describe
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.connection import translated
from connectors.postgres.facts import Facts
from connectors.postgres.labels import Labels
from connectors.postgres.logical_types import Types, read_types
from connectors.postgres.pgoutput import Relation, Table
from connectors.postgres.resolution import (
    KnownTable,
    Resolved,
    resolve,
    types_at,
)
from connectors.postgres.sight import Sight
from connectors.postgres.tables import matches
from connectors.postgres.xids import READ_NEXT_XID, full_xid

Connection = psycopg.Connection[tuple[Any, ...]]

_ANCESTORS: Final[LiteralString] = """
SELECT wanted.oid::pg_catalog.int8, pg_catalog.concat(n.nspname, '.', c.relname)
FROM pg_catalog.unnest(%s::pg_catalog.oid[]) AS wanted (oid)
CROSS JOIN LATERAL pg_catalog.pg_partition_ancestors(wanted.oid::pg_catalog.regclass)
    WITH ORDINALITY AS above (relid, place)
JOIN pg_catalog.pg_class c ON c.oid = above.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE above.relid <> wanted.oid
ORDER BY wanted.oid, above.place
"""


@dataclass(slots=True)
class _Look:
    """What the catalog said, for the Relations in lot number `lot`."""

    lot: int = -1
    asked: set[int] = field(default_factory=set)
    types_asked: set[int] = field(default_factory=set)
    tables: dict[int, TableFacts] = field(default_factory=dict)
    ancestors: dict[int, tuple[str, ...]] = field(default_factory=dict)
    types: Types = field(default_factory=Types)
    next_xid: int = 0


@dataclass(slots=True, eq=False)
class _Current:
    """A relation as the stream described it. `watched`: its rows are looked at."""

    relation: Relation
    table: Table
    type_names: dict[int, str]
    labels: Labels
    withheld: int | None

    @property
    def watched(self) -> bool:
        return bool(self.labels) or self.withheld is not None


class Structures:
    """Looks relations up when the stream names them, in the catalog and in what is remembered.

    Equal structures are one object, so that what is planned per structure stays planned.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        database: str,
        tables: Sequence[str],
        exclude_tables: Sequence[str],
        rules: ColumnRules,
        facts: Facts,
    ) -> None:
        """`connection` gives an open one; the tables are the configured globs.

        `rules` are those of columns. `facts` grow while the stream
        goes on, and are to be stored with the events that follow from them.
        """
        self._connection = connection
        self._database = database
        self._tables = tables
        self._exclude_tables = exclude_tables
        self._rules = rules
        self._facts = facts
        self._look = _Look()
        # Descriptions in force: the last one, and while a transaction that was kept is read also
        # that of the transactions around it.
        self._current: dict[int, list[_Current]] = {}
        # Those whose rows are looked at, by the identity of their structure.
        self._watched: dict[int, list[_Current]] = {}
        # Out of force, but the lot that is being read may have rows of theirs.
        self._ended: list[_Current] = []

    def resolve(self, relation: Relation, sight: Sight) -> Table | None:
        """What the decoder needs of the relation, None when it is not captured.

        Raises SchemaError for a type that cannot be captured, TransientError for a lost connection.
        """
        self._see(relation, sight)
        if not self._is_captured(relation):
            return None
        resolved, types = self._resolved(relation, sight.xid, sight.type_names)
        schema, layout = resolved.schema, resolved.layout
        before = self._current.get(relation.oid, [])
        for same in before:
            if same.table.schema == schema:
                schema, layout = same.table.schema, same.table.layout
        self._facts.remember(resolved.known, types)
        in_identity = tuple(column.in_identity for column in relation.columns)
        table = Table(schema, layout, in_identity)
        labels = Labels.of(resolved.known, types)
        current = _Current(relation, table, dict(sight.type_names), labels, resolved.withheld)
        around = sight.around.get(relation.oid)
        self._current[relation.oid] = [one for one in before if one.table is around] + [current]
        self._ended += [one for one in before if one.table is not around]
        self._watch(current)
        return table

    def agree(self, events: list[ChangeEvent]) -> None:
        """Give a newer structure to the events of a lot that no Relation announced one for.

        A label that is added to an enum, or one that is renamed, is known by the first row that has
        it. Facts that were made by a transaction later than the last change are taken up by the
        first change behind it.
        """
        # By the identity of the older one, which is kept so that no other gets the same.
        newer: dict[int, tuple[TableSchema, TableSchema]] = {}
        for index, event in enumerate(events if self._watched else ()):
            _, schema = newer.get(id(event.table), (event.table, event.table))
            found = tuple(self._watched.get(id(schema), ()))
            if any(self._is_out_of_date(current, event) for current in found):
                for current in found:
                    self._renew(current, event)
                renewed = found[-1].table.schema
                newer[id(schema)] = schema, renewed
                newer[id(event.table)] = event.table, renewed
                schema = renewed
            if schema is not event.table:
                events[index] = event.with_rows(schema, event.before, event.after)
        for current in self._ended:
            self._unwatch(current)
        self._ended.clear()

    # --- below ----------------------------------------------------------------------------------

    def _see(self, relation: Relation, sight: Sight) -> None:
        """Ask the catalog about the relation, and those that follow, unless it is done."""
        types = {column.type_oid for column in relation.columns}
        look = self._look
        if look.lot == sight.lot and relation.oid in look.asked and types <= look.types_asked:
            return
        ahead = list(sight.ahead())
        types |= {column.type_oid for one in ahead for column in one.columns}
        doing = f"looking up {relation.namespace}.{relation.name} in the catalog"
        self._ask({relation.oid, *(one.oid for one in ahead)}, types, sight.lot, doing)

    def _ask(self, oids: set[int], types: set[int], lot: int, doing: str) -> None:
        asked = sorted(oids)
        with translated(doing), (connection := self._connection()).transaction():
            ((next_xid,),) = connection.execute(READ_NEXT_XID)
            tables = describe(connection, asked, self._rules)
            ancestors: dict[int, tuple[str, ...]] = {}
            for oid, name in connection.execute(_ANCESTORS, (asked,)):
                ancestors[oid] = (*ancestors.get(oid, ()), name)
            more = read_types(connection, types)
        found = dict(more.facts)
        for facts in tables.values():
            found.update(facts.types.facts)
        self._look = _Look(lot, oids, types, tables, ancestors, Types(found), next_xid)

    def _is_captured(self, relation: Relation) -> bool:
        # The name at the time of the change decides; a partition is also meant by its parents'
        # names, those of now or, after it was detached or dropped, those of then.
        name = f"{relation.namespace}.{relation.name}"
        stored = self._facts.tables.get(relation.oid)
        ways = [self._look.ancestors.get(relation.oid, ())]
        if stored is not None:
            ways.append(stored.ancestors)
        return any(self._means((name, *above)) for above in ways)

    def _means(self, names: Iterable[str]) -> bool:
        return _fits(names, self._tables) and not _fits(names, self._exclude_tables)

    def _resolved(
        self, relation: Relation, xid: int, type_names: dict[int, str]
    ) -> tuple[Resolved, Types]:
        look = self._look
        candidates: list[KnownTable] = []
        facts = look.tables.get(relation.oid)
        stored = self._facts.tables.get(relation.oid)
        if facts is not None:
            above = look.ancestors.get(relation.oid, ())
            if not above and stored is not None:
                above = stored.ancestors
            candidates.append(facts.known(above))
        if stored is not None:
            candidates.append(stored)
        at = full_xid(xid, look.next_xid)
        types, withheld = types_at(at, look.types, self._facts.types)
        resolved = resolve(
            relation,
            at,
            candidates,
            types,
            self._database,
            type_names,
            self._rules,
        )
        if withheld is not None and (resolved.withheld is None or withheld < resolved.withheld):
            resolved = Resolved(resolved.known, resolved.layout, withheld)
        return resolved, types

    def _is_out_of_date(self, current: _Current, event: ChangeEvent) -> bool:
        if current.withheld is not None and event.transaction is not None:
            xid = event.transaction.xid
            if xid is not None and full_xid(xid, self._look.next_xid) >= current.withheld:
                return True
        return current.labels.lacks(event)

    def _renew(self, current: _Current, event: ChangeEvent) -> None:
        """Resolve the relation again as of this event, whose labels are known by then."""
        assert event.transaction is not None
        relation, table = current.relation, current.table
        types = {column.type_oid for column in relation.columns}
        doing = f"looking up {relation.namespace}.{relation.name} in the catalog again"
        self._ask({relation.oid}, types, self._look.lot, doing)
        xid = event.transaction.xid or 0
        resolved, found = self._resolved(relation, xid, current.type_names)
        labels = Labels.of(resolved.known, found)
        schema = labels.completed(resolved.schema, event)
        known = resolved.known
        if schema != resolved.schema:
            columns = zip(known.columns, schema.columns, strict=True)
            known = replace(
                known,
                schema=schema,
                columns=tuple(replace(column, logical=logical) for column, logical in columns),
            )
        self._unwatch(current)
        for other in self._current[relation.oid]:
            if other.table.schema == schema:
                schema = other.table.schema
        if schema != table.schema:
            table.schema = schema
        self._facts.remember(known, found)
        current.labels = Labels.of(known, found).without_nulls(event)
        current.withheld = resolved.withheld
        self._watch(current)

    def _watch(self, current: _Current) -> None:
        if current.watched:
            self._watched.setdefault(id(current.table.schema), []).append(current)

    def _unwatch(self, current: _Current) -> None:
        place = id(current.table.schema)
        found = [one for one in self._watched.get(place, ()) if one is not current]
        if found:
            self._watched[place] = found
        else:
            self._watched.pop(place, None)


def _fits(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(matches(name, pattern) for name in names for pattern in patterns)
