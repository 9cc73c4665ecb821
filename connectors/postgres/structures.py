"""What a Relation message means here: captured or not, and the structure of its rows."""

from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString

import psycopg

from connectors.postgres.catalog import (
    ExcludedColumns,
    RelationFacts,
    describe,
    relation_without_table,
)
from connectors.postgres.connection import translated
from connectors.postgres.logical_types import read_types
from connectors.postgres.pgoutput import Relation, Table
from connectors.postgres.tables import matches

Connection = psycopg.Connection[tuple[Any, ...]]

_PARENTS: Final[LiteralString] = """
SELECT pg_catalog.concat(n.nspname, '.', c.relname)
FROM pg_catalog.pg_partition_ancestors(%s::pg_catalog.oid::pg_catalog.regclass) p
JOIN pg_catalog.pg_class c ON c.oid = p.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""


class Structures:
    """Looks relations up in the catalog when the stream names them.

    Equal structures are one object, so that what is planned per structure stays planned.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        database: str,
        tables: Sequence[str],
        exclude_tables: Sequence[str],
        excluded_columns: ExcludedColumns = (),
    ) -> None:
        """`connection` gives an open one; the tables are the configured globs.

        `excluded_columns` may have types that are not supported.
        """
        self._connection = connection
        self._database = database
        self._tables = tables
        self._exclude_tables = exclude_tables
        self._excluded_columns = excluded_columns
        self._known: dict[int, tuple[Relation, Table]] = {}

    def resolve(self, relation: Relation) -> Table | None:
        """What the decoder needs of the relation, None when it is not captured.

        Raises SchemaError for a type that cannot be captured, TransientError for a lost connection.
        """
        with translated(f"looking up {relation.namespace}.{relation.name} in the catalog"):
            if not self._is_captured(relation):
                return None
            facts = self._facts(relation)
        known = self._known.get(relation.oid)
        if known is not None:
            same = known[1].schema == facts.schema and known[0].columns == relation.columns
            if same or (not facts.exact and known[0] == relation):
                # The catalog has moved on, or has nothing new: what was known then still holds.
                self._known[relation.oid] = (relation, known[1])
                return known[1]
        in_identity = tuple(column.in_identity for column in relation.columns)
        table = Table(facts.schema, facts.layout, in_identity)
        self._known[relation.oid] = (relation, table)
        return table

    def _facts(self, relation: Relation) -> RelationFacts:
        connection = self._connection()
        facts = describe(connection, [relation.oid], self._excluded_columns).get(relation.oid)
        if facts is not None:
            return facts.for_relation(relation)
        types = read_types(connection, {column.type_oid for column in relation.columns})
        return relation_without_table(self._database, relation, types)

    def _is_captured(self, relation: Relation) -> bool:
        # The name at the time of the change decides; a partition is also meant by its parents'.
        names = [f"{relation.namespace}.{relation.name}"]
        names += (name for (name,) in self._connection().execute(_PARENTS, (relation.oid,)))
        return _fits(names, self._tables) and not _fits(names, self._exclude_tables)


def _fits(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(matches(name, pattern) for name in names for pattern in patterns)
