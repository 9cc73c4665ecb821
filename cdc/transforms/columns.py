"""Leaves columns out, masks them or hashes them: in old rows, new rows and snapshots alike.

Nothing behind this transform (log, sinks, dead letters) sees the original values.
"""

import glob
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cdc.errors import ConfigError
from cdc.event import FORM_TEXT, UNCHANGED, ChangeEvent, RawRow, Row, RowLayout
from cdc.protocols import Finding
from cdc.schema import (
    NO_DEFAULT,
    Bytes,
    Column,
    Decimal,
    Enum,
    Int8,
    Int16,
    Int32,
    Int64,
    Json,
    LogicalType,
    String,
    TableSchema,
    UInt64,
    Uuid,
)
from cdc.secret import Secret

MASKED = ("masked", "true")
"""Attribute of a column that was masked or hashed; schemas show it as Debezium's parameter."""
STAND_IN = "stand_in"
"""Attribute: the text that stands for a value which an old row lacks."""

_HASHABLE: tuple[type[LogicalType], ...] = (
    String, Uuid, Json, Enum, Decimal, Int8, Int16, Int32, Int64, UInt64, Bytes,
)  # fmt: skip
_GLOB_CHARACTERS = frozenset("*?[")


class Config(BaseModel):
    """Which columns of which tables are left out, masked or hashed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["columns"] = "columns"
    tables: tuple[str, ...] = Field(
        min_length=1, description="Tables as `schema.table`; globs are allowed."
    )
    exclude: tuple[str, ...] = Field(default=(), description="Columns to leave out.")
    mask: tuple[str, ...] = Field(
        default=(), description="Columns whose every value, NULL too, becomes `mask_text`."
    )
    mask_text: str = Field(default="*****", description="What masked columns show.")
    hash: tuple[str, ...] = Field(
        default=(),
        description="Columns whose values become the SHA-256 of salt and value, in hexadecimal; "
        "NULL stays NULL.",
    )
    salt: Secret = Field(
        default=Secret(""), description="Goes in front of each hashed value; keep it secret."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = [*self.exclude, *self.mask, *self.hash]
        if not named:
            raise ValueError("names no column: give exclude, mask or hash")
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"column {twice[0]!r} is named twice")
        if self.hash and not self.salt.reveal():
            raise ValueError("hash needs a salt: without one, hashes of known values are guessed")
        return self


def create(config: Config) -> "Columns":
    """The transform."""
    return Columns(config)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A column that stays: its old index, and what becomes of its values; None: nothing."""

    index: int
    change: Callable[[object], object] | None


