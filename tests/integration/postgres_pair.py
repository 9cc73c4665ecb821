"""A primary and its standby for tests of failover, and a capture that goes on by itself."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from cdc.errors import TransientError
from tests.integration.postgres_capture import Capture
from tests.lab.ports import HOST
from tests.lab.postgres import SUPERUSER, PostgresServer
from tests.lab.postgres_standby import start_standby

TIMEOUT_S = 40.0


class Pair:
    """Two servers, the second one a standby of the first; more can be added."""

    def __init__(
        self, version: str = "17", *, standby: Mapping[str, str] | None = None, **settings: str
    ) -> None:
        self.servers = [PostgresServer.start(version, settings)]
        execute(
            self.servers[0],
            "CREATE TABLE t (id int PRIMARY KEY, v text)",
            "CREATE SCHEMA side",
            "CREATE TABLE side.other (id int)",
        )
        try:
            self.add_standby(**(standby or {}))
        except BaseException:
            self.close()
            raise

    def add_standby(self, **settings: str) -> PostgresServer:
        """Another standby of the last server that was made."""
        self.servers.append(start_standby(self.servers[-1], settings=settings))
        return self.servers[-1]

    def url(self, **parameters: str) -> str:
        """All servers, in order, as one URL."""
        hosts = ",".join(f"{HOST}:{server.port}" for server in self.servers)
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{SUPERUSER}@{hosts}/postgres?{query}"

    def close(self) -> None:
        """Stop all of them."""
        for server in reversed(self.servers):
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def execute(server: PostgresServer, *statements: str) -> None:
    """Run each statement in its own transaction."""
    with server.connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())


def one(server: PostgresServer, query: str) -> Any:
    """The only value that a query gives."""
    with server.connect() as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def wait_for(server: PostgresServer, condition: str, meanwhile: Callable[[], object]) -> None:
    """Until the server says so; `meanwhile` is called in between."""
    deadline = time.monotonic() + TIMEOUT_S
    with server.connect() as connection:
        while connection.execute(f"SELECT {condition}".encode()).fetchone() != (True,):
            assert time.monotonic() < deadline, condition
            meanwhile()
            connection.execute("SELECT pg_sleep(0.05)")


def wait_replayed(primary: PostgresServer, standby: PostgresServer) -> None:
    """Until the standby shows what the primary has committed."""
    end = one(primary, "SELECT pg_current_wal_lsn()")
    wait_for(standby, f"pg_last_wal_replay_lsn() >= '{end}'", lambda: None)


def wait_synced(primary: PostgresServer, standby: PostgresServer, capture: Capture) -> None:
    """Until the standby has a copy of the slot that outlives a promotion; the slot must move."""

    def move() -> None:
        execute(primary, "SELECT pg_log_standby_snapshot()", "INSERT INTO side.other VALUES (0)")
        capture.poll(0.05)

    wait_for(
        standby,
        "EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'cdc_shop'"
        " AND synced AND NOT temporary)",
        move,
    )


def promote(server: PostgresServer) -> None:
    """Make a standby the primary."""
    assert one(server, "SELECT pg_promote()")


def go_on(capture: Capture, done: Callable[[], bool]) -> None:
    """Poll until `done`, beginning again after everything that passes, as the loop does."""
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < deadline, "the source did not go on in time"
        try:
            capture.poll()
        except TransientError:
            begin_again(capture, deadline)


def go_on_until_told(capture: Capture, text: str) -> TransientError:
    """Poll, beginning again after everything that passes, until an error says `text`."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        assert time.monotonic() < deadline, f"nothing said {text!r} in time"
        try:
            capture.poll()
        except TransientError as error:
            if text in error.message:
                return error
            begin_again(capture, deadline)


def begin_again(capture: Capture, deadline: float) -> None:
    """Start behind the checkpoint, as often as it takes."""
    while True:
        capture.crash()
        try:
            capture.start()
        except TransientError:
            assert time.monotonic() < deadline, "the source did not start in time"
            time.sleep(0.1)
        else:
            return


def ids(capture: Capture) -> list[object]:
    """The keys of table t in the order they were captured, repetitions included."""
    return [event.after[0] for event in capture.events if event.after and event.op in "cr"]


def ids_in(server: PostgresServer) -> list[object]:
    """The keys of table t: the judge."""
    with server.connect() as connection:
        return [row[0] for row in connection.execute("SELECT id FROM t ORDER BY id")]
