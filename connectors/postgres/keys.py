"""Which columns identify a row: read from the catalog's indexes, decided by a pure function."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from connectors.postgres.xids import made_by


@dataclass(frozen=True, slots=True)
class Index:
    """An index that can identify rows: unique, valid, whole, on plain NOT NULL columns, immediate.

    `columns` are attribute numbers in the order of the index, without INCLUDE columns. `made` is
    the 64-bit id of the transaction that last changed it.
    """

    primary: bool
    identity: bool
    columns: tuple[int, ...]
    made: int = 0


NO_KEY: Final = Index(primary=False, identity=False, columns=())

# A deferrable index lets two rows share a key inside a transaction, so that a change of one would
# be taken for a change of the other. Key columns are numbers; 0 stands for an expression.
_READ_INDEXES: Final = """
SELECT i.indrelid::pg_catalog.int8, i.indisprimary, i.indisreplident, k.columns,
       i.xmin::pg_catalog.text::pg_catalog.int8,
       (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
        ::pg_catalog.text::pg_catalog.int8)
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(p.attnum ORDER BY p.place) AS columns,
           pg_catalog.bool_and(coalesce(a.attnotnull, false)) AS not_null
    FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS p (attnum, place)
    LEFT JOIN pg_catalog.pg_attribute a
      ON a.attrelid = i.indrelid AND a.attnum = p.attnum AND a.attnum > 0
    WHERE p.place <= i.indnkeyatts
) AS k
WHERE i.indrelid = ANY (%s::pg_catalog.oid[])
  AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND k.not_null
ORDER BY i.indrelid, i.indexrelid
"""


def read_indexes(connection: psycopg.Connection, oids: Sequence[int]) -> dict[int, list[Index]]:
    """The indexes of these tables that can identify rows, oldest first, by table."""
    found: dict[int, list[Index]] = {}
    rows = connection.execute(_READ_INDEXES, (list(oids),))
    for oid, primary, identity, columns, written, next_xid in rows:
        made = made_by(written, next_xid)
        found.setdefault(oid, []).append(Index(primary, identity, tuple(columns), made))
    return found


def choose_key(indexes: Iterable[Index]) -> Index:
    """The primary key, else the replica identity's index, else the oldest one, else NO_KEY."""
    candidates = list(indexes)
    for wanted in ("primary", "identity"):
        for index in candidates:
            if getattr(index, wanted):
                return index
    return candidates[0] if candidates else NO_KEY
