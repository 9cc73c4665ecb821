"""What the database's catalog says about captured tables, and what a Relation message makes of it.

Every query names its schema and takes its values as parameters. The session must have
`decoders.SESSION_SETTINGS`, the empty search_path above all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

import psycopg

from cdc.errors import SchemaError
from cdc.event import RowLayout
from cdc.schema import NO_DEFAULT, Column, LogicalType, String, TableSchema
from connectors.postgres.decoders import decoder, form
from connectors.postgres.defaults import Expression, defaults_of
from connectors.postgres.keys import NO_KEY, Index, choose_key, read_indexes
from connectors.postgres.logical_types import Types, read_types
from connectors.postgres.pgoutput import Relation, RelationColumn
from connectors.postgres.tables import CapturedTable, captured_tables

__all__ = [
    "CapturedTable",
    "ColumnFacts",
    "RelationFacts",
    "TableFacts",
    "UnsupportedColumn",
    "captured_tables",
    "describe",
    "refuse_unsupported",
    "relation_without_table",
]

ExcludedColumns = Sequence[tuple[str, str]]
"""Globs of qualified table names, and of columns there, that a transform removes from rows."""


@dataclass(frozen=True, slots=True)
class UnsupportedColumn:
    """A column that cannot be captured: `type_text` as format_type writes it."""

    table: str
    column: str
    type_text: str


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column of the catalog.

    `generated` columns are not streamed, so the table's schema leaves them out. `logical` is None
    when the type is not supported and the column is not excluded.
    """

    name: str
    attnum: int
    type_oid: int
    typmod: int
    not_null: bool
    generated: bool
    type_text: str
    logical: Column | None


