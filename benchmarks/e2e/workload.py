"""The table and the write-ahead log that every run of one benchmark reads again.

The table is the one of the measurements that set our goals: 13 columns, about 360 bytes a change in
pgoutput. Half of the changes are inserts, half are updates of the same rows.
"""

import time
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import sql

from tests.lab import PostgresServer

DATABASE: Final = "bench"
PUBLICATION: Final = "bench"
BASE_SLOT: Final = "base"

SETTINGS: Final = {
    # One of both processes must be the bottleneck, not checkpoints in the middle of a run.
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "logical_decoding_work_mem": "64MB",
}

_TABLE: Final = """
CREATE TABLE item (
    id bigint PRIMARY KEY, quantity int, grade smallint, title text, code varchar(20),
    price numeric(12,2), changed_at timestamptz, made_at timestamp, active boolean, batch uuid,
    attributes jsonb, note text, weight double precision)
"""
_ROW: Final = """
    SELECT i, i % 1000, (i % 100)::smallint, 'Item number ' || i || ' of the benchmark table',
           'C' || i % 10000, (i % 100000) / 100.0, '2026-01-01'::timestamptz + i * interval '1s',
           '2026-01-01'::timestamp + i * interval '1s', i % 2 = 0,
           md5(i::text)::uuid, jsonb_build_object('size', i % 7, 'colour', 'blue'),
           CASE WHEN i % 2 = 0 THEN 'a remark of some length' END, i / 7.0::float8
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one set of the write-ahead log holds. `end` is the lsn behind the last commit."""

    rows_a_transaction: int
    events: int
    end: str


def prepare(server: PostgresServer) -> None:
    """An empty database with table and publication."""
    with server.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    with server.connect(DATABASE) as connection:
        connection.execute(_TABLE)
        connection.execute(
            sql.SQL("CREATE PUBLICATION {} FOR TABLE item").format(sql.Identifier(PUBLICATION))
        )


def write(server: PostgresServer, rows_a_transaction: int, events: int) -> Changes:
    """Write `events` changes behind a new base slot."""
    with server.connect(DATABASE) as connection:
        connection.execute("TRUNCATE item")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [BASE_SLOT])
        connection.execute(
            sql.SQL(
                "CREATE OR REPLACE PROCEDURE fill(rows_a_transaction int, rows int) "
                "LANGUAGE plpgsql AS $$ DECLARE first int := 1; BEGIN "
                "WHILE first <= rows LOOP "
                "INSERT INTO item {row} FROM generate_series(first, "
                "least(first + rows_a_transaction - 1, rows)) AS i; COMMIT; "
                "UPDATE item SET quantity = quantity + 1, changed_at = changed_at + interval '1h' "
                "WHERE id >= first AND id < least(first + rows_a_transaction, rows + 1); COMMIT; "
                "first := first + rows_a_transaction; END LOOP; END $$"
            ).format(row=sql.SQL(_ROW))
        )
        connection.execute("SET synchronous_commit = on")
        connection.execute("CALL fill(%s, %s)", [rows_a_transaction, events // 2])
        row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    assert row is not None
    return Changes(rows_a_transaction, events // 2 * 2, row[0])


def copy_slot(server: PostgresServer, name: str) -> None:
    """A slot that gives the same write-ahead log again."""
    with server.connect(DATABASE) as connection:
        connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [BASE_SLOT, name])


def drop_slots(server: PostgresServer, prefix: str = "") -> None:
    """Remove the slots whose names begin with `prefix` and that nobody reads any more."""
    with server.connect(DATABASE) as connection:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE NOT active AND starts_with(slot_name, %s)",
            [prefix],
        )


def write_one(server: PostgresServer, rows: int) -> Changes:
    """Write one transaction of `rows` inserts behind a new base slot."""
    with server.connect(DATABASE) as connection:
        connection.execute("TRUNCATE item")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [BASE_SLOT])
        connection.execute(
            sql.SQL("INSERT INTO item {row} FROM generate_series(1, {rows}) AS i").format(
                row=sql.SQL(_ROW), rows=sql.Literal(rows)
            )
        )
        row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    assert row is not None
    return Changes(rows, rows, row[0])


def insert_statement() -> str:
    """SQL that inserts the rows from the id $1 to $2."""
    return f"INSERT INTO item {_ROW} FROM generate_series($1::int, $2::int) AS i"


def empty(server: PostgresServer) -> None:
    """Remove all rows."""
    with server.connect(DATABASE) as connection:
        connection.execute("TRUNCATE item")


def make_slot(server: PostgresServer, name: str) -> None:
    """A slot that begins here."""
    with server.connect(DATABASE) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])


def wait_streaming(server: PostgresServer, slot: str, timeout_s: float) -> None:
    """Return when a client of the slot has caught up with what there is."""
    _wait(
        server,
        "SELECT FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid "
        "WHERE s.slot_name = %s AND r.state = 'streaming'",
        slot,
        timeout_s,
    )


def wait_free(server: PostgresServer, slot: str, timeout_s: float) -> None:
    """Return when no client uses the slot, or it is gone."""
    _wait(
        server,
        "SELECT WHERE NOT EXISTS (SELECT FROM pg_replication_slots "
        "WHERE slot_name = %s AND active)",
        slot,
        timeout_s,
    )


def _wait(server: PostgresServer, question: LiteralString, slot: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    with server.connect(DATABASE) as connection:
        while connection.execute(question, [slot]).fetchone() is None:
            if time.monotonic() > deadline:
                raise SystemExit(f"slot {slot}: not in {timeout_s:g} s: {question}")
            time.sleep(0.02)
