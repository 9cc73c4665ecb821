"""What the server says about a publication: asked in one place, for the start and the doctor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from connectors.postgres.connection import rows_of

OPERATIONS: Final = ("insert", "update", "delete", "truncate")
"""What a publication must publish."""

# As JSON: what a publication can say differs from version to version.
_READ: Final[LiteralString] = """
SELECT pg_catalog.to_jsonb(p), pg_catalog.pg_has_role(p.pubowner, 'USAGE')
FROM pg_catalog.pg_publication p WHERE p.pubname = %s
"""
_TABLES: Final[LiteralString] = """
SELECT c.oid::pg_catalog.int8
FROM pg_catalog.pg_publication_tables t
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE t.pubname = %s
"""
# Servers before 15 have neither column lists nor row filters.
_NARROWED_SINCE: Final = 150_000
_NARROWED: Final[LiteralString] = """
SELECT r.prrelid::pg_catalog.int8,
       pg_catalog.concat(r.prattrs, ' | ', pg_catalog.pg_get_expr(r.prqual, r.prrelid))
FROM pg_catalog.pg_publication p
JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
WHERE p.pubname = %s AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as it is now.

    `absent` are the operations that it leaves out, `via_root`: partitions come under their root's
    name, `all_tables`: new tables are in it by themselves, `is_ours`: the role may change it.
    `tables` are oids, under `via_root` of partitioned tables. `narrowed` are those with a column
    list or row filter: what these are, as a text to be compared with others of the same table.
    """

    absent: tuple[str, ...]
    via_root: bool
    all_tables: bool
    is_ours: bool
    tables: frozenset[int]
    narrowed: Mapping[int, str]


def read_publication(
    connection: psycopg.Connection[tuple[Any, ...]], name: str
) -> Publication | None:
    """The publication of that name, None when there is none."""
    doing = f"looking at publication {name}"
    found = rows_of(connection, doing, _READ, (name,))
    if not found:
        return None
    row, is_ours = found[0]
    narrowed = []
    if connection.info.server_version >= _NARROWED_SINCE:
        narrowed = rows_of(connection, doing, _NARROWED, (name,))
    return Publication(
        absent=tuple(one for one in OPERATIONS if row.get(f"pub{one}") is False),
        via_root=bool(row.get("pubviaroot")),
        all_tables=bool(row.get("puballtables")),
        is_ours=is_ours,
        tables=frozenset(oid for (oid,) in rows_of(connection, doing, _TABLES, (name,))),
        narrowed=dict(narrowed),
    )


def published_roots(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> frozenset[int]:
    """The oids of partitioned tables whose partitions' changes come under their name."""
    found = read_publication(connection, name)
    return found.tables if found is not None and found.via_root else frozenset()
