"""What the server says about a publication: asked in one place, for the start and the doctor."""

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from connectors.postgres.connection import rows_of

OPERATIONS: Final = ("insert", "update", "delete", "truncate")
"""What a publication must publish."""

# As JSON: servers before 15 have neither column lists nor row filters.
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
_NARROWED: Final[LiteralString] = """
SELECT r.prrelid::pg_catalog.int8
FROM pg_catalog.pg_publication p
JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(r) AS entry) AS j
WHERE p.pubname = %s AND (j.entry ->> 'prqual' IS NOT NULL OR j.entry ->> 'prattrs' IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as it is now.

    `absent` are the operations that it leaves out, `via_root`: partitions come under their root's
    name, `all_tables`: new tables are in it by themselves, `is_ours`: the role may change it.
    `tables` and `narrowed` (with a column list or row filter) are oids.
    """

    absent: tuple[str, ...]
    via_root: bool
    all_tables: bool
    is_ours: bool
    tables: frozenset[int]
    narrowed: frozenset[int]


def read_publication(
    connection: psycopg.Connection[tuple[Any, ...]], name: str
) -> Publication | None:
    """The publication of that name, None when there is none."""
    doing = f"looking at publication {name}"
    found = rows_of(connection, doing, _READ, (name,))
    if not found:
        return None
    row, is_ours = found[0]
    return Publication(
        absent=tuple(one for one in OPERATIONS if row.get(f"pub{one}") is False),
        via_root=bool(row.get("pubviaroot")),
        all_tables=bool(row.get("puballtables")),
        is_ours=is_ours,
        tables=frozenset(oid for (oid,) in rows_of(connection, doing, _TABLES, (name,))),
        narrowed=frozenset(oid for (oid,) in rows_of(connection, doing, _NARROWED, (name,))),
    )