class Columns:
    """Implements cdc.protocols.Transform."""

    def __init__(self, config: Config) -> None:
        self._config = config
        # Read once: a salt that changed meanwhile would give one value two hashes.
        self._salt = config.salt.reveal().encode()
        self._named = frozenset((*config.exclude, *config.mask, *config.hash))

    @property
    def excluded(self) -> tuple[tuple[str, str], ...]:
        """Pairs of globs, table and column, of what is left out.

        A source may give such a column in any form: its type need not be supported.
        """
        return tuple(
            (table, glob.escape(column))
            for table in self._config.tables
            for column in self._config.exclude
        )

    def bind(self, table: TableSchema) -> Callable[[ChangeEvent], ChangeEvent | None] | None:
        """What changes this table's events; None when it is not one of the tables.

        Raises ConfigError for key columns that would be left out or masked, for columns of a type
        that cannot be hashed, and for a table that is named in full and lacks a named column: a
        renamed column would otherwise be published in the clear.
        """
        if not self._matches(table.qualified_name):
            return None
        self._require_columns(table)
        self._require_key(table)
        touched = any(column.name in self._named for column in table.columns)
        return _Change(self._kept(table), self._schema(table)) if touched else None

    def check(self, tables: Sequence[TableSchema]) -> list[Finding]:
        """Findings against the captured tables; all problems at once."""
        findings = [
            self._finding(pattern, "no captured table has this name")
            for pattern in self._config.tables
            if not any(fnmatchcase(table.qualified_name, pattern) for table in tables)
        ]
        matching = [table for table in tables if self._matches(table.qualified_name)]
        findings.extend(
            self._finding(name, "none of the tables has this column")
            for name in sorted(self._named)
            if matching and not any(_has(table, name) for table in matching)
        )
        for table in matching:
            try:
                self.bind(table)
            except ConfigError as error:
                findings.append(self._finding(table.qualified_name, error.message))
        return findings

    def _finding(self, subject: str, message: str) -> Finding:
        return Finding(
            "error", "columns-transform", subject, f"transform `columns`: {message}",
            "Correct `tables`, `exclude`, `mask` and `hash` of the transform.",
        )  # fmt: skip

    def _matches(self, qualified_name: str) -> bool:
        return any(fnmatchcase(qualified_name, pattern) for pattern in self._config.tables)

    def _require_columns(self, table: TableSchema) -> None:
        if not self._named_in_full(table.qualified_name):
            return
        missing = sorted(name for name in self._named if not _has(table, name))
        if missing:
            raise ConfigError(
                f"transform `columns` names column {missing[0]!r}, which table "
                f"{table.qualified_name} does not have (dropped or renamed?)",
                hint="Correct the transform, so that no value is published by mistake.",
            )

    def _named_in_full(self, qualified_name: str) -> bool:
        return any(
            pattern == qualified_name and not _GLOB_CHARACTERS & set(pattern)
            for pattern in self._config.tables
        )

    def _require_key(self, table: TableSchema) -> None:
        for name in table.key_names:
            if name in self._config.exclude or name in self._config.mask:
                done = "leave out" if name in self._config.exclude else "mask"
                raise ConfigError(
                    f"transform `columns` would {done} column {name!r}, which belongs to the key "
                    f"of table {table.qualified_name}",
                    hint="Hash it instead: a hash still tells rows apart.",
                )

    def _kept(self, table: TableSchema) -> list[_Kept]:
        kept = []
        for index, column in enumerate(table.columns):
            if column.name in self._config.exclude:
                continue
            change: Callable[[object], object] | None = None
            if column.name in self._config.mask:
                change = self._mask
            elif column.name in self._config.hash:
                _require_hashable(table, column)
                change = self._hash
            kept.append(_Kept(index, change))
        return kept

    def _schema(self, table: TableSchema) -> TableSchema:
        """The structure behind the transform: nothing in it tells of the values."""
        columns: list[Column] = []
        places: dict[int, int] = {}
        for index, column in enumerate(table.columns):
            if column.name in self._config.exclude:
                continue
            places[index] = len(columns)
            columns.append(self._column(column))
        key = tuple(places[index] for index in table.key)
        return replace(table, columns=tuple(columns), key=key)

    def _column(self, column: Column) -> Column:
        if column.name in self._config.mask:
            stand_in = (MASKED, (STAND_IN, self._config.mask_text))
            return Column(column.name, String(), column.nullable, NO_DEFAULT, stand_in)
        if column.name in self._config.hash:
            attributes: tuple[tuple[str, str], ...] = (MASKED,)
            if not column.nullable:
                attributes += ((STAND_IN, str(self._hash(""))),)
            return Column(column.name, String(), column.nullable, NO_DEFAULT, attributes)
        return column

    def _mask(self, _: object) -> object:
        return self._config.mask_text

    def _hash(self, value: object) -> object:
        if value is None:
            return None
        content = value if isinstance(value, bytes) else str(value).encode()
        return hashlib.sha256(self._salt + content).hexdigest()


def _has(table: TableSchema, name: str) -> bool:
    return any(column.name == name for column in table.columns)


def _require_hashable(table: TableSchema, column: Column) -> None:
    if not isinstance(column.type, _HASHABLE):
        raise ConfigError(
            f"transform `columns` cannot hash column {column.name!r} of table "
            f"{table.qualified_name}, whose type is {column.type.name}",
            hint="Texts, numbers without fraction, decimals, uuid, json and bytes can be hashed; "
            "mask or exclude the others.",
        )


class _Change:
    """Changes the events of one table structure."""

    __slots__ = ("_before", "_kept", "_layout", "_table")

    def __init__(self, kept: list[_Kept], table: TableSchema) -> None:
        self._kept = kept
        self._table = table
        self._before: RowLayout | None = None
        self._layout: RowLayout | None = None

    def __call__(self, event: ChangeEvent) -> ChangeEvent:
        return event.with_rows(self._table, self._row(event.before), self._row(event.after))

    def _row(self, row: Row | None) -> Row | None:
        if row is None:
            return None
        if isinstance(row, RawRow):
            return self._raw_row(row)
        return tuple(
            row[kept.index]
            if kept.change is None or row[kept.index] is UNCHANGED
            else kept.change(row[kept.index])
            for kept in self._kept
        )

    def _raw_row(self, row: RawRow) -> RawRow:
        """The same without decoding what stays as it is; changed values become their own text."""
        raw: list[object] = []
        for kept in self._kept:
            value = row.raw[kept.index]
            if kept.change is not None and value is not UNCHANGED:
                changed = kept.change(row[kept.index])
                value = changed.encode() if isinstance(changed, str) else changed
            raw.append(value)
        return RawRow(self._layout_of(row.layout), raw)

    def _layout_of(self, layout: RowLayout) -> RowLayout:
        if self._layout is None or self._before is not layout:
            self._before = layout
            self._layout = RowLayout(
                tuple(
                    layout.decoders[kept.index] if kept.change is None else bytes.decode
                    for kept in self._kept
                ),
                tuple(
                    layout.forms[kept.index] if kept.change is None else FORM_TEXT
                    for kept in self._kept
                ),
            )
        return self._layout
