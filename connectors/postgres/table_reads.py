"""What a snapshot reads of each table: which relations, which columns and rows, in what order.

A publication's column list and row filter hold for the snapshot as they do for the stream; to that
comes what the configuration says under `snapshot_tables`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.errors import ConfigError, SourceRefused
from connectors.postgres.catalog import describe
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.config import Config, SnapshotTable
from connectors.postgres.connection import rows_of, translated
from connectors.postgres.publication_facts import Publication, read_publication
from connectors.postgres.range_copy import RangeSource
from connectors.postgres.refusals import session_error
from connectors.postgres.row_form import row_form, unread_columns
from connectors.postgres.tables import CapturedTable, matches
from connectors.postgres.view import SAVEPOINT

Connection = psycopg.Connection[tuple[Any, ...]]

# Scans of a range of places exist since 14; before, each would read the whole table.
RANGES_SINCE: Final = 140_000
_NARROWED_SINCE: Final = 150_000

# A partitioned table has no rows of its own, its leaves have them.
_RELATIONS: Final[LiteralString] = """
SELECT wanted.oid::pg_catalog.int8, c.oid::pg_catalog.int8, n.nspname::pg_catalog.text,
       c.relname::pg_catalog.text, c.relkind::pg_catalog.text,
       coalesce(pg_catalog.pg_relation_size(c.oid), 0)
           / pg_catalog.current_setting('block_size')::pg_catalog.int8
FROM pg_catalog.unnest(%s::pg_catalog.oid[]) WITH ORDINALITY AS wanted (oid, place)
JOIN pg_catalog.pg_class captured ON captured.oid = wanted.oid
CROSS JOIN LATERAL (
    SELECT wanted.oid AS oid WHERE captured.relkind <> 'p'
    UNION ALL
    SELECT leaf.relid FROM pg_catalog.pg_partition_tree(wanted.oid) leaf
    WHERE captured.relkind = 'p' AND leaf.isleaf AND leaf.relid <> wanted.oid
) AS part
JOIN pg_catalog.pg_class c ON c.oid = part.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY wanted.place, n.nspname, c.relname
"""
# Column lists and filters of the publication, and the generated columns that it sends.
_NARROWED: Final[LiteralString] = """
SELECT wanted.oid::pg_catalog.int8,
       CASE WHEN r.prattrs IS NOT NULL OR p.generated THEN ARRAY(
           SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = wanted.oid AND a.attnum > 0 AND NOT a.attisdropped
             AND CASE WHEN r.prattrs IS NULL THEN a.attgenerated IN ('', 's')
                      ELSE a.attnum = ANY (r.prattrs::pg_catalog.int2[]) END
           ORDER BY a.attnum) END,
       pg_catalog.pg_get_expr(r.prqual, r.prrelid)
FROM pg_catalog.unnest(%s::pg_catalog.oid[]) AS wanted (oid)
CROSS JOIN (
    SELECT p.oid, pg_catalog.to_jsonb(p) ->> 'pubgencols' = 's' IS TRUE AS generated
    FROM pg_catalog.pg_publication p WHERE p.pubname = %s
) AS p
LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = wanted.oid
WHERE r.prattrs IS NOT NULL OR r.prqual IS NOT NULL OR p.generated
"""
_HIDDEN: Final[LiteralString] = """
SELECT n.nspname::pg_catalog.text || '.' || c.relname::pg_catalog.text,
       pg_catalog.quote_ident(current_user)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s::pg_catalog.oid[]) AND pg_catalog.row_security_active(c.oid)
