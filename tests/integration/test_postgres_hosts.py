"""Lists of hosts in the URL: which one is taken, and that all connections are on the same one."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.errors import ConfigError, SourceRefused, TransientError
from cdc.secret import Secret
from connectors.postgres.connection import Dialer
from tests.integration.postgres_capture import Capture
from tests.integration.postgres_pair import Pair, execute, one
from tests.lab.ports import HOST
from tests.lab.postgres import SUPERUSER, PostgresServer

pytestmark = pytest.mark.postgres


def dialer(url: str, timeout_s: float = 5.0) -> Dialer:
    return Dialer(Secret(url), None, None, timeout_s, "hosts")


def url_of(*ports: int, query: str = "") -> str:
    return (
        f"postgresql://{SUPERUSER}@{','.join(f'{HOST}:{port}' for port in ports)}/postgres?{query}"
    )


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A host that takes connections and never says a word."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(0.0)
        yield listener


@pytest.mark.parametrize(
    ("query", "standby"),
    [
        ("", False),
        ("target_session_attrs=read-write", False),
        ("target_session_attrs=standby", True),
        ("target_session_attrs=prefer-standby", True),
        ("target_session_attrs=any", True),
        ("target_session_attrs=primary&load_balance_hosts=random", False),
    ],
)
def test_host_is_taken_by_its_kind(pair: Pair, query: str, standby: bool) -> None:
    primary, second = pair.servers
    chosen = dialer(url_of(second.port, primary.port, query=query))

    with chosen.connect() as connection, chosen.connect_replication() as replication:
        ports = {connection.info.port, replication.info.port}

    assert {second.port if standby else primary.port} == ports
    assert standby == chosen.home.standby


def test_host_that_says_nothing_costs_its_timeout_once(
    pair: Pair, mute: socket.socket, tmp_path: Path
) -> None:
    url = url_of(mute.getsockname()[1], pair.servers[0].port)
    capture = Capture(url, tmp_path, connect_timeout_s=2.0, pipeline="mute")

    with capture:
        capture.until_streaming()
        tried = 0
        while True:
            try:
                mute.accept()[0].close()
            except BlockingIOError:
                break
            tried += 1
        sessions = one(
            pair.servers[0],
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidewire mute shop'",
        )

    assert (tried, sessions) == (1, 3)


def test_list_without_a_primary_is_tried_again(pair: Pair) -> None:
    standby = pair.servers[1]

    with pytest.raises(TransientError, match="no server of the source will do") as caught:
        dialer(url_of(1, standby.port)).connect()

    assert "read-write" in caught.value.hint
    assert f"{HOST}:1: " in caught.value.message


def test_refusal_of_one_host_ends_nothing_while_another_may_come_back(pair: Pair) -> None:
    primary = pair.servers[0]
    with pytest.raises(SourceRefused):
        dialer(url_of(primary.port).replace("/postgres?", "/none?")).connect()

    with pytest.raises(TransientError, match='database "none" does not exist'):
        dialer(url_of(primary.port, 1).replace("/postgres?", "/none?")).connect()


def test_host_that_has_no_address_is_tried_again() -> None:
    with pytest.raises(TransientError, match="no-such-host") as caught:
        dialer("postgresql://u@no-such-host.invalid/x").connect()

    assert "Correct the host" in caught.value.hint


def test_ports_must_match_the_hosts() -> None:
    with pytest.raises(ConfigError, match="as many ports as hosts") as caught:
        dialer(f"host={HOST},{HOST},{HOST} port=1,2 user=x").connect()

    assert "\n" not in str(caught.value)


def test_server_that_restarts_between_two_connections_is_noticed() -> None:
    with PostgresServer.start() as server:
        chosen = dialer(server.url())
        chosen.connect().close()
        server.restart()

        with pytest.raises(TransientError, match="ended on different servers, or the server rest"):
            chosen.connect()


def test_time_outs_that_only_newer_servers_have_are_lifted(pair: Pair) -> None:
    primary = pair.servers[0]
    execute(
        primary,
        f"ALTER ROLE {SUPERUSER} SET transaction_timeout = '1s'",
        f"ALTER ROLE {SUPERUSER} SET idle_session_timeout = '1h'",
    )
    try:
        chosen = dialer(primary.url())
        with chosen.connect() as connection, chosen.connect_replication() as replication:
            for session in (connection, replication):
                assert session.execute("SHOW transaction_timeout").fetchone() == ("0",)
                assert session.execute("SHOW idle_session_timeout").fetchone() == ("0",)
    finally:
        execute(primary, f"ALTER ROLE {SUPERUSER} RESET ALL")
