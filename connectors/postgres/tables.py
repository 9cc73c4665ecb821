"""Which tables a configuration means.

Ordinary tables and leaf partitions that write WAL; never the server's own. A name or glob that fits
a partitioned table means its leaves.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

import psycopg

from cdc.errors import ConfigError
from connectors.postgres.keys import read_indexes

_GLOB_CHARACTERS: Final = frozenset("*?")
_NEAREST_CUTOFF: Final = 0.7


@dataclass(frozen=True, slots=True)
class CapturedTable:
    """A table to capture.

    `rows_estimated` is the planner's number, None before the table's first ANALYZE. `identity` is
    pg_class.relreplident: d, n, f or i. `has_key`: some index can identify its rows; `has_primary`:
    the primary key can. `root` is the qualified name of the topmost partitioned table, else None;
    `ancestors` are all of them, nearest first.
    """

    oid: int
    namespace: str
    table: str
    rows_estimated: int | None
    size_bytes: int
    identity: str
    has_key: bool
    has_primary: bool
    root: str | None
    ancestors: tuple[str, ...] = ()

    @property
    def qualified_name(self) -> str:
        """`namespace.table`, as in configuration; not quoted."""
        return f"{self.namespace}.{self.table}"


@dataclass(frozen=True, slots=True)
class RelationTable:
    """One row of _READ_RELATIONS; `ancestors` are the qualified names above, nearest first."""

    oid: int
    namespace: str
    name: str
    kind: str
    persistence: str
    identity: str
    rows_estimated: int | None
    ancestors: list[str]

    @property
    def qualified_name(self) -> str:
        """`namespace.name`; not quoted."""
        return f"{self.namespace}.{self.name}"


_READ_RELATIONS: Final = r"""
SELECT c.oid::pg_catalog.int8, n.nspname::pg_catalog.text, c.relname::pg_catalog.text,
       c.relkind::pg_catalog.text, c.relpersistence::pg_catalog.text,
       c.relreplident::pg_catalog.text,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::pg_catalog.int8 END,
       ARRAY(
           SELECT pg_catalog.concat(above_schema.nspname, '.', above.relname)
           FROM pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY AS p (relid, place)
           JOIN pg_catalog.pg_class above ON above.oid = p.relid
           JOIN pg_catalog.pg_namespace above_schema ON above_schema.oid = above.relnamespace
           WHERE above.oid <> c.oid
           ORDER BY p.place
       )
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%%'
ORDER BY n.nspname, c.relname
"""
_READ_SIZES: Final = """
SELECT wanted.oid::pg_catalog.int8, coalesce(pg_catalog.pg_table_size(wanted.oid), 0)
FROM pg_catalog.unnest(%s::pg_catalog.oid[]) AS wanted (oid)
"""


def captured_tables(
    connection: psycopg.Connection,
    tables: Sequence[str],
    exclude_tables: Sequence[str] = (),
    roots: Collection[int] = (),
) -> list[CapturedTable]:
    """The tables that the configuration means, by qualified name.

    `roots` are partitioned tables that are captured in place of their partitions. Both lists hold
    names or globs (`*`, `?`) of `schema.table`. Raises ConfigError for a name in `tables` that
    means nothing; a glob may.
    """
    relations = relations_now(connection)
    missing = missing_tables(relations, tables)
    if missing:
        raise ConfigError("; ".join(missing), hint="Correct `tables` in the configuration file.")
    return tables_of(connection, chosen_relations(relations, tables, exclude_tables, roots))


def captured_and_missing(
    connection: psycopg.Connection,
    tables: Sequence[str],
    exclude_tables: Sequence[str] = (),
    roots: Collection[int] = (),
) -> tuple[list[CapturedTable], list[str]]:
    """The tables that the configuration means, and a sentence for each name that means none."""
    relations = relations_now(connection)
    chosen = chosen_relations(relations, tables, exclude_tables, roots)
    return tables_of(connection, chosen), missing_tables(relations, tables)


def chosen_relations(
    relations: Sequence[RelationTable],
    tables: Sequence[str],
    exclude_tables: Sequence[str],
    roots: Collection[int] = (),
) -> list[RelationTable]:
    """The capturable relations that fit `tables` and not `exclude_tables`, parents counting.

    `roots` are partitioned tables that stand for their partitions where they fit themselves.
    """
    by_name = {
        relation.qualified_name: relation
        for relation in relations
        if relation.oid in roots and _fits(relation, tables) and not _fits(relation, exclude_tables)
    }
    chosen = [
        relation
        for relation in relations
        if relation.kind == "r"
        and relation.persistence == "p"
        and _fits(relation, tables)
        and not _fits(relation, exclude_tables)
    ]
    standing: dict[int, RelationTable] = {}
    for relation in chosen:
        above = [by_name[name] for name in relation.ancestors if name in by_name]
        top = above[-1] if above else relation
        standing.setdefault(top.oid, top)
    return list(standing.values())


def missing_tables(relations: Sequence[RelationTable], tables: Sequence[str]) -> list[str]:
    """A sentence for each name without a glob that means no table: why, or the nearest name."""
    by_name = {relation.qualified_name: relation for relation in relations}
    usable = [name for name, relation in by_name.items() if relation.kind in {"r", "p"}]
    sentences = []
    for name in tables:
        if _GLOB_CHARACTERS & set(name):
            continue
        found = by_name.get(name)
        if found is None:
            nearest = get_close_matches(name, usable, 1, _NEAREST_CUTOFF)
            advice = f"; did you mean {nearest[0]}?" if nearest else ""
            sentences.append(f"there is no table {name} in the database{advice}")
        elif found.kind not in {"r", "p"}:
            what = {"v": "view", "m": "materialized view", "f": "foreign table"}[found.kind]
            sentences.append(f"{name} is a {what}, which has no changes of its own to capture")
        elif found.persistence != "p":
            what = "an unlogged" if found.persistence == "u" else "a temporary"
            sentences.append(f"{name} is {what} table, whose changes the server does not log")
    return sentences


def relations_now(connection: psycopg.Connection) -> list[RelationTable]:
    """Every table, view and the like of the database, the server's own left out."""
    # The empty parameter list makes psycopg read %% as one percent sign.
    return [RelationTable(*row) for row in connection.execute(_READ_RELATIONS, [])]


def _fits(relation: RelationTable, patterns: Sequence[str]) -> bool:
    names = (relation.qualified_name, *relation.ancestors)
    return any(matches(name, pattern) for name in names for pattern in patterns)


def matches(name: str, pattern: str) -> bool:
    """Whether a glob of `*` (any characters) and `?` (one) fits the whole name."""
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(escaped, re.DOTALL)


def tables_of(
    connection: psycopg.Connection, relations: Sequence[RelationTable]
) -> list[CapturedTable]:
    """The tables with their sizes and whether they have keys."""
    oids = [relation.oid for relation in relations]
    sizes: dict[int, int] = dict(connection.execute(_READ_SIZES, (oids,)).fetchall())
    indexes = read_indexes(connection, oids)
    return [
        CapturedTable(
            oid=relation.oid,
            namespace=relation.namespace,
            table=relation.name,
            rows_estimated=relation.rows_estimated,
            size_bytes=sizes.get(relation.oid, 0),
            identity=relation.identity,
            has_key=bool(indexes.get(relation.oid)),
            has_primary=any(index.primary for index in indexes.get(relation.oid, [])),
            root=relation.ancestors[-1] if relation.ancestors else None,
            ancestors=tuple(relation.ancestors),
        )
        for relation in relations
    ]
