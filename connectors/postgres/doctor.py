"""What `cdc check` says about a Postgres source: everything at once, each with what mends it.

Nothing is changed. A probe that fails is a finding of its own and hides no other.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from cdc.errors import CdcError, ConfigError
from cdc.protocols import Finding, SourceContext
from connectors.postgres.catalog import TableFacts, describe
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.config import Config
from connectors.postgres.connection import Dialer
from connectors.postgres.doctor_failover import (
    failover_findings,
    host_findings,
    standby_findings,
)
from connectors.postgres.doctor_objects import publication_findings, slot_findings
from connectors.postgres.doctor_slots import (
    heartbeat_findings,
    retention_findings,
    snapshot_findings,
    transaction_findings,
)
from connectors.postgres.doctor_tables import Subject, table_findings
from connectors.postgres.names import default_publication, default_slot
from connectors.postgres.publication_facts import published_roots
from connectors.postgres.table_reads import understood_wishes
from connectors.postgres.tables import CapturedTable, captured_and_missing

VERSION_MIN: Final = 140_000

_READ_SESSION: Final[LiteralString] = """
SELECT current_user::pg_catalog.text, pg_catalog.current_database()::pg_catalog.text,
       pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
       pg_catalog.pg_is_in_recovery(),
       r.rolsuper OR r.rolreplication OR EXISTS (
           SELECT FROM pg_catalog.pg_roles m
           WHERE m.rolname = 'rds_replication'
             AND pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER')
       )
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""
_READ_SETTINGS: Final[LiteralString] = """
SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s)
"""
_READ_USED: Final[LiteralString] = """
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots s
        WHERE s.slot_name = %(slot)s),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots s
        WHERE s.slot_name = %(slot)s AND s.active)
"""
_SETTINGS: Final = (
    "server_encoding",
    "wal_level",
    "max_replication_slots",
    "max_wal_senders",
    "max_slot_wal_keep_size",
    "logical_decoding_work_mem",
    "wal_sender_timeout",
)
# The server's own default; with less, ordinary transactions are spilled to its disk.
_WORK_MEM_KB: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Session:
    """One row of _READ_SESSION."""

    user: str
    database: str
    version: str
    version_number: int
    standby: bool
    may_replicate: bool


def check(config: Config, context: SourceContext) -> list[Finding]:
    """Every precondition of the source; failed ones with the SQL or setting that mends them."""
    dialer = Dialer(
        config.url,
        config.password,
        config.password_command,
        config.connect_timeout_s,
        f"tidewire check {context.name}",
    )
    try:
        connection = dialer.connect()
    except CdcError as error:
        return [_refused_connection(error, config)]
    with connection:
        try:
            session = _Session(*connection.execute(_READ_SESSION).fetchall()[0])
        except psycopg.Error as error:
            return [_failed("session", error)]
        return [
            *_findings(dialer, connection, session, config, context),
            *_replication(dialer, session),
        ]


def _findings(
    dialer: Dialer,
    connection: psycopg.Connection[tuple[Any, ...]],
    session: _Session,
    config: Config,
    context: SourceContext,
) -> Iterator[Finding]:
    slot = config.slot or default_slot(context.pipeline, context.name)
    publication = config.publication or default_publication(context.pipeline, context.name)
    yield Finding("ok", "connection", session.database, f"connected as {session.user}")
    yield from _version(session)
    if config.snapshot != "only":
        yield from _guarded("standby", lambda: standby_findings(connection, dialer.home))
    yield from _guarded("hosts", lambda: host_findings(dialer, config, slot))
    if config.failover:
        yield from _guarded("failover", lambda: failover_findings(connection, dialer.home, slot))
    yield from _guarded("settings", lambda: _server(connection, config, slot))
    tables: list[CapturedTable] = []
    facts: dict[int, TableFacts] = {}

    def examined_tables() -> Iterator[Finding]:
        roots = () if config.snapshot == "only" else published_roots(connection, publication)
        found, missing = captured_and_missing(
            connection, config.tables, config.exclude_tables, roots
        )
        tables.extend(found)
        facts.update(describe(connection, [table.oid for table in found], ColumnRules.of(context)))
        subject = Subject(connection, session.user, tables, facts)
        yield from table_findings(subject, missing, config)

    yield from _guarded("tables", examined_tables)
    yield from _guarded("snapshot_tables", lambda: _wishes(connection, config, tables))
    if config.snapshot == "only":
        return
    yield from _guarded("slot", lambda: slot_findings(connection, session.database, slot, config))
    yield from _guarded("retention", lambda: retention_findings(connection, slot, config))
    yield from _guarded("transactions", lambda: transaction_findings(connection))
    yield from snapshot_findings(tables, config)
    standby, beat = dialer.home.standby, context.heartbeat
    yield from _guarded("heartbeat", lambda: heartbeat_findings(connection, beat, standby=standby))
    yield from _guarded(
        "publication",
        lambda: publication_findings(
            connection,
            session.user,
            session.database,
            publication,
            tables,
            config,
            standby=session.standby,
        ),
    )


