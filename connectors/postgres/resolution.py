"""The structure of rows at the time of a change: from a Relation message and what is known besides.

Pure. A Relation gives names, types and identity columns as they were. What it lacks (the key under
other identities, NOT NULL, defaults, labels of enums) is taken from candidates: the catalog as it
is now, then the facts that the checkpoint remembers. Each fact names the transaction that made it,
and one that is made by a later transaction than the change's own is not used.

Transactions are told apart by their ids. An id is given out at a transaction's first write, so two
that overlap may have committed the other way round: only for these a fact may be of the wrong side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cdc.errors import SchemaError
from cdc.event import RowLayout
from cdc.schema import NO_DEFAULT, Column, Enum, String, TableSchema
from connectors.postgres.column_rules import NO_RULES, ColumnRules
from connectors.postgres.decoders import decoder, form
from connectors.postgres.logical_types import BUILT_IN_OIDS, TypeFacts, Types
from connectors.postgres.pgoutput import Relation, RelationColumn


@dataclass(frozen=True, slots=True)
class KnownColumn:
    """A column, and the transaction that made it so.

    `not_null` is the column's own constraint, without that of a domain; `logical` counts both.
    """

    type_oid: int
    typmod: int
    not_null: bool
    made: int
    logical: Column


@dataclass(frozen=True, slots=True)
class KnownTable:
    """What is known about a table besides what a Relation says.

    `schema` names it and its database; its columns are those of `columns` but for some that are
    not streamed. `key` are names, of the primary key if `key_primary`. `toasts`: unchanged values
    may be missing from updates. `ancestors` are the qualified names of the tables it is a partition
    of.
    """

    oid: int
    schema: TableSchema
    columns: tuple[KnownColumn, ...]
    key: tuple[str, ...]
    key_primary: bool
    key_made: int
    toasts: bool
    ancestors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """The structure of the rows that follow a Relation.

    `withheld` is the first transaction after the change's own that made facts which were left out,
    None when there is none: from that transaction on the structure may be another one.
    """

    known: KnownTable
    layout: RowLayout
    withheld: int | None

    @property
    def schema(self) -> TableSchema:
        """The structure."""
        return self.known.schema


def resolve(
    relation: Relation,
    xid: int,
    candidates: Sequence[KnownTable],
    types: Types,
    database: str,
    type_names: Mapping[int, str],
    rules: ColumnRules = NO_RULES,
) -> Resolved:
    """The structure of changes of transaction `xid`, which follow `relation`.

    `candidates` in order of preference. `types` are those of that time, see `types_at`;
    `type_names` are names for messages, by oid. Raises SchemaError, with the names, for a type that
    cannot be captured, or that was gone before it was known.
    """
    resolution = _Resolution(relation, xid, candidates, types, type_names, rules)
    columns = tuple(resolution.column(sent) for sent in relation.columns)
    key, primary, made = resolution.key()
    logical = tuple(column.logical for column in columns)
    toasts = candidates[0].toasts if candidates else True
    schema = TableSchema(
        database=database,
        namespace=relation.namespace,
        table=relation.name,
        columns=logical,
        key=places(key, logical),
        partial=toasts and relation.identity != "f",
    )
    ancestors = candidates[0].ancestors if candidates else ()
    known = KnownTable(relation.oid, schema, columns, key, primary, made, toasts, ancestors)
    return Resolved(known, layout_of(logical), resolution.withheld)


def types_at(xid: int, catalog: Types, remembered: Types) -> tuple[Types, int | None]:
    """The types as transaction `xid` saw them, and the first later one that changed one, or None.

    A type that is gone is as it is remembered.
    """
    found = dict(remembered.facts)
    withheld: int | None = None
    for oid, facts in catalog.facts.items():
        later = [made for made in (facts.made, *facts.labels_made) if made > xid]
        found[oid] = _type_at(xid, facts, remembered.facts.get(oid)) if later else facts
        if later and found[oid] != facts:
            withheld = min(later if withheld is None else [withheld, *later])
    return Types(found), withheld


def _type_at(xid: int, facts: TypeFacts, remembered: TypeFacts | None) -> TypeFacts:
    """The type before later transactions: without what they added.

    A label that they renamed has the name that is remembered.
    """
    old = remembered if remembered is not None and remembered.made <= xid else None
    not_null = facts.not_null if facts.made <= xid else old is not None and old.not_null
    kept = {
        label: made
        for label, made in zip(facts.labels, facts.labels_made, strict=True)
        if made <= xid
    }
    if old is not None:
        before = dict(zip(old.labels, old.labels_made, strict=True))
        gone = {label: made for label, made in before.items() if label not in facts.labels}
        # Where nothing was added since, the remembered order is that of then.
        kept = before if kept.keys() <= before.keys() else kept | gone
    return replace(facts, not_null=not_null, labels=tuple(kept), labels_made=tuple(kept.values()))


class _Resolution:
    """One call of `resolve`; `withheld` grows while it goes."""

    def __init__(
        self,
        relation: Relation,
        xid: int,
        candidates: Sequence[KnownTable],
        types: Types,
        type_names: Mapping[int, str],
        rules: ColumnRules,
    ) -> None:
        self.withheld: int | None = None
        self._relation = relation
        self._table = f"{relation.namespace}.{relation.name}"
        self._xid = xid
        self._candidates = candidates
        self._types = types
        self._type_names = type_names
        self._rules = rules
        self._sent = {column.name: column for column in relation.columns}

    def column(self, sent: RelationColumn) -> KnownColumn:
        """The column as it was, nullable and without a default where that is not known."""
        for candidate in self._candidates:
            for known in candidate.columns:
                if known.logical.name == sent.name and _same_type(sent, known):
                    if self._is_of_its_time(known.made):
                        return self._as_of_now(sent, known)
                    break
        kind = self._types.resolve(sent.type_oid, sent.type_modifier)
        relation, table = self._relation, self._table
        name = self._type_name(sent.type_oid)
        if kind is None and self._rules.is_excluded(table, sent.name):
            kind = String(name)
        if kind is None:
            raise SchemaError(
                f"column {sent.name} of {table} has the type {name}, which Tidewire does not "
                "capture, or which was gone from the database before it was looked up",
                hint="Exclude it with a `columns` transform, or the table with `exclude_tables`; "
                "then restart the source.",
            )
        # What identifies rows is NOT NULL, unless it is the whole row.
        not_null = sent.in_identity and relation.identity in {"d", "i"}
        nullable = not (not_null or self._types.not_null(sent.type_oid))
        logical = Column(sent.name, kind, nullable, attributes=self._attributes(sent))
        return KnownColumn(sent.type_oid, sent.type_modifier, not_null, 0, logical)

    def key(self) -> tuple[tuple[str, ...], bool, int]:
        """The key's columns, whether they are the primary key, and who made it.

        Under identity DEFAULT the message marks the columns of the primary key, so it decides;
        candidates add their order, and a unique index where there is no primary key.
        """
        relation = self._relation
        marked = tuple(column.name for column in relation.columns if column.in_identity)
        for known in self._candidates:
            if relation.identity == "d" and (marked or known.key_primary):
                fits = known.key_primary and set(known.key) == set(marked)
            else:
                fits = self._has(known)
            if fits and self._is_of_its_time(known.key_made):
                return known.key, known.key_primary, known.key_made
        return (marked if relation.identity in {"d", "i"} else ()), relation.identity == "d", 0

    def _has(self, known: KnownTable) -> bool:
        """Whether the key's columns were there, and of the same types."""
        columns = {column.logical.name: column for column in known.columns}
        return all(
            name in self._sent and _same_type(self._sent[name], columns[name]) for name in known.key
        )

    def _is_of_its_time(self, made: int) -> bool:
        if made <= self._xid:
            return True
        self.withheld = made if self.withheld is None else min(self.withheld, made)
        return False

    def _as_of_now(self, sent: RelationColumn, known: KnownColumn) -> KnownColumn:
        """The column with its type as it was, which may have had fewer labels."""
        kind = self._types.resolve(sent.type_oid, sent.type_modifier)
        if kind is None:
            return known
        default = known.logical.default
        if isinstance(kind, Enum) and default not in kind.labels:
            default = NO_DEFAULT
        nullable = not (known.not_null or self._types.not_null(sent.type_oid))
        logical = replace(
            known.logical,
            type=kind,
            nullable=nullable,
            default=default,
            attributes=self._attributes(sent),
        )
        return known if logical == known.logical else replace(known, logical=logical)

    def _attributes(self, sent: RelationColumn) -> tuple[tuple[str, str], ...]:
        place = (sent.type_oid, sent.type_modifier)
        return self._rules.attributes(self._table, sent.name, *place, self._types)

    def _type_name(self, oid: int) -> str:
        facts = self._types.facts.get(oid)
        if facts is not None:
            return facts.name
        if oid in BUILT_IN_OIDS:
            return f"oid {oid}"
        return self._type_names.get(oid, f"oid {oid}")


def _same_type(sent: RelationColumn, known: KnownColumn) -> bool:
    return sent.type_oid == known.type_oid and sent.type_modifier == known.typmod


def places(names: Sequence[str], columns: Sequence[Column]) -> tuple[int, ...]:
    """Where the named columns are."""
    found = {column.name: place for place, column in enumerate(columns)}
    return tuple(found[name] for name in names)


def layout_of(columns: Sequence[Column]) -> RowLayout:
    """How rows of these columns are decoded."""
    return RowLayout(
        tuple(decoder(column.type) for column in columns),
        tuple(form(column.type) for column in columns),
    )
