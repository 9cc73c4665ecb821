"""What `cdc check` says about the servers behind a source: the hosts of its list, and failover.

Source: PostgreSQL 17 manual, Replication Slot Synchronization; Hot Standby.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cdc.errors import CdcError
from cdc.protocols import Finding
from connectors.postgres.config import Config
from connectors.postgres.connection import Dialer, rows_of
from connectors.postgres.failover import STANDBY_VERSION_MIN, VERSION_MIN, absent_standbys
from connectors.postgres.home import Home
from connectors.postgres.slots import read_slot

_READ_HOST: Final[LiteralString] = """
SELECT (SELECT s.system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system() s),
       pg_catalog.current_setting('hot_standby_feedback'),
       coalesce(pg_catalog.current_setting('sync_replication_slots', true), 'off'),
       pg_catalog.current_setting('primary_slot_name'),
       (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'primary_conninfo')
"""
_READ_COPY: Final[LiteralString] = """
SELECT s.temporary, s.synced, s.invalidation_reason
FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s
"""
_WAITS_FOR: Final[LiteralString] = """
SELECT pg_catalog.current_setting('synchronized_standby_slots', true)
"""
_PHYSICAL: Final[LiteralString] = """
SELECT s.slot_name::pg_catalog.text FROM pg_catalog.pg_replication_slots s
WHERE s.slot_type = 'physical' AND s.active ORDER BY 1
"""
_SLOT_NAME: Final = "ALTER SYSTEM SET primary_slot_name = '...';"
_RELOAD: Final = "SELECT pg_reload_conf();"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Host:
    """One row of _READ_HOST, and which server it is about."""

    place: str
    system: str
    feedback: str
    syncs: str
    slot_name: str
    conninfo: str | None


def standby_findings(connection: Connection, home: Home) -> Iterator[Finding]:
    """Whether changes can be read from this server, when it is a standby."""
    if not home.standby:
        return
    if home.version < STANDBY_VERSION_MIN:
        yield Finding(
            "error",
            "standby",
            "url",
            "the server is a standby, and only PostgreSQL 16 and later can read changes from one",
            "Let `url` name the primary, or use `snapshot: only`.",
        )
        return
    host = _Host("url", *rows_of(connection, "looking at the standby", _READ_HOST)[0])
    if host.feedback == "off":
        yield Finding(
            "warning",
            "standby-feedback",
            "hot_standby_feedback",
            "the primary may remove catalog rows that the slot on this standby needs: the slot is"
            " then invalidated",
            f"On the standby: ALTER SYSTEM SET hot_standby_feedback = on; {_RELOAD}",
        )
    yield Finding(
        "ok",
        "standby",
        "url",
        "the server is a standby: the publication must be made on its primary, and making the slot"
        " waits until the primary runs SELECT pg_log_standby_snapshot(); or is busy",
    )


def host_findings(dialer: Dialer, config: Config, slot: str) -> Iterator[Finding]:
    """Every host of the list, whether it answers, and whether it could take over."""
    systems: dict[str, str] = {}
    for alone in dialer.each():
        try:
            connection = alone.connect()
        except CdcError as error:
            yield Finding(
                "warning",
                "host",
                alone.place,
                f"{alone.place} of the list gives no connection: {error.message}",
                error.hint,
            )
            continue
        with connection:
            host = _Host(alone.place, *rows_of(connection, "looking at a host", _READ_HOST)[0])
            systems[host.place] = host.system
            kind = "standby" if alone.home.standby else "primary"
            yield Finding("ok", "host", host.place, f"{host.place} is a {kind}")
            if alone.home.standby and config.failover and alone.home.version >= VERSION_MIN:
                yield from _readiness(connection, host, slot)
    if len(set(systems.values())) > 1:
        told = ", ".join(f"{place} ({system})" for place, system in systems.items())
        yield Finding(
            "error",
            "host-other-cluster",
            "url",
            f"the hosts of the list are not copies of one another: {told}",
            "Let `url` list a primary and its own standbys only.",
        )


def failover_findings(connection: Connection, home: Home, name: str) -> Iterator[Finding]:
    """What the primary must be like for `failover: true`."""
    if home.version < VERSION_MIN:
        message = "`failover: true` needs PostgreSQL 17 or later"
        yield Finding("error", "failover", name, message, "Set `failover: false`.")
        return
    if home.standby:
        message = "a slot on a standby cannot be a failover slot"
        fix = "Let `url` name the primary, or set `failover: false`."
        yield Finding("error", "failover", name, message, fix)
        return
    slot = read_slot(connection, name)
    if slot is not None and not slot.failover:
        message = f"slot {name} becomes a failover slot at the next start"
        yield Finding("ok", "failover", name, message)
    wanted = rows_of(connection, "looking for standbys", _WAITS_FOR)[0][0] or ""
    absent = absent_standbys(connection, wanted)
    if absent:
        yield Finding(
            "error",
            "failover-waits",
            "synchronized_standby_slots",
            f"slot {name} is sent nothing while the server waits for standbys: {', '.join(absent)}",
            f"ALTER SYSTEM RESET synchronized_standby_slots; {_RELOAD}"
            " (or bring the standbys back; the setting is copied with a standby's files)",
        )
    elif not wanted:
        names = [row[0] for row in rows_of(connection, "looking for standbys", _PHYSICAL)]
        value = sql.Literal(", ".join(names) or "<slot of the standby>").as_string(None)
        yield Finding(
            "warning",
            "failover-unprotected",
            "synchronized_standby_slots",
            "the stream may run ahead of the standbys: a standby that is promoted then lacks"
            " changes that are in the log, and the position is lost",
            f"ALTER SYSTEM SET synchronized_standby_slots = {value}; {_RELOAD}",
        )
    else:
        message = f"the stream never runs ahead of {wanted}"
        yield Finding("ok", "failover-protected", "synchronized_standby_slots", message)


def _readiness(connection: Connection, host: _Host, slot: str) -> Iterator[Finding]:
    """Whether a standby has a copy of the slot that outlives its promotion."""
    complete = True
    for setting, value, fix in (
        ("sync_replication_slots", host.syncs, "ALTER SYSTEM SET sync_replication_slots = on;"),
        ("hot_standby_feedback", host.feedback, "ALTER SYSTEM SET hot_standby_feedback = on;"),
        (
            "primary_slot_name",
            host.slot_name or "off",
            "ALTER SYSTEM SET primary_slot_name = '...';",
        ),
    ):
        if value == "off":
            complete = False
            yield _unready(
                host, setting, f"{setting} is not set on {host.place}", f"{fix} {_RELOAD}"
            )
    # Shown only to those who may read all settings.
    if host.conninfo is not None and "dbname" not in host.conninfo:
        complete = False
        yield _unready(
            host,
            "primary_conninfo",
            f"primary_conninfo on {host.place} names no database, without which no slot is copied",
            "Add dbname=postgres to primary_conninfo (ALTER SYSTEM SET primary_conninfo = '...');"
            f" {_RELOAD}",
        )
    if complete:
        yield from _copy(connection, host, slot)


def _copy(connection: Connection, host: _Host, slot: str) -> Iterator[Finding]:
    found = rows_of(connection, "looking for the slot's copy", _READ_COPY, (slot,))
    moving = (
        "On the primary: SELECT pg_log_standby_snapshot(); while the pipeline runs and captures"
        " changes. A copy is kept only once the slot has moved past the standby's own start."
    )
    if not found:
        yield _unready(host, slot, f"{host.place} has no copy of slot {slot} yet", moving)
        return
    temporary, synced, reason = found[0]
    if reason:
        message = f"the copy of slot {slot} on {host.place} is invalidated: {reason}"
        yield _unready(host, slot, message, "It is copied anew by itself; see the standby's log.")
    elif temporary or not synced:
        message = f"the copy of slot {slot} on {host.place} is not ready: a promotion would lose it"
        yield _unready(host, slot, message, moving)
    else:
        message = f"{host.place} has a copy of slot {slot} that outlives its promotion"
        yield Finding("ok", "failover-ready", slot, message)


def _unready(host: _Host, subject: str, message: str, fix: str) -> Finding:
    told = fix if fix.startswith(("On ", "It ")) else f"On {host.place}: {fix}"
    return Finding("warning", "failover-unready", subject, message, told)
