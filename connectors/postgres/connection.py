"""How connections to the source are made: address, fresh password, session settings."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import Any, Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict, timeout_from_conninfo

from cdc.errors import ConfigError, TransientError
from cdc.secret import Secret
from connectors.postgres import decoders
from connectors.postgres.attempts import Refused, open_session
from connectors.postgres.connection_refusals import connection_error
from connectors.postgres.copy_stream import next_result
from connectors.postgres.home import Home, read_home, require_same_home, split_hosts
from connectors.postgres.refusals import session_error
from connectors.postgres.tls_probe import explained

# What makes the text form of values and the meaning of catalog queries independent of the settings
# of role, database and server; options of the connection rank above those.
# row_security off: a policy that would hide rows is an error instead.
# Source: PostgreSQL manual, Client Connection Defaults.
SESSION_SETTINGS: Final = {
    **decoders.SESSION_SETTINGS,
    "client_encoding": "UTF8",
    "client_min_messages": "warning",
    "xmlbinary": "base64",
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "xmloption": "content",
}

_ADDRESS: Final = ("host", "hostaddr", "port")
ANSWER_TIMEOUT_S: Final = 5.0
# A dead peer is noticed within this time instead of the hours of the system's own default.
_DEAD_PEER: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class Dialer:
    """Opens connections to one database, all of them on one server.

    The first one chooses a server of the list in the URL; every later one must reach the same, and
    raises TransientError when it does not: another life then chooses again. The password is read
    again, and `password_command` run again, for each of them.
    """

    def __init__(
        self,
        url: Secret,
        password: Secret | None,
        password_command: tuple[str, ...] | None,
        connect_timeout_s: float,
        application_name: str,
    ) -> None:
        self._url = url
        self._password = password
        self._password_command = password_command
        self._connect_timeout_s = connect_timeout_s
        self._application_name = application_name
        self._home: Home | None = None
        self._pinned: dict[str, Any] = {}

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """An ordinary connection in autocommit mode. Raises TransientError or SourceRefused."""
        return self._dial()

    def connect_replication(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that takes replication commands for this database."""
        return self._dial(replication="database")

    @property
    def address(self) -> tuple[tuple[str, str], ...]:
        """Where all connections go, for a dialer in another process: see `pin`."""
        return tuple((name, str(value)) for name, value in self._pinned.items())

    def pin(self, address: tuple[tuple[str, str], ...]) -> None:
        """Connect to the server that another dialer has chosen, and no other."""
        self._pinned = dict(address)

    @property
    def home(self) -> Home:
        """The server that all connections are on; there must have been one."""
        assert self._home is not None, "connect first"
        return self._home

    @property
    def place(self) -> str:
        """Host and port of a dialer that `each` gave."""
        return f"{self._pinned.get('host', '?')}:{self._pinned.get('port', 5432)}"

    def each(self) -> "Iterator[Dialer]":
        """A dialer for each host of a list in the URL, which takes it whatever it is."""
        hosts = split_hosts(self._given())
        for host in hosts if len(hosts) > 1 else ():
            alone = Dialer(
                self._url,
                self._password,
                self._password_command,
                self._connect_timeout_s,
                self._application_name,
            )
            alone._pinned = {**host, "target_session_attrs": "any"}
            yield alone

    def _dial(self, **more: str) -> psycopg.Connection[tuple[Any, ...]]:
        parameters = self._parameters(more)
        timeout_s = float(timeout_from_conninfo(parameters))
        refusals = []
        for attempt in self._attempts(parameters):
            try:
                connection = open_session(attempt, timeout_s)
            except Refused as refused:
                refusals.append(explained(refused.refusal, attempt, timeout_s))
                continue
            try:
                self._settle(connection)
            except BaseException:
                connection.close()
                raise
            return connection
        wanted = str(parameters.get("target_session_attrs") or "any")
        raise connection_error(refusals, wanted)

    def _attempts(self, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """The addresses in the order to try them."""
        try:
            return conninfo_attempts(parameters)
        except psycopg.Error as error:
            # The driver's own sentence, of which only the one about names can pass.
            if "could not match" in str(error):
                raise ConfigError(
                    f"`url` of the source is no Postgres address: {error}",
                    hint="A list of hosts takes one port for all, or as many ports as hosts.",
                ) from error
            raise TransientError(
                f"the source cannot be reached: {error}", hint="Correct the host in `url`."
            ) from error

    def _settle(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Set what only newer servers know, and see that this is the server of all others."""
        with translated("asking the server who it is"):
            home = read_home(connection)
        if self._home is None:
            pgconn = connection.pgconn
            self._home = home
            self._pinned = {
                name: value.decode()
                for name in ("host", "hostaddr", "port")
                if (value := getattr(pgconn, name))
            } | {name: value for name, value in self._pinned.items() if name not in _ADDRESS}
        else:
            require_same_home(self._home, home)

    def _given(self) -> dict[str, Any]:
        try:
            return dict(conninfo_to_dict(self._url.reveal()))
        except psycopg.ProgrammingError:
            # The driver's message may repeat parts of the URL, and with them the password.
            raise ConfigError(
                "`url` of the source is no Postgres address",
                hint="Write it as postgresql://USER@HOST:PORT/DATABASE?sslmode=...",
            ) from None

    def _parameters(self, more: dict[str, str]) -> dict[str, Any]:
        given = self._given()
        settings = " ".join(
            f"-c {name}={_escape(value)}" for name, value in SESSION_SETTINGS.items()
        )
        fixed: dict[str, Any] = {
            "application_name": self._application_name,
            "options": f"{given.get('options') or ''} {settings}".strip(),
            **more,
        }
        password = self._current_password()
        if password is not None:
            fixed["password"] = password
        # What the user says in the URL wins over what we think.
        defaults: dict[str, Any] = {
            "connect_timeout": max(2, round(self._connect_timeout_s)),
            **_DEAD_PEER,
        }
        if len(split_hosts(given)) > 1 and "PGTARGETSESSIONATTRS" not in os.environ:
            defaults["target_session_attrs"] = "read-write"
        if self._pinned:
            given = {name: value for name, value in given.items() if name not in _ADDRESS}
        return {**defaults, **given, **fixed, **self._pinned}

    def _current_password(self) -> str | None:
        if self._password_command is not None:
            return _run_password_command(self._password_command, self._connect_timeout_s)
        return None if self._password is None else self._password.reveal()


def _escape(value: str) -> str:
    # Spaces and backslashes in the `options` parameter are escaped with a backslash.
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def _run_password_command(command: tuple[str, ...], timeout_s: float) -> str:
    """The first line that the command prints. What it prints is never shown."""
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
            command, capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"`password_command` cannot be run: {command[0]}",
            hint="Name a program that exists and may be executed by this user.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TransientError(
            f"`password_command` ({command[0]}) gave no password in {timeout_s:g} s"
        ) from error
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        raise TransientError(
            f"`password_command` ({command[0]}) ended with exit code {done.returncode} "
            f"and {'a' if lines else 'no'} password",
            hint="Run it by hand as the user of this process.",
        )
    return lines[0]


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns the driver's errors into ours; `doing` says what was tried, as in `X failed`."""
    try:
        yield
    except psycopg.Error as error:
        raise session_error(error, doing) from error


def require_answer(connection: psycopg.Connection[tuple[Any, ...]], doing: str) -> None:
    """Raise TransientError, and close the connection, unless the session answers in time.

    Asked before a question that waits as long as it takes: a session that is frozen keeps its
    connection, so that no time-out of the network ends the wait.
    """
    pgconn = connection.pgconn
    with translated(doing):
        pgconn.send_query(b"SELECT")
        answered = next_result(pgconn, ANSWER_TIMEOUT_S) is not None
        while answered and next_result(pgconn, ANSWER_TIMEOUT_S) is not None:
            pass
    if not answered:
        connection.close()
        raise TransientError(f"{doing} failed: no answer in {ANSWER_TIMEOUT_S:g} s")


def rows_of(
    connection: psycopg.Connection[tuple[Any, ...]],
    doing: str,
    query: LiteralString,
    parameters: tuple[object, ...] = (),
) -> list[tuple[Any, ...]]:
    """All rows of a small query, with errors translated."""
    with translated(doing):
        return connection.execute(query, parameters).fetchall()
