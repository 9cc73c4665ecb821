"""What `cdc check` says about what the server keeps: WAL, old transactions, the first snapshot."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString

import psycopg

from cdc.protocols import Finding, Heartbeat
from connectors.postgres.blockers import Transactions
from connectors.postgres.config import Config
from connectors.postgres.heartbeats import (
    administrators_sql,
    may_create,
    table_exists,
    table_identifier,
    writing_right,
)
from connectors.postgres.retention import duration_text, size_text
from connectors.postgres.tables import CapturedTable

Connection = psycopg.Connection[tuple[Any, ...]]

_READ_LIMITS: Final[LiteralString] = """
SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings
WHERE name IN ('max_slot_wal_keep_size', 'idle_replication_slot_timeout')
"""
_READ_KEPT: Final[LiteralString] = """
SELECT pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
                                       THEN pg_catalog.pg_last_wal_replay_lsn()
                                       ELSE pg_catalog.pg_current_wal_lsn() END,
                                  s.restart_lsn)::pg_catalog.int8
FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s AND s.restart_lsn IS NOT NULL
"""
_SIZE: Final[LiteralString] = "SELECT pg_catalog.pg_size_bytes(%s)"
_WRITABLE: Final[LiteralString] = """
SELECT pg_catalog.has_table_privilege(%s, 'INSERT')
   AND pg_catalog.has_table_privilege(%s, 'SELECT')
   AND pg_catalog.has_table_privilege(%s, 'UPDATE')
"""
# Ordinary transactions are over by then; a new slot and a later snapshot wait for each of them.
_LONG_S: Final = 300.0
# What one reader gets from a server over a network on an ordinary day; an estimate, no promise.
_SNAPSHOT_BYTES_PER_S: Final = 40 << 20


def retention_findings(connection: Connection, slot: str, config: Config) -> Iterator[Finding]:
    """What is kept for the slot now, and the limits that may take it away."""
    settings: dict[str, str] = dict(connection.execute(_READ_LIMITS).fetchall())
    yield from _kept(connection, slot, config)
    limit = config.wal_guard.limit_bytes
    allowed = settings.get("max_slot_wal_keep_size", "-1")
    if limit is not None and allowed not in {"-1", "-1MB"}:
        allowed_bytes = connection.execute(_SIZE, (allowed,)).fetchall()[0][0]
        if allowed_bytes <= limit:
            yield Finding(
                "warning",
                "guard-too-late",
                "wal_guard",
                f"the server takes WAL away above max_slot_wal_keep_size ({allowed}), before the"
                f" guard acts at {size_text(limit)}: the slot is lost first",
                f"Set wal_guard.limit_bytes below {allowed_bytes}, or raise the server's limit.",
            )
    timeout = settings.get("idle_replication_slot_timeout", "0")
    if timeout != "0":
        yield Finding(
            "warning",
            "slot-idle-timeout",
            "idle_replication_slot_timeout",
            f"a source that does not run for {timeout} loses its slot",
            "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();"
            " (or never stop the source for so long)",
        )


def _kept(connection: Connection, slot: str, config: Config) -> Iterator[Finding]:
    kept = connection.execute(_READ_KEPT, (slot,)).fetchall()
    if not kept:
        return
    size_bytes, warn_bytes = max(0, kept[0][0]), config.wal_guard.warn_bytes
    message = f"the server keeps {size_text(size_bytes)} of write-ahead log for slot {slot}"
    if size_bytes < warn_bytes:
        yield Finding("ok", "wal-kept", slot, message)
    else:
        yield Finding(
            "warning",
            "wal-kept",
            slot,
            f"{message}, more than wal_guard.warn_bytes ({size_text(warn_bytes)})",
            "Run the source, so that it is read; see also old transactions.",
        )


def transaction_findings(connection: Connection) -> Iterator[Finding]:
    """Old transactions: a new slot waits for them, and an existing one keeps WAL for them."""
    transactions = Transactions(connection)
    if not transactions:
        yield Finding("ok", "old-transactions", "transactions", "no transaction is open for long")
        return
    oldest, remedy, age_s = transactions.oldest()
    if age_s is not None and age_s < _LONG_S:
        yield Finding("ok", "old-transactions", "transactions", "no transaction is open for long")
        return
    unknown = " (its age is hidden from this role; pg_read_all_stats shows it)"
    yield Finding(
        "warning",
        "old-transactions",
        "transactions",
        f"{oldest} holds slots back: WAL is kept for it, and a new slot waits for it"
        f"{unknown if age_s is None else ''}",
        remedy,
    )


def snapshot_findings(tables: Sequence[CapturedTable], config: Config) -> Iterator[Finding]:
    """How much a first snapshot reads, and about how long that takes."""
    if config.snapshot == "never" or not tables:
        return
    size_bytes = sum(table.size_bytes for table in tables)
    rows = [table.rows_estimated for table in tables]
    known = [each for each in rows if each is not None]
    about = f"about {sum(known):,} rows, " if len(known) == len(rows) else ""
    took = duration_text(max(1.0, size_bytes / _SNAPSHOT_BYTES_PER_S))
    yield Finding(
        "ok",
        "snapshot-size",
        "snapshot",
        f"a whole snapshot reads {about}{size_text(size_bytes)} of {len(tables)} tables:"
        f" about {took} at {size_text(_SNAPSHOT_BYTES_PER_S)} a second, for which WAL is kept",
    )


def heartbeat_findings(
    connection: Connection, heartbeat: Heartbeat | None, *, standby: bool
) -> Iterator[Finding]:
    """Whether heartbeats can be written as configured."""
    if heartbeat is None or not (heartbeat.message or heartbeat.table):
        return
    if standby:
        yield Finding(
            "error",
            "heartbeat",
            "heartbeat",
            "heartbeats cannot be written on a standby",
            "Set `message: false` of `heartbeat` and no `table`.",
        )
        return
    table = heartbeat.table
    if table is None:
        yield Finding("ok", "heartbeat", "heartbeat", "logical messages, which need no right")
        return
    text = table_identifier(table).as_string(None)
    if not table_exists(connection, table):
        yield _missing_heartbeat_table(connection, heartbeat, table)
    elif not connection.execute(_WRITABLE, (text, text, text)).fetchall()[0][0]:
        yield Finding(
            "error",
            "heartbeat",
            table,
            f"the heartbeat table {table} cannot be written",
            f"{writing_right(connection, table).as_string(None)};",
        )
    else:
        yield Finding("ok", "heartbeat", table, f"table {table} is there and can be written")


def _missing_heartbeat_table(connection: Connection, heartbeat: Heartbeat, table: str) -> Finding:
    allowed = may_create(connection, table)
    if allowed and heartbeat.create_table:
        return Finding("ok", "heartbeat", table, f"table {table} is made at the first start")
    schema = table.partition(".")[0]
    if not heartbeat.create_table:
        why = "create_table is false"
    elif allowed is None:
        why = f"no schema {schema} to make it in"
    else:
        why = f"the role may not make it in schema {schema}"
    message = f"there is no heartbeat table {table}, and {why}"
    return Finding("error", "heartbeat", table, message, administrators_sql(connection, table))
