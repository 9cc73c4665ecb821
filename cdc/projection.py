"""ChangeEvent -> Mutations of documents, by a sink's mapping. Pure; one plan per table structure.

How ids are made: a template over columns, `"product:{id}"`; without one, the only key column's
text, or those of all key columns joined by `:` (where `%` and `:` inside a value are escaped, so
that two keys never share an id). A template over other columns than the key needs old rows: an
update may change the id, and then the old document must go.
"""

import re
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from cdc.documents import converter
from cdc.errors import ConfigError, DecodeError, SchemaError
from cdc.event import CREATE, DELETE, READ, TRUNCATE, UNCHANGED, UPDATE, ChangeEvent, Row
from cdc.protocols import Delete, Mutation, Patch, Truncate, Upsert
from cdc.schema import (
    Array,
    Geometry,
    Json,
    LogicalType,
    Map,
    Point,
    SparseVector,
    TableSchema,
    Vector,
)


class TableMapping(BaseModel):
    """How the rows of a table become documents."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str | None = Field(
        default=None,
        validation_alias=AliasChoices("id", "key"),
        description="Template of the document's id, such as `product:{id}`; default: the key.",
    )
    include: tuple[str, ...] | None = Field(
        default=None, description="Columns that go into the document; default: all."
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Columns that do not go into the document."
    )
    rename: MappingOf[str, str] = Field(
        default_factory=dict, description="Names of fields by names of columns."
    )


class Mapping(TableMapping):
    """How the rows of a sink's tables become documents: one rule for all, and rules by table.

    A table named under `mappings` uses only its own rule.
    """

    mappings: MappingOf[str, TableMapping] = Field(
        default_factory=dict,
        description="Rules by `schema.table`, each in place of the common one.",
    )

    def for_table(self, table: str) -> TableMapping:
        """The rule for `schema.table`."""
        return self.mappings.get(table, self)


# What documents show as objects and lists: no text that would tell two rows apart for sure.
_NO_IDS: Final = (Array, Json, Map, Point, Geometry, Vector, SparseVector)
_TEMPLATE_PART: Final = re.compile(r"(\{\{|\}\}|\{[^{}]*\}|[{}])")


def parse_template(template: str) -> list[tuple[str, str]]:
    """A template as (text, column) pairs: the text before each column; the last column is empty.

    `{{` and `}}` stand for single braces. Raises ConfigError for braces that do not match.
    """
    parts: list[tuple[str, str]] = []
    text = ""
    for piece in _TEMPLATE_PART.split(template):
        if piece in {"{{", "}}"}:
            text += piece[0]
        elif piece in {"{", "}", "{}"}:
            raise ConfigError(
                f"the id template {template!r} has {piece!r} without a column's name",
                hint="Write columns as {name}, and a brace itself twice.",
            )
        elif piece.startswith("{"):
            parts.append((text, piece[1:-1]))
            text = ""
        else:
            text += piece
    return [*parts, (text, "")]


class Plan:
    """How the events of one table structure become mutations.

    `documents` is the structure of the documents: the columns that go into them, under their new
    names; its key is empty when not all key columns do. `id_from_key` says that a document's id
    follows from the key alone.
    """

    __slots__ = ("_fields", "_ids", "_tail", "documents", "id_from_key", "target")

    def __init__(self, table: TableSchema, mapping: TableMapping) -> None:
        """Raises ConfigError for columns the table does not have, and for ids it cannot make."""
        self.target = table.qualified_name
        indexes = _chosen(table, mapping)
        names = _renamed(table, mapping, indexes)
        self._fields = [
            (names[index], index, converter(table.columns[index].type)) for index in indexes
        ]
        self._ids, self._tail = _id_parts(table, mapping)
        self.id_from_key = {index for _, index, _ in self._ids} <= set(table.key)
        self.documents = replace(
            table,
            columns=tuple(replace(table.columns[i], name=names[i]) for i in indexes),
            key=tuple(indexes.index(i) for i in table.key)
            if set(table.key) <= set(indexes)
            else (),
        )

    def mutations(self, event: ChangeEvent, version: int, *, tombstone: bool) -> list[Mutation]:
        """What `event` changes, in order. See Projection.mutations."""
        if event.op in {READ, CREATE, UPDATE}:
            return self._written(event, version)
        if event.op == DELETE:
            # Its delete came before it and held the old row; a tombstone has only the key.
            if tombstone and not self.id_from_key:
                return []
            return [Mutation(self.target, self._id(event.before), version, Delete())]
        if event.op == TRUNCATE:
            return [Mutation(self.target, "", version, Truncate())]
        raise DecodeError(f"a change of {self.target} has the operation {event.op!r}", kind="event")

    def _written(self, event: ChangeEvent, version: int) -> list[Mutation]:
        row = event.after
        if row is None:
            raise DecodeError(f"a change of {self.target} has no new row", kind="event")
        fields: dict[str, object] = {}
        whole = True
        for name, index, convert in self._fields:
            value = row[index]
            if value is UNCHANGED:
                whole = False
            else:
                fields[name] = value if value is None or convert is None else convert(value)
        written = self._id(row, event.before)
        action = Upsert(fields) if whole else Patch(fields)
        mutation = Mutation(self.target, written, version, action)
        if self.id_from_key or event.op != UPDATE:
            return [mutation]
        replaced = self._id(event.before)
        if replaced == written:
            return [mutation]
        if not whole:
            # The other document has the values that were not sent; this store cannot move them.
            raise self._needs_old_rows("changed the document's id without all values")
        return [Mutation(self.target, replaced, version, Delete()), mutation]

    def _id(self, row: Row | None, other: Row | None = None) -> str:
        text = ""
        for before, index, write in self._ids:
            value = UNCHANGED if row is None else row[index]
            if value is UNCHANGED and other is not None:
                value = other[index]
            if value is UNCHANGED:
                raise self._needs_old_rows("lacks a column of the document's id")
            if value is None:
                raise SchemaError(
                    f"a row of {self.target} has NULL in a column of the document's id",
                    hint="Use columns in `id` that are NOT NULL.",
                )
            text += before + write(value)
        return text + self._tail

    def _needs_old_rows(self, what: str) -> SchemaError:
        return SchemaError(
            f"a change of {self.target} {what}",
            hint=f"Make the id of key columns only, or run: ALTER TABLE {self.target} "
            "REPLICA IDENTITY FULL (MySQL: binlog_row_image=FULL).",
        )


def _chosen(table: TableSchema, mapping: TableMapping) -> list[int]:
    for option, names in (
        ("include", mapping.include or ()),
        ("exclude", mapping.exclude),
        ("rename", mapping.rename),
    ):
        for name in names:
            _index(table, name, option)
    return [
        index
        for index, column in enumerate(table.columns)
        if (mapping.include is None or column.name in mapping.include)
        and column.name not in mapping.exclude
    ]


def _renamed(table: TableSchema, mapping: TableMapping, indexes: list[int]) -> dict[int, str]:
    names: dict[int, str] = {}
    for index in indexes:
        column = table.columns[index].name
        name = mapping.rename.get(column, column)
        if name in names.values():
            raise ConfigError(
                f"two columns of {table.qualified_name} would be the field {name!r}",
                hint="Rename or exclude one of them.",
            )
        names[index] = name
    return names


def _index(table: TableSchema, name: str, option: str) -> int:
    names = [column.name for column in table.columns]
    if name in names:
        return names.index(name)
    nearest = get_close_matches(name, names, n=1, cutoff=0.0)
    meant = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ConfigError(
        f"`{option}` names the column {name!r}, which {table.qualified_name} does not have",
        hint=f"Correct the sink's mapping.{meant}",
    )


def _id_parts(
    table: TableSchema, mapping: TableMapping
) -> tuple[list[tuple[str, int, Callable[[object], str]]], str]:
    # The pieces of an id: text before, column, how its value is written; and the text at the end.
    if mapping.id is not None:
        *columns, (tail, _) = parse_template(mapping.id)
        if not columns:
            raise ConfigError(
                f"the id template {mapping.id!r} names no column: all rows of "
                f"{table.qualified_name} would be one document",
                hint="Name the key columns, such as {id}.",
            )
        indexes = [(text, _index(table, name, "id")) for text, name in columns]
        return [(text, index, _writer(table, index)) for text, index in indexes], tail
    if not table.key:
        raise ConfigError(
            f"{table.qualified_name} has no key, so its documents have no id",
            hint="Give the table a primary key, or set `id` in the sink's mapping.",
        )
    if len(table.key) == 1:
        return [("", table.key[0], _writer(table, table.key[0]))], ""
    return [
        (":" if place else "", index, _escaped(_writer(table, index)))
        for place, index in enumerate(table.key)
    ], ""


def _writer(table: TableSchema, index: int) -> Callable[[object], str]:
    column = table.columns[index]
    if isinstance(column.type, _NO_IDS):
        raise ConfigError(
            f"column {column.name!r} of {table.qualified_name} is no part of a document's id: "
            f"it is {column.type.name}",
            hint="Use columns with plain values in `id`.",
        )
    return id_writer(column.type)


def id_writer(kind: LogicalType) -> Callable[[object], str]:
    """How a value of this type is written in a document's id: as in the document, as text."""
    convert = converter(kind)

    def write(value: object) -> str:
        field = value if convert is None else convert(value)
        if isinstance(field, bool):
            return "true" if field else "false"
        return str(field)

    return write


def _escaped(write: Callable[[object], str]) -> Callable[[object], str]:
    return lambda value: write(value).replace("%", "%25").replace(":", "%3A")


class Projection:
    """The mapping of one sink, bound once to each table structure."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._plans: dict[str, Plan] = {}

    def bind(self, table: TableSchema) -> Plan:
        """The plan for this structure. Raises ConfigError when the mapping does not fit it."""
        plan = self._plans.get(table.id)
        if plan is None:
            plan = Plan(table, self._mapping.for_table(table.qualified_name))
            self._plans[table.id] = plan
        return plan

    def mutations(
        self, event: ChangeEvent, version: int, *, tombstone: bool = False
    ) -> list[Mutation]:
        """What `event` changes, in order, all with `version`.

        `tombstone`: the event was decoded from a record without a value, so it knows only the key.
        Where the id does not follow from the key it changes nothing: its delete came just before.
        (On a compacted topic that delete may be gone: such ids need topics that are not compacted.)
        Raises ConfigError when the mapping does not fit the structure, SchemaError when the row
        lacks what the id needs, DecodeError for values and operations that make no sense.
        """
        return self.bind(event.table).mutations(event, version, tombstone=tombstone)
