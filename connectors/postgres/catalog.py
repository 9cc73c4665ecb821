"""What the database's catalog says about captured tables.

Every query names its schema and takes its values as parameters. The session must have
`decoders.SESSION_SETTINGS`, the empty search_path above all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg

from cdc.errors import SchemaError
from cdc.event import RowLayout
from cdc.schema import NO_DEFAULT, Column, LogicalType, String, TableSchema
from connectors.postgres.column_rules import NO_RULES, ColumnRules
from connectors.postgres.defaults import Expression, defaults_of
from connectors.postgres.keys import NO_KEY, Index, choose_key, read_indexes
from connectors.postgres.logical_types import Types, read_types
from connectors.postgres.resolution import (
    KnownColumn,
    KnownTable,
    layout_of,
    places,
)
from connectors.postgres.tables import (
    CapturedTable,
    captured_tables,
    chosen_relations,
    relations_now,
    tables_of,
)
from connectors.postgres.xids import made_by

__all__ = [
    "CapturedTable",
    "ColumnFacts",
    "TableFacts",
    "UnsupportedColumn",
    "captured_tables",
    "chosen_relations",
    "describe",
    "refuse_unsupported",
    "relations_now",
    "tables_of",
]


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
    when the type is not supported and the column is not excluded. `made` is the 64-bit id of the
    transaction that last changed the column or its default.
    """

    name: str
    attnum: int
    type_oid: int
    typmod: int
    not_null: bool
    generated: bool
    type_text: str
    logical: Column | None
    made: int = 0


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
    rules: ColumnRules = NO_RULES

    def known(self, ancestors: tuple[str, ...] = ()) -> KnownTable:
        """What a change of this table can be read with; without columns that are not supported."""
        columns = tuple(
            KnownColumn(
                column.type_oid, column.typmod, column.not_null, column.made, column.logical
            )
            for column in self.columns
            if column.logical is not None
        )
        names = self.schema.key_names
        key = self.key
        return KnownTable(
            self.oid, self.schema, columns, names, key.primary, key.made, self.toasts, ancestors
        )


def refuse_unsupported(facts: Iterable[TableFacts]) -> None:
    """Raise SchemaError that names every column that cannot be captured, if there is one."""
    found = [unsupported for table in facts for unsupported in table.unsupported]
    if found:
        names = ", ".join(f"{one.table}.{one.column} ({one.type_text})" for one in found)
        raise SchemaError(
            f"columns have types that cannot be captured: {names}",
            hint="Exclude them with a `columns` transform, or their tables with `exclude_tables`.",
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
       a.attstorage <> 'p' AND a.attlen = -1,
       a.xmin::pg_catalog.text::pg_catalog.int8,
       coalesce(d.xmin::pg_catalog.text::pg_catalog.int8, 0),
       (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
        ::pg_catalog.text::pg_catalog.int8)
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
    written: int
    default_written: int
    next_xid: int

    @property
    def made(self) -> int:
        """The 64-bit id of the transaction that last changed the column or its default."""
        written = (self.written, self.default_written)
        return max(made_by(xid, self.next_xid) for xid in written)


def describe(
    connection: psycopg.Connection, oids: Iterable[int], rules: ColumnRules = NO_RULES
) -> dict[int, TableFacts]:
    """The facts of these tables by oid; tables that are gone are left out.

    All is read in one transaction or savepoint. Columns that `rules` exclude may have types that
    are not supported: their values are the server's text.
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
            _facts_of(row, f"{namespace}.{name}", types, defaults, rules) for row in own
        )
        toasts = has_toast and any(row.toastable and not row.generated for row in own)
        place = (oid, database, namespace, name, identity)
        key = choose_key(indexes.get(oid, []))
        facts[oid] = _table_facts(place, columns, key, toasts, types, rules)
    return facts


def _table_facts(
    place: tuple[int, str, str, str, str],
    columns: tuple[ColumnFacts, ...],
    key: Index,
    toasts: bool,  # noqa: FBT001 - one caller
    types: Types,
    rules: ColumnRules,
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
        key=places([names[attnum] for attnum in key.columns], logical),
        partial=toasts and identity != "f",
    )
    unsupported = tuple(
        UnsupportedColumn(schema.qualified_name, column.name, column.type_text)
        for column in streamed
        if column.logical is None
    )
    layout = layout_of(logical)
    return TableFacts(
        oid, schema, layout, columns, identity, key, toasts, types, unsupported, rules
    )


def _facts_of(
    row: _ColumnRow,
    table: str,
    types: Types,
    defaults: Mapping[tuple[int, int], object],
    rules: ColumnRules,
) -> ColumnFacts:
    kind: LogicalType | None = types.resolve(row.type_oid, row.typmod)
    if kind is None and rules.is_excluded(table, row.name):
        kind = String(row.type_text)
    logical = None
    if kind is not None:
        nullable = not (row.not_null or types.not_null(row.type_oid))
        default = defaults.get((row.table, row.attnum), NO_DEFAULT)
        attributes = rules.attributes(table, row.name, row.type_oid, row.typmod, types)
        logical = Column(row.name, kind, nullable, default, attributes)
    return ColumnFacts(
        row.name, row.attnum, row.type_oid, row.typmod, row.not_null, row.generated, row.type_text,
        logical, row.made,
    )  # fmt: skip


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