def _wishes(
    connection: psycopg.Connection[tuple[Any, ...]], config: Config, tables: list[CapturedTable]
) -> Iterator[Finding]:
    """Whether the server understands what the snapshot is asked to read of single tables."""
    if not (config.snapshot_tables or config.snapshot_order):
        return
    try:
        understood_wishes(connection, config, tables, tables)
    except ConfigError as error:
        yield Finding("error", "snapshot-wish", "snapshot_tables", error.message, error.hint)
    else:
        yield Finding(
            "ok", "snapshot-wish", "snapshot_tables", "every table, column and condition is known"
        )


def _guarded(subject: str, probe: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a probe, and one more where it could not go on."""
    try:
        yield from probe()
    except (psycopg.Error, CdcError) as error:
        yield _failed(subject, error)


def _failed(subject: str, error: psycopg.Error | CdcError) -> Finding:
    if isinstance(error, CdcError):
        return Finding("error", "probe-failed", subject, error.message, error.hint)
    said = error.diag.message_primary or "the connection was lost"
    return Finding(
        "error",
        "probe-failed",
        subject,
        f"the server could not answer: {said}",
        "Run `cdc check` again; grant the right that the message names.",
    )


def _refused_connection(error: CdcError, config: Config) -> Finding:
    fix = error.hint
    if "permission denied for database" in error.message:
        database = error.message.rpartition("permission denied for database ")[2].split('"')[1]
        user = conninfo_to_dict(config.url.reveal()).get("user")
        fix = (
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {};")
            .format(
                sql.Identifier(database),
                # Without one the environment names it, or the machine.
                sql.Identifier(str(user)) if user else sql.SQL("<user of the url>"),
            )
            .as_string(None)
        )
    return Finding("error", "connection", "url", error.message, fix)


def _version(session: _Session) -> Iterator[Finding]:
    if session.version_number < VERSION_MIN:
        yield Finding(
            "error",
            "server-version",
            session.database,
            f"the server is PostgreSQL {session.version}; 14 or later is needed",
            "Upgrade the server.",
        )
    else:
        yield Finding("ok", "server-version", session.database, f"PostgreSQL {session.version}")


def _replication(dialer: Dialer, session: _Session) -> Iterator[Finding]:
    role = sql.Identifier(session.user).as_string(None)
    if not session.may_replicate:
        yield Finding(
            "error",
            "replication-right",
            session.user,
            f"the role {session.user} may not replicate",
            f"ALTER ROLE {role} REPLICATION;",
        )
        return
    yield Finding("ok", "replication-right", session.user, "the role may replicate")
    try:
        dialer.connect_replication().close()
    except CdcError as error:
        yield Finding("error", "replication-connection", "url", error.message, error.hint)
    else:
        yield Finding(
            "ok", "replication-connection", "url", "the server takes replication connections"
        )


def _server(
    connection: psycopg.Connection[tuple[Any, ...]], config: Config, slot: str
) -> Iterator[Finding]:
    settings: dict[str, str] = dict(
        connection.execute(_READ_SETTINGS, (list(_SETTINGS),)).fetchall()
    )
    if settings["wal_level"] == "logical":
        yield Finding("ok", "wal-level", "wal_level", "wal_level is logical")
    else:
        yield Finding(
            "error",
            "wal-level",
            "wal_level",
            f"wal_level is {settings['wal_level']}, so changes cannot be decoded",
            "ALTER SYSTEM SET wal_level = 'logical'; then restart the server",
        )
    if config.snapshot != "only":
        yield from _capacity(connection, settings, slot)
    yield from _advice(settings, config)


def _capacity(
    connection: psycopg.Connection[tuple[Any, ...]], settings: Mapping[str, str], slot: str
) -> Iterator[Finding]:
    slots, own_slot, senders, own_sender = connection.execute(
        _READ_USED, {"slot": slot}
    ).fetchall()[0]
    for code, setting, used, is_ours in (
        ("replication-slots-left", "max_replication_slots", slots, own_slot),
        ("wal-senders-left", "max_wal_senders", senders, own_sender),
    ):
        limit = int(settings[setting])
        if used >= limit and not is_ours:
            yield Finding(
                "error",
                code,
                setting,
                f"all {limit} of {setting} are in use",
                f"ALTER SYSTEM SET {setting} = {limit + 5}; then restart the server"
                " (or drop slots that nobody reads any more)",
            )
        else:
            yield Finding("ok", code, setting, f"{used} of {limit} {setting} are in use")


def _advice(settings: Mapping[str, str], config: Config) -> Iterator[Finding]:
    """Settings with which capture works, but may surprise."""
    if settings.get("max_slot_wal_keep_size", "-1") == "-1":
        yield Finding(
            "warning",
            "wal-retention",
            "max_slot_wal_keep_size",
            "a pipeline that stands still keeps WAL without limit and can fill the server's disk",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();"
            " (beyond it the slot is lost and a new snapshot is due)",
        )
    else:
        kept = settings["max_slot_wal_keep_size"]
        yield Finding(
            "ok", "wal-retention", "max_slot_wal_keep_size", f"slots keep at most {kept} MB of WAL"
        )
    work_mem_kb = int(settings["logical_decoding_work_mem"])
    if work_mem_kb < _WORK_MEM_KB:
        yield Finding(
            "warning",
            "decoding-memory",
            "logical_decoding_work_mem",
            f"decoding has {work_mem_kb} kB: larger transactions are "
            + (
                "sent while in progress, and kept here, files and all, until their commit"
                if config.stream_transactions
                else "kept in files of the server until their commit"
            ),
            "ALTER SYSTEM SET logical_decoding_work_mem = '64MB'; SELECT pg_reload_conf();",
        )
    else:
        yield Finding(
            "ok", "decoding-memory", "logical_decoding_work_mem", f"{work_mem_kb} kB for decoding"
        )
    encoding = settings["server_encoding"]
    if encoding == "SQL_ASCII":
        yield Finding(
            "warning",
            "encoding",
            "server_encoding",
            "the database takes any bytes; text that is not UTF-8 stops the source",
            "Move the data to a database with ENCODING 'UTF8', or see that writers send UTF-8.",
        )
    else:
        yield Finding("ok", "encoding", "server_encoding", f"the database is in {encoding}")
    yield from _sender_timeout(int(settings["wal_sender_timeout"]), config)


def _sender_timeout(timeout_ms: int, config: Config) -> Iterator[Finding]:
    subject = "wal_sender_timeout"
    fix = "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();"
    if timeout_ms == 0:
        message = "0: a connection that died keeps the slot busy until the operating system notices"
        yield Finding("warning", "sender-timeout", subject, message, fix)
    elif timeout_ms <= 2000 * config.status_interval_s:
        message = (
            f"the server ends a connection after {timeout_ms} ms of silence, and"
            f" status_interval_s is {config.status_interval_s:g}"
        )
        yield Finding("error", "sender-timeout", subject, message, fix)
    else:
        yield Finding("ok", "sender-timeout", subject, f"{timeout_ms} ms")