ORDER BY 1
"""
# The view's catalog beside the present: the relation's file, and every name that is about to be
# used. A column that took another's name would otherwise give that one's values.
_UNCHANGED: Final[LiteralString] = """
SELECT c.relfilenode IS NOT DISTINCT FROM coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)
   AND NOT EXISTS (
       SELECT FROM pg_catalog.pg_attribute a
       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         AND (pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass,
                                            a.attrelid, a.attnum)).identity
             IS DISTINCT FROM pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = """


@dataclass(frozen=True, slots=True)
class Piece:
    """A relation that holds rows of a table: the table itself, or a leaf of it.

    `pages` is how many it had when the view began, 0 where it has no storage here.
    """

    oid: int
    namespace: str
    name: str
    pages: int

    @property
    def qualified_name(self) -> str:
        """`namespace.table`, not quoted."""
        return f"{self.namespace}.{self.name}"


@dataclass(frozen=True, slots=True)
class TableRead:
    """How one table is read.

    `published`: the columns that the stream has, None for all. `wanted`: those of them to read,
    None for all; the others come as not sent. `conditions` are SQL. `in_ranges`: it may be read
    range by range of its pages. `narrowed` is what the publication has for it, see Publication.
    """

    table: CapturedTable
    pieces: tuple[Piece, ...]
    published: tuple[str, ...] | None = None
    wanted: tuple[str, ...] | None = None
    conditions: tuple[str, ...] = ()
    in_ranges: bool = True
    narrowed: str | None = None


PageRange = tuple[int, int | None]
"""The first page, and the one behind the last; None: to the end."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the configuration says about the snapshot, checked against the tables there are.

    `by_index` are the oids of tables whose condition the server would answer by an index.
    """

    order: tuple[str, ...] = ()
    tables: Mapping[int, SnapshotTable] = field(default_factory=dict)
    by_index: frozenset[int] = frozenset()


def check_wishes(
    connection: Connection,
    config: Config,
    tables: Sequence[CapturedTable],
    captured: Sequence[CapturedTable],
) -> Wishes:
    """What the configuration wants of `tables`, some of `captured`, before anything is made.

    Raises what `understood_wishes` raises, and SourceRefused when a policy would hide rows.
    """
    oids = [table.oid for table in tables]
    hidden = rows_of(connection, "looking for row-level security", _HIDDEN, (oids,))
    if hidden and config.snapshot != "never":
        role = hidden[0][1]
        raise SourceRefused(
            f"row-level security would hide rows of {', '.join(name for name, _ in hidden)} from "
            "the snapshot",
            hint=f"Run: ALTER ROLE {role} BYPASSRLS; (or let the role own the tables, or exclude "
            "them)",
        )
    return understood_wishes(connection, config, tables, captured)


def understood_wishes(
    connection: Connection,
    config: Config,
    tables: Sequence[CapturedTable],
    captured: Sequence[CapturedTable],
) -> Wishes:
    """The wishes of the configuration for `tables`, some of `captured`.

    Raises ConfigError for a name that means no captured table or column, and for a condition that
    the server does not understand.
    """
    _require_captured("snapshot_tables", config.snapshot_tables, captured)
    _require_captured("snapshot_order", config.snapshot_order, captured)
    _require_columns(connection, config, tables)
    wishes: dict[int, SnapshotTable] = {}
    by_index: set[int] = set()
    for pattern, wish in config.snapshot_tables.items():
        for table in tables:
            if not matches(table.qualified_name, pattern):
                continue
            if wishes.setdefault(table.oid, wish) is wish and wish.where is not None:
                _require_sense(connection, table, pattern, wish.where, by_index)
    return Wishes(config.snapshot_order, wishes, frozenset(by_index))


def ordered(tables: Sequence[CapturedTable], order: Sequence[str]) -> list[CapturedTable]:
    """The tables by the first pattern of `order` that means them; the others behind."""

    def place(table: CapturedTable) -> int:
        fits = (index for index, name in enumerate(order) if matches(table.qualified_name, name))
        return next(fits, len(order))

    return sorted(tables, key=place)


def plan_reads(
    connection: Connection,
    tables: Sequence[CapturedTable],
    wishes: Wishes,
    publication: str | None,
) -> list[TableRead]:
    """How each table is read in the view that is open on `connection`, in order."""
    oids = [table.oid for table in tables]
    doing = "looking up the tables of the snapshot"
    pieces: dict[int, list[Piece]] = {}
    partitioned: set[int] = set()
    for captured, oid, namespace, name, _, pages in rows_of(connection, doing, _RELATIONS, (oids,)):
        pieces.setdefault(captured, []).append(Piece(oid, namespace, name, pages))
        if oid != captured:
            partitioned.add(captured)
    narrowed: dict[int, tuple[list[str] | None, str | None]] = {}
    found: Publication | None = None
    version = connection.info.server_version
    if publication is not None and version >= _NARROWED_SINCE:
        rows = rows_of(connection, doing, _NARROWED, (oids, publication))
        narrowed = {oid: (columns, condition) for oid, columns, condition in rows}
        found = read_publication(connection, publication)
    reads = []
    for table in ordered(tables, wishes.order):
        published, condition = narrowed.get(table.oid, (None, None))
        wish = wishes.tables.get(table.oid, SnapshotTable())
        reads.append(
            TableRead(
                table,
                # A table that is gone is asked for all the same: the error names it.
                tuple(pieces.get(table.oid) or [Piece(table.oid, table.namespace, table.table, 0)]),
                None if published is None else tuple(published),
                wish.columns,
                tuple(each for each in (condition, wish.where) if each is not None),
                version >= RANGES_SINCE and table.oid not in wishes.by_index,
                None if found is None else found.narrowed.get(table.oid),
            )
        )
    return reads


def ranges(read: TableRead, pages_max: int) -> Iterator[tuple[Piece, PageRange]]:
    """The relations of the table, those with more than `pages_max` pages in several ranges.

    The last range of each has no end: nobody knows better than the server where the rows end.
    """
    for piece in read.pieces:
        begin = 0
        while read.in_ranges and piece.pages - begin > pages_max:
            yield piece, (begin, begin + pages_max)
            begin += pages_max
        yield piece, (begin, None)


def range_source(
    read: TableRead, piece: Piece, pages: PageRange, columns: Sequence[str]
) -> RangeSource:
    """What reads these rows; at the end it goes back to the savepoint, which gives up the lock."""
    name = sql.Identifier(piece.namespace, piece.name)
    statements = sql.SQL(
        "LOCK TABLE ONLY {name} IN ACCESS SHARE MODE; {unchanged}{oid}; COPY {copied} TO STDOUT; "
        "ROLLBACK TO SAVEPOINT {savepoint}"
    ).format(
        savepoint=sql.Identifier(SAVEPOINT),
        name=name,
        unchanged=sql.SQL(_UNCHANGED),
        oid=sql.Literal(piece.oid),
        copied=_copied(name, pages, columns, read.conditions),
    )
    return RangeSource(read.table.qualified_name, statements.as_string(None))


def _copied(
    name: sql.Identifier,
    pages: PageRange,
    columns: Sequence[str],
    conditions: Sequence[str],
) -> sql.Composable:
    begin, end = pages
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    # An operator's condition may end with a comment.
    wanted: list[sql.Composable] = [
        sql.SQL("(") + _raw(condition) + sql.SQL("\n)") for condition in conditions
    ]
    if begin:
        wanted.append(sql.SQL("ctid >= {}").format(sql.Literal(f"({begin},0)")))
    if end is not None:
        wanted.append(sql.SQL("ctid < {}").format(sql.Literal(f"({end},0)")))
    if not wanted:
        wanted.append(sql.SQL("true"))
    return sql.SQL("(SELECT {} FROM ONLY {} WHERE {})").format(
        listed, name, sql.SQL(" AND ").join(wanted)
    )


def _raw(condition: str) -> sql.Composable:
    # The operator's own SQL, or the server's own form of a filter.
    return sql.SQL(condition)


def _require_captured(option: str, names: Iterable[str], captured: Sequence[CapturedTable]) -> None:
    """A wish for a misspelled name would be passed over, and its table be read whole."""
    known = {table.qualified_name for table in captured}
    for name in names:
        if name in known or not {"*", "?", "["}.isdisjoint(name):
            continue
        nearest = get_close_matches(name, sorted(known), 1)
        raise ConfigError(
            f"`{option}` names {name}, which is no table that is captured"
            + (f"; did you mean {nearest[0]}?" if nearest else ""),
            hint=f"Correct `{option}`, or let `tables` mean the table.",
        )


def _require_columns(
    connection: Connection, config: Config, tables: Sequence[CapturedTable]
) -> None:
    wanted = {
        table.oid: wish.columns
        for pattern, wish in reversed(config.snapshot_tables.items())
        for table in tables
        if wish.columns is not None and matches(table.qualified_name, pattern)
    }
    with translated("reading the catalog"):
        facts = describe(connection, list(wanted), ColumnRules((("*", "*"),)))
    for oid, found in facts.items():
        unread_columns(row_form(found, None), wanted[oid])


def _require_sense(
    connection: Connection, table: CapturedTable, pattern: str, where: str, by_index: set[int]
) -> None:
    name = sql.Identifier(table.namespace, table.table)
    # Between brackets, a parenthesis that closes ours is an error; alone it would change what the
    # other conditions of the statement mean.
    whole = sql.SQL("EXPLAIN SELECT FROM ONLY {} WHERE (ARRAY[{}\n])[1]").format(name, _raw(where))
    planned = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM ONLY {} WHERE ({}\n)").format(
        name, _raw(where)
    )
    try:
        connection.execute(whole)
        row = connection.execute(planned).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise session_error(error, f"planning how to read {table.qualified_name}") from error
    except (psycopg.ProgrammingError, psycopg.DataError) as error:
        raise ConfigError(
            f"`where` of {pattern} under `snapshot_tables` is no condition on "
            f"{table.qualified_name}: {error.diag.message_primary}",
            hint="Write it as behind WHERE, with schemas in front of functions that are not the "
            "server's own.",
        ) from error
    assert row is not None
    if _uses_index(row[0][0]["Plan"]):
        by_index.add(table.oid)


def _uses_index(plan: Mapping[str, Any]) -> bool:
    return "Index" in plan["Node Type"] or any(map(_uses_index, plan.get("Plans", ())))
