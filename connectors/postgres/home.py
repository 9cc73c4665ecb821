"""Which server a session is on: every connection of a source must be on the same one.

A start of a server is told by its time, in microseconds: two servers of one cluster differ in it,
and so does a server from what it was before a restart.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from cdc.errors import SourceRefused, TransientError

# Without parameters: a replication connection takes the simple query protocol only.
# Settings that only newer servers know are set where they are known; 0 and off change nothing else.
_READ: Final[LiteralString] = """
SELECT (SELECT pg_catalog.count(pg_catalog.set_config(s.name, '0', false))
        FROM pg_catalog.pg_settings s
        WHERE s.name IN ('transaction_timeout', 'idle_session_timeout')),
       (extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::pg_catalog.int8,
       pg_catalog.pg_is_in_recovery(),
       pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
       pg_catalog.current_setting('search_path'),
       pg_catalog.current_setting('IntervalStyle')
"""
# Two of the settings that every connection asks for; see SESSION_SETTINGS of connection.py.
_ASKED_FOR: Final = ("", "postgres")


@dataclass(frozen=True, slots=True)
class Home:
    """One running server.

    `started_us` is when it started, in microseconds since 1970; `standby` whether it was in
    recovery when it was asked first; `version` is server_version_num, such as 170010.
    """

    started_us: int
    standby: bool
    version: int


def read_home(connection: psycopg.Connection[tuple[Any, ...]]) -> Home:
    """The server of a session; also lifts the time-outs that startup options cannot name.

    Raises SourceRefused when somebody in between has dropped the settings that were asked for: the
    text form of values would depend on whatever the server's are.
    """
    _, started_us, standby, version, *settings = connection.execute(_READ).fetchall()[0]
    if tuple(settings) != _ASKED_FOR:
        raise SourceRefused(
            "the session does not have the settings that it was opened with",
            hint="`url` seems to name a connection pooler that ignores startup parameters: name "
            "the database server itself.",
        )
    return Home(int(started_us), standby, int(version))


def require_same_home(first: Home, other: Home) -> None:
    """Raise TransientError unless both sessions are on one server in one state."""
    if other.started_us != first.started_us:
        raise TransientError(
            "two connections of the source ended on different servers, or the server restarted "
            "between them",
            hint="It is tried again; if it lasts, let each host in `url` name one server, and no "
            "address that is shared out among several.",
        )
    if other.standby != first.standby:
        raise TransientError("the standby was promoted while the source connected")


def split_hosts(given: Mapping[str, Any]) -> list[dict[str, str]]:
    """The hosts of connection parameters, each with its address and port as far as given.

    Empty when neither parameters nor environment name one (a service may).
    """
    columns = {
        name: str(value).split(",")
        for name, variable in (("host", "PGHOST"), ("hostaddr", "PGHOSTADDR"))
        if (value := given.get(name) or os.environ.get(variable))
    }
    if not columns:
        return []
    count = max(len(values) for values in columns.values())
    ports = given.get("port")
    if ports is not None:
        values = str(ports).split(",")
        columns["port"] = values * count if len(values) == 1 else values
    return [
        {name: values[index] for name, values in columns.items() if index < len(values)}
        for index in range(count)
    ]