@dataclass(frozen=True, slots=True)
class RelationFacts:
    """The structure of rows that follow one Relation message.

    `exact` is False when the catalog no longer (or not yet) agrees with the message: names and
    types are then the message's own, defaults and nullability are known where columns still match.
    """

    schema: TableSchema
    layout: RowLayout
    exact: bool


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the catalog says about one table now.

    `schema` and `layout` hold the columns that are streamed, in catalog order; `columns` all of
    them. `identity` is pg_class.relreplident: d, n, f or i. `key` is the chosen index. `toasts`:
    the table has out-of-line storage, so unchanged values may be missing from updates.
    """

    oid: int
    schema: TableSchema
    layout: RowLayout = field(compare=False)
    columns: tuple[ColumnFacts, ...]
    identity: str
    key: Index
    toasts: bool
    types: Types
    unsupported: tuple[UnsupportedColumn, ...] = ()

    def for_relation(self, relation: Relation) -> RelationFacts:
        """The facts in the order and with the columns of a Relation message.

        The message wins where the two differ, since it is of the time of the change. Raises
        SchemaError for a column whose type is not supported, or gone before it was known.
        """
        known = {column.name: column for column in self.columns}
        columns: list[Column] = []
        exact = relation.namespace == self.schema.namespace and relation.name == self.schema.table
        for sent in relation.columns:
            facts = known.get(sent.name)
            if facts is None or not _same_type(sent, facts):
                exact = False
                facts = None
            columns.append(_column_of(relation, sent, facts, self.types))
        sent_names = {sent.name for sent in relation.columns}
        expected = {column.name for column in self.columns if not column.generated}
        exact = exact and expected <= sent_names and relation.identity == self.identity
        key_names, key_agrees = self._key_of(relation)
        schema = TableSchema(
            database=self.schema.database,
            namespace=relation.namespace,
            table=relation.name,
            columns=tuple(columns),
            key=_places(key_names, columns),
            partial=self.toasts and relation.identity != "f",
        )
        if schema == self.schema:
            return RelationFacts(self.schema, self.layout, exact and key_agrees)
        return RelationFacts(schema, _layout(columns), exact and key_agrees)

    def _key_of(self, relation: Relation) -> tuple[tuple[str, ...], bool]:
        """The key's columns at the time of the message, and whether the catalog agrees.

        Under identity DEFAULT the message marks the columns of the primary key, so it decides; the
        catalog adds their order, and a unique index where there is no primary key.
        """
        sent = {column.name: column for column in relation.columns}
        marked = tuple(column.name for column in relation.columns if column.in_identity)
        names = self.schema.key_names
        known = {column.name: column for column in self.columns}
        intact = all(name in sent and _same_type(sent[name], known[name]) for name in names)
        if relation.identity == "d" and (marked or self.key.primary):
            return (names, True) if set(marked) == set(names) else (marked, False)
        if intact:
            return names, True
        return (marked if relation.identity == "i" else ()), False


def relation_without_table(database: str, relation: Relation, types: Types) -> RelationFacts:
    """The facts of a Relation whose table is gone from the catalog: what the message alone says.

    `types` may hold what is known about types that are not built in. Raises SchemaError for others.
    """
    columns = [_column_of(relation, sent, None, types) for sent in relation.columns]
    marked = tuple(column.name for column in relation.columns if column.in_identity)
    schema = TableSchema(
        database=database,
        namespace=relation.namespace,
        table=relation.name,
        columns=tuple(columns),
        key=_places(marked if relation.identity in {"d", "i"} else (), columns),
        partial=relation.identity != "f",
    )
    return RelationFacts(schema, _layout(columns), exact=False)


def refuse_unsupported(facts: Iterable[TableFacts]) -> None:
    """Raise SchemaError that names every column that cannot be captured, if there is one."""
    found = [unsupported for table in facts for unsupported in table.unsupported]
    if found:
        names = ", ".join(f"{one.table}.{one.column} ({one.type_text})" for one in found)
        raise SchemaError(
            f"columns have types that Tidewire does not capture yet: {names}",
            hint="Exclude them with a `columns` transform, or their tables with `exclude_tables`.",
        )


def _same_type(sent: RelationColumn, facts: ColumnFacts) -> bool:
    return sent.type_oid == facts.type_oid and sent.type_modifier == facts.typmod


def _column_of(
    relation: Relation, sent: RelationColumn, facts: ColumnFacts | None, types: Types
) -> Column:
    if facts is not None and facts.logical is not None:
        return facts.logical
    kind = types.resolve(sent.type_oid, sent.type_modifier) if facts is None else None
    if kind is None:
        name = f"oid {sent.type_oid}" if facts is None else facts.type_text
        raise SchemaError(
            f"column {sent.name} of {relation.namespace}.{relation.name} has the type {name}, "
            "which Tidewire does not capture or which is gone from the database",
            hint="Exclude it with a `columns` transform, or the table with `exclude_tables`.",
        )
    return Column(sent.name, kind)


def _places(names: Sequence[str], columns: Sequence[Column]) -> tuple[int, ...]:
    places = {column.name: place for place, column in enumerate(columns)}
    return tuple(places[name] for name in names)


def _layout(columns: Sequence[Column]) -> RowLayout:
    return RowLayout(
        tuple(decoder(column.type) for column in columns),
        tuple(form(column.type) for column in columns),
    )


# --- reading --------------------------------------------------------------------------------------

_READ_TABLES: Final = """
SELECT c.oid::pg_catalog.int8, pg_catalog.current_database()::pg_catalog.text,
       n.nspname::pg_catalog.text, c.relname::pg_catalog.text,
       c.relreplident::pg_catalog.text, c.reltoastrelid <> 0 OR c.relkind = 'p'
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s::pg_catalog.oid[])
"""
# attstorage: x (extended), e (external) and m (main) may be moved out of line or compressed.
_READ_COLUMNS: Final = """
SELECT a.attrelid::pg_catalog.int8, a.attname::pg_catalog.text, a.attnum::pg_catalog.int8,
       a.atttypid::pg_catalog.int8, a.atttypmod, a.attnotnull, a.attgenerated <> '',
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       a.attstorage <> 'p' AND a.attlen = -1
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY (%s::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
_FORMAT_TYPES: Final = """
SELECT pg_catalog.format_type(wanted.oid, wanted.modifier)
FROM ROWS FROM (
    pg_catalog.unnest(%s::pg_catalog.oid[]), pg_catalog.unnest(%s::pg_catalog.int4[])
) WITH ORDINALITY AS wanted (oid, modifier, place)
ORDER BY wanted.place
"""


@dataclass(frozen=True, slots=True)
class _ColumnRow:
    """One row of _READ_COLUMNS."""

    table: int
    name: str
    attnum: int
    type_oid: int
    typmod: int
    not_null: bool
    generated: bool
    type_text: str
    expression: str | None
    toastable: bool


def describe(
    connection: psycopg.Connection, oids: Iterable[int], excluded: ExcludedColumns = ()
) -> dict[int, TableFacts]:
    """The facts of these tables by oid; tables that are gone are left out.

    All is read in one transaction or savepoint. `excluded` columns may have types that are not
    supported: their values are the server's text.
    """
    asked = list(oids)
    with connection.transaction():
        tables = connection.execute(_READ_TABLES, (asked,)).fetchall()
        rows = [_ColumnRow(*row) for row in connection.execute(_READ_COLUMNS, (asked,))]
        indexes = read_indexes(connection, asked)
        types = read_types(connection, {row.type_oid for row in rows})
        defaults = _read_defaults(connection, rows, types)
    by_table: dict[int, list[_ColumnRow]] = {}
    for row in rows:
        by_table.setdefault(row.table, []).append(row)
    facts: dict[int, TableFacts] = {}
    for oid, database, namespace, name, identity, has_toast in tables:
        own = by_table.get(oid, [])
        columns = tuple(
            _facts_of(row, f"{namespace}.{name}", types, defaults, excluded) for row in own
        )
        toasts = has_toast and any(row.toastable and not row.generated for row in own)
        place = (oid, database, namespace, name, identity)
        facts[oid] = _table_facts(place, columns, choose_key(indexes.get(oid, [])), toasts, types)
    return facts


def _table_facts(
    place: tuple[int, str, str, str, str],
    columns: tuple[ColumnFacts, ...],
    key: Index,
    toasts: bool,  # noqa: FBT001 - one caller
    types: Types,
) -> TableFacts:
    oid, database, namespace, name, identity = place
    streamed = [column for column in columns if not column.generated]
    logical = [column.logical for column in streamed if column.logical is not None]
    names = {column.attnum: column.name for column in columns}
    if not {names[attnum] for attnum in key.columns} <= {column.name for column in logical}:
        # A generated column is not streamed: it cannot identify a row.
        key = NO_KEY
    schema = TableSchema(
        database=database,
        namespace=namespace,
        table=name,
        columns=tuple(logical),
        key=_places([names[attnum] for attnum in key.columns], logical),
        partial=toasts and identity != "f",
    )
    unsupported = tuple(
        UnsupportedColumn(schema.qualified_name, column.name, column.type_text)
        for column in streamed
        if column.logical is None
    )
    layout = _layout(logical)
    return TableFacts(oid, schema, layout, columns, identity, key, toasts, types, unsupported)


def _facts_of(
    row: _ColumnRow,
    table: str,
    types: Types,
    defaults: Mapping[tuple[int, int], object],
    excluded: ExcludedColumns,
) -> ColumnFacts:
    kind: LogicalType | None = types.resolve(row.type_oid, row.typmod)
    if kind is None and _is_excluded(table, row.name, excluded):
        kind = String(row.type_text)
    logical = None
    if kind is not None:
        nullable = not (row.not_null or types.not_null(row.type_oid))
        default = defaults.get((row.table, row.attnum), NO_DEFAULT)
        logical = Column(row.name, kind, nullable, default)
    return ColumnFacts(
        row.name, row.attnum, row.type_oid, row.typmod, row.not_null, row.generated, row.type_text,
        logical,
    )  # fmt: skip


def _is_excluded(table: str, column: str, excluded: ExcludedColumns) -> bool:
    return any(
        fnmatchcase(table, tables) and fnmatchcase(column, columns) for tables, columns in excluded
    )


def _read_defaults(
    connection: psycopg.Connection, rows: Sequence[_ColumnRow], types: Types
) -> dict[tuple[int, int], object]:
    """Defaults by table and attribute number, for columns that have one that is carried."""
    wanted = []
    for row in rows:
        kind = types.resolve(row.type_oid, row.typmod)
        if row.expression is not None and not row.generated and kind is not None:
            wanted.append((row, row.expression, kind, types.base(row.type_oid, row.typmod)))
    bases = [base for *_, base in wanted]
    arguments = ([oid for oid, _ in bases], [modifier for _, modifier in bases])
    texts = [text for (text,) in connection.execute(_FORMAT_TYPES, arguments)]
    expressions = [
        Expression(text, kind, type_text)
        for (_, text, kind, _), type_text in zip(wanted, texts, strict=True)
    ]
    values = defaults_of(connection, expressions)
    return {
        (row.table, row.attnum): value
        for (row, *_), value in zip(wanted, values, strict=True)
        if value is not NO_DEFAULT
    }
