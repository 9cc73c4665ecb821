"""Resolved facts: what is known of tables and types, kept in the checkpoint.

One part per table (`facts:<oid>`) and per type that is not built in (`type:<oid>`). The server
tells neither again once they are altered or dropped, and a reader may be far behind.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from cdc.checkpoint import Checkpoint, decode_part, encode_part
from cdc.errors import DecodeError, SchemaError
from cdc.schema import TableSchema
from connectors.postgres.logical_types import TypeFacts, Types, types_of
from connectors.postgres.resolution import KnownColumn, KnownTable, places

TABLE: Final = "facts:"
TYPE: Final = "type:"


class Facts:
    """The facts of one source. What changed since the last `take_changes` is still to be stored."""

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        """Take what a checkpoint holds. Raises DecodeError for damaged or newer parts."""
        self._tables: dict[int, KnownTable] = {}
        self._types: dict[int, TypeFacts] = {}
        self._changes: dict[str, bytes | None] = {}
        for name, stored in ({} if checkpoint is None else checkpoint.parts).items():
            if stored is not None and name.startswith(TABLE):
                known = _table_of(name, decode_part(name, stored))
                self._tables[known.oid] = known
            elif stored is not None and name.startswith(TYPE):
                facts = _type_of(name, decode_part(name, stored))
                self._types[facts.oid] = facts

    @property
    def tables(self) -> Mapping[int, KnownTable]:
        """Tables by oid."""
        return self._tables

    @property
    def types(self) -> Types:
        """Types that are not built in."""
        return Types(self._types)

    def remember(self, known: KnownTable, types: Types) -> None:
        """Keep this instead of what was known of the table, and what its types are made of."""
        if self._tables.get(known.oid) != known:
            self._tables[known.oid] = known
            self._changes[f"{TABLE}{known.oid}"] = encode_part(_content(known))
        for oid in _reachable(known, types.facts):
            facts = types.facts[oid]
            if self._types.get(oid) != facts:
                self._types[oid] = facts
                self._changes[f"{TYPE}{oid}"] = encode_part({"types": [asdict(facts)]})

    def forget(self, oids: Iterable[int]) -> None:
        """Drop tables that cannot occur any more, and types that no table has then."""
        for oid in oids:
            if self._tables.pop(oid, None) is not None:
                self._changes[f"{TABLE}{oid}"] = None
        used = {oid for known in self._tables.values() for oid in _reachable(known, self._types)}
        for oid in self._types.keys() - used:
            del self._types[oid]
            self._changes[f"{TYPE}{oid}"] = None

    def take_changes(
        self, told: Callable[[TableSchema], bool] | None = None
    ) -> dict[str, bytes | None]:
        """The parts to be stored with the next batch.

        Those of tables whose structure is not `told` yet stay for a later one: whoever starts from
        the checkpoint takes what it holds for told.
        """
        changes, self._changes = self._changes, {}
        if told is not None:
            for oid, known in [(oid, self._tables.get(oid)) for oid in _oids(changes)]:
                if known is not None and not told(known.schema):
                    self._changes[f"{TABLE}{oid}"] = changes.pop(f"{TABLE}{oid}")
        return changes


def _oids(changes: Iterable[str]) -> list[int]:
    """Those of the tables among parts."""
    return [int(name.removeprefix(TABLE)) for name in changes if name.startswith(TABLE)]


def _reachable(known: KnownTable, types: Mapping[int, TypeFacts]) -> set[int]:
    """The types of a table's columns, and those that they are built from."""
    found: set[int] = set()
    waiting = [column.type_oid for column in known.columns]
    while waiting:
        oid = waiting.pop()
        if oid in types and oid not in found:
            found.add(oid)
            waiting.append(types[oid].base)
    return found


def _content(known: KnownTable) -> dict[str, object]:
    # All columns, also those that are not streamed, in the stored form of structures.
    whole = replace(known.schema, columns=tuple(column.logical for column in known.columns), key=())
    return {
        "oid": known.oid,
        "schema": json.loads(whole.canonical()),
        "columns": [
            [column.type_oid, column.typmod, column.not_null, column.made]
            for column in known.columns
        ],
        "key": list(known.key),
        "key_primary": known.key_primary,
        "key_made": known.key_made,
        "streamed": [column.name for column in known.schema.columns],
        "toasts": known.toasts,
        "ancestors": list(known.ancestors),
    }


def _table_of(name: str, content: Mapping[str, object]) -> KnownTable:
    try:
        whole = TableSchema.from_canonical(json.dumps(content["schema"]))
        columns = tuple(
            KnownColumn(int(oid), int(typmod), bool(not_null), int(made), logical)
            for (oid, typmod, not_null, made), logical in zip(
                _list(content["columns"]), whole.columns, strict=True
            )
        )
        key = tuple(str(column) for column in _list(content["key"]))
        streamed = _list(content["streamed"])
        kept = tuple(column for column in whole.columns if column.name in streamed)
        schema = replace(whole, columns=kept, key=places(key, kept))
        return KnownTable(
            _int(content["oid"]),
            schema,
            columns,
            key,
            bool(content["key_primary"]),
            _int(content["key_made"]),
            bool(content["toasts"]),
            tuple(str(ancestor) for ancestor in _list(content["ancestors"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"checkpoint part {name!r} is damaged", kind="checkpoint") from error


def _type_of(name: str, content: Mapping[str, object]) -> TypeFacts:
    try:
        (facts,) = types_of(_list(content["types"])).facts.values()
    except (KeyError, TypeError, ValueError, SchemaError) as error:
        raise DecodeError(f"checkpoint part {name!r} is damaged", kind="checkpoint") from error
    return facts


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value
