"""Rows that contradict their structure, since nothing else tells that it has changed.

ALTER TYPE adds and renames labels, and ALTER DOMAIN allows nulls, without a Relation message.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from cdc.event import ChangeEvent, Row
from cdc.schema import Array, Enum, LogicalType, TableSchema
from connectors.postgres.logical_types import Types
from connectors.postgres.resolution import KnownTable


@dataclass(frozen=True, slots=True)
class Labels:
    """What rows of one structure may hold, where a type decides.

    `known` are the labels of columns that are enums or arrays of them, by place; `required` the
    places of columns whose domain refuses nulls.
    """

    known: tuple[tuple[int, frozenset[str]], ...]
    required: tuple[int, ...]

    @classmethod
    def of(cls, table: KnownTable, types: Types) -> Self:
        """Those of this structure, with the types that it was made with."""
        known = tuple(
            (place, frozenset(kind.labels))
            for place, column in enumerate(table.columns)
            if (kind := _enum(column.logical.type)) is not None
        )
        required = tuple(
            place
            for place, column in enumerate(table.columns)
            if not column.not_null and types.not_null(column.type_oid)
        )
        return cls(known, required)

    def __bool__(self) -> bool:
        return bool(self.known or self.required)

    def lacks(self, event: ChangeEvent) -> bool:
        """Whether a row of the event has a label or a null that it may not have."""
        return any(True for _ in self._missing(event)) or any(True for _ in self._nulls(event))

    def completed(self, schema: TableSchema, event: ChangeEvent) -> TableSchema:
        """The structure with the labels of this event too, behind the others, and with its nulls.

        Such labels are not in the catalog any more, and their place among the others is not known.
        """
        columns = list(schema.columns)
        for place, label in self._missing(event):
            wider = _with_label(columns[place].type, label)
            columns[place] = replace(columns[place], type=wider)
        for place in self._nulls(event):
            columns[place] = replace(columns[place], nullable=True)
        return replace(schema, columns=tuple(columns))

    def without_nulls(self, event: ChangeEvent) -> Self:
        """These, where columns that are null in this event may be so."""
        nulls = set(self._nulls(event))
        return replace(self, required=tuple(place for place in self.required if place not in nulls))

    def _missing(self, event: ChangeEvent) -> Iterator[tuple[int, str]]:
        for row in (event.before, event.after):
            if row is None:
                continue
            for place, labels in self.known:
                for label in _labels(row, place):
                    if label not in labels:
                        yield place, label

    def _nulls(self, event: ChangeEvent) -> Iterator[int]:
        # Old rows have nulls in place of what is not sent only where that is marked.
        for place in self.required:
            if event.after is not None and event.after[place] is None:
                yield place


def _labels(row: Row, place: int) -> Iterator[str]:
    waiting = [row[place]]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            waiting.extend(value)


def _enum(kind: LogicalType) -> Enum | None:
    while isinstance(kind, Array):
        kind = kind.item
    return kind if isinstance(kind, Enum) else None


def _with_label(kind: LogicalType, label: str) -> LogicalType:
    if isinstance(kind, Array):
        return replace(kind, item=_with_label(kind.item, label))
    assert isinstance(kind, Enum)
    return kind if label in kind.labels else replace(kind, labels=(*kind.labels, label))
