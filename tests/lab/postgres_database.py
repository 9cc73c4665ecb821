"""A database of one test's own on a running server, with the roles that the test needs."""

import contextlib
import re
import secrets
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from tests.lab.errors import LabError
from tests.lab.postgres import PostgresServer

_END_STREAM = """
    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
    WHERE database = %s AND active_pid IS NOT NULL
"""
# pg_terminate_backend with a time-out waits for the end of the process.
_END_SESSIONS = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
_DROP_SLOTS = (
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s"
)


class PostgresDatabase:
    """A fresh database; `close` drops it with its slots and the roles made by `create_role`."""

    def __init__(self, server: PostgresServer) -> None:
        """Create a database with a name that no other has."""
        self.server = server
        self.name = f"lab_{secrets.token_hex(6)}"
        self._roles: list[str] = []
        with server.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))

    @property
    def url(self) -> str:
        """The address for the superuser, who needs no password."""
        return self.server.url(self.name)

    def url_of(self, user: str, password: str) -> str:
        """Return the address for another role, whose password the server checks."""
        return self.server.url(self.name, user=user, password=password)

    def connect(self) -> psycopg.Connection:
        """Return a superuser's connection in autocommit mode; the caller closes it."""
        return self.server.connect(self.name)

    def execute(self, *statements: str) -> None:
        """Run each statement as the superuser in its own transaction."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create_role(self, attributes: str = "LOGIN REPLICATION") -> tuple[str, str]:
        """Create a role with a unique name and return it with its password.

        Raises LabError if `attributes` are not plain words.
        """
        if not re.fullmatch(r"[A-Za-z0-9 ]*", attributes):
            raise LabError(
                f"role attributes are words such as LOGIN REPLICATION, not {attributes!r}"
            )
        name, password = f"role_{secrets.token_hex(6)}", secrets.token_hex(12)
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} {} PASSWORD {}").format(
                    sql.Identifier(name),
                    sql.SQL(attributes.upper()),
                    sql.Literal(password),
                )
            )
        self._roles.append(name)
        return name, password

    def close(self) -> None:
        """Drop the database, ending whoever uses it; starts a stopped server for it."""
        if not self.server.is_running:
            self.server.start_again()
        with contextlib.closing(self.server.connect()) as connection:
            if connection.info.server_version >= 140_000:
                connection.execute(_END_SESSIONS, (self.name,))
            self._drop_slots(connection)
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name))
            )
            for role in self._roles:
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))

    def _drop_slots(self, connection: psycopg.Connection) -> None:
        """Drop the database's slots; a walsender just ended may hold one for a moment."""
        attempts = 200
        for attempt in range(attempts):
            connection.execute(_END_STREAM, (self.name,))
            try:
                connection.execute(_DROP_SLOTS, (self.name,))
            except (psycopg.errors.ObjectInUse, psycopg.errors.UndefinedObject):
                if attempt == attempts - 1:
                    raise
                connection.execute("SELECT pg_sleep(0.05)")
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
