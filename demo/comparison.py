"""The judge: is every document what SQL says it must be? It uses nothing of Tidewire.

Expected documents come from plain SELECTs; what is there is read with plain `sqlite3` and plain
`GET`s. A field that is absent counts as NULL: documents written before a column was added lack it.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, cast

import psycopg
import redis
from psycopg import sql

from demo.shop import KEYS, Connection

Documents = Mapping[str, Mapping[str, object]]
"""Documents by id."""

_NAMED_MAX: Final = 5
_KEYS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One table in one store, compared: ids that lack, differ, or should not be there."""

    table: str
    rows: int
    missing: Sequence[str]
    stale: Sequence[str]
    extra: Sequence[str]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.stale or self.extra)

    def differences(self) -> list[str]:
        """One line for each kind of difference, with the first ids; never a value."""
        kinds = {"missing": self.missing, "stale": self.stale, "extra": self.extra}
        return [
            f"{self.table}: {len(ids):,} {kind}: {', '.join(ids[:_NAMED_MAX])}"
            f"{', ...' if len(ids) > _NAMED_MAX else ''}"
            for kind, ids in kinds.items()
            if ids
        ]


def compare(table: str, expected: Documents, found: Documents) -> Comparison:
    """What differs between two sets of documents."""
    common = expected.keys() & found.keys()
    return Comparison(
        table,
        rows=len(expected),
        missing=sorted(expected.keys() - found.keys()),
        stale=sorted(id_ for id_ in common if _present(expected[id_]) != _present(found[id_])),
        extra=sorted(found.keys() - expected.keys()),
    )


def expected(connection: Connection, salt: str) -> dict[str, Documents]:
    """The documents that must be there, by table: one consistent view of the whole database."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return {table: _rows(connection, table, key, salt) for table, key in KEYS.items()}


def in_index(path: Path) -> dict[str, Documents]:
    """The documents of the search index, by table."""
    found: dict[str, dict[str, Mapping[str, object]]] = {table: {} for table in KEYS}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        for target, id_, text in file.execute(
            "SELECT target, id, document FROM documents WHERE document IS NOT NULL"
        ):
            schema, _, table = target.partition(".")
            assert schema == "public", "the demo has one schema"
            found.setdefault(table, {})[id_] = json.loads(text)
    return dict(found)


def in_cache(url: str, prefix: str) -> Documents:
    """The documents of the cache whose keys begin with `prefix`, by what follows it."""
    with closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        keys = cast("Iterable[str]", client.scan_iter(f"{prefix}*", count=_KEYS_AT_ONCE))
        names = sorted(set(keys))
        texts: list[str | None] = []
        for first in range(0, len(names), _KEYS_AT_ONCE):
            texts += cast("list[str | None]", client.mget(names[first : first + _KEYS_AT_ONCE]))
    return {
        name.removeprefix(prefix): json.loads(text)
        for name, text in zip(names, texts, strict=True)
        if text is not None
    }


def _rows(connection: Connection, table: str, key: Sequence[str], salt: str) -> Documents:
    hashed = sql.SQL("SELECT * FROM {}")
    if table == "customers":
        hashed = sql.SQL(
            "SELECT id, name, encode(sha256(convert_to({} || email, 'UTF8')), 'hex') AS email,"
            " city, customer_since FROM {}"
        )
    parts: list[sql.Composable] = [sql.Identifier(table)]
    if table == "customers":
        parts.insert(0, sql.Literal(salt))
    with psycopg.Cursor(connection, row_factory=psycopg.rows.dict_row) as cursor:
        rows = cursor.execute(hashed.format(*parts)).fetchall()
    return {
        ":".join(str(row[column]) for column in key): {
            name: _field(value) for name, value in row.items()
        }
        for row in rows
    }


def _field(value: object) -> object:
    """A value of psycopg as docs/sinks say a field of a document is written."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        text = value.astimezone(UTC).replace(tzinfo=None).isoformat()
        return f"{text.rstrip('0') if '.' in text else text}Z"
    return value.isoformat() if isinstance(value, date) else value


def _present(document: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if value is not None}
