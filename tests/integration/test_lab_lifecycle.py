"""Nothing of the lab survives: not after close, a failed start, or the death of its owner."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import (
    AddressInUse,
    ChromiumServer,
    KafkaServer,
    LabError,
    OpenSearchServer,
    PostgresServer,
    RedisServer,
    find_postgres,
    kafka,
    opensearch,
    ports,
    postgres,
    redis,
    watchdog,
)
from tests.lab.identity import Account, server_account
from tests.lab.java import java_home
from tests.lab.process import PREFIX, RunFolder, ServerProcess

_TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]
AnyServer = PostgresServer | RedisServer | KafkaServer | OpenSearchServer | ChromiumServer
_STARTERS = [
    pytest.param(PostgresServer.start, marks=pytest.mark.postgres),
    pytest.param(RedisServer.start, marks=pytest.mark.redis),
    pytest.param(KafkaServer.start, marks=pytest.mark.kafka),
    pytest.param(OpenSearchServer.start, marks=pytest.mark.opensearch),
    pytest.param(ChromiumServer.start, marks=pytest.mark.browser),
]
_OWNER = """
import os, sys
from tests.lab import {server}
server = {server}.start()
print(server.folder, flush=True)
{then}
sys.stdin.read()
"""


def _owner(server: str, then: str = "") -> "subprocess.Popen[str]":
    """Start another process that starts a server and then waits; its first line is the folder."""
    return subprocess.Popen(
        [sys.executable, "-c", _OWNER.format(server=server, then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )


def _first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((ports.HOST, 0))
        listener.listen()
        port: int = listener.getsockname()[1]
        yield port


@pytest.fixture
def folder() -> Iterator[RunFolder]:
    run_folder = RunFolder("test", server_account())
    yield run_folder
    run_folder.close()


@pytest.mark.parametrize("start", _STARTERS)
def test_closed_server_leaves_no_process_and_no_folder(start: Callable[[], AnyServer]) -> None:
    server = start()
    process: ServerProcess = server._process
    members = watchdog.tree(process.pid)
    assert members

    server.close()
    server.close()

    assert set() == watchdog.wait_gone(members, 0)
    assert set() == watchdog.of_folder(str(server.folder))
    assert not server.folder.exists()


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("PostgresServer", marks=pytest.mark.postgres),
        pytest.param("RedisServer", marks=pytest.mark.redis),
        pytest.param("ChromiumServer", marks=pytest.mark.browser),
    ],
)
def test_killed_owner_leaves_no_server_and_no_folder(server: str) -> None:
    with _owner(server) as owner:
        server_folder = Path(_first_line(owner))
        members = watchdog.tree(owner.pid) - {watchdog.running(owner.pid)}
        assert len(members) >= 2, "the server and its watchdog"
        assert server_folder.is_dir()

        owner.send_signal(signal.SIGKILL)
        owner.wait(_TIMEOUT_S)

        assert set() == watchdog.wait_gone(members, _TIMEOUT_S)
        assert not server_folder.exists()


@pytest.mark.redis
def test_end_of_a_fork_does_not_end_the_server() -> None:
    fork = """
child = os.fork()
if child == 0: sys.exit()
os.waitpid(child, 0)
print(server.is_running)
"""
    with _owner("RedisServer", fork) as owner:
        server_folder = Path(_first_line(owner))

        assert _first_line(owner) == "True"

        assert server_folder.is_dir()
        owner.communicate(timeout=_TIMEOUT_S)
        assert not server_folder.exists()


@pytest.mark.postgres
def test_failed_start_shows_the_log_and_leaves_no_folder() -> None:
    before = set(_lab_folders())

    with pytest.raises(LabError, match='unrecognized configuration parameter "no_such"'):
        PostgresServer.start(settings={"no_such": "1"})

    assert before >= set(_lab_folders())


@pytest.mark.postgres
def test_taken_port_is_told_apart_for_postgres(folder: RunFolder, taken_port: int) -> None:
    install = find_postgres()
    postgres._create_cluster(install, folder)

    with pytest.raises(AddressInUse):
        PostgresServer(install, folder, taken_port, {})


@pytest.mark.redis
def test_taken_port_is_told_apart_for_redis(folder: RunFolder, taken_port: int) -> None:
    own_folder = RunFolder("test", Account())
    try:
        with pytest.raises(AddressInUse):
            RedisServer(redis.find_redis(), own_folder, taken_port, durable=False)
    finally:
        own_folder.close()


@pytest.mark.kafka
def test_taken_port_is_told_apart_for_kafka(taken_port: int) -> None:
    kafka.kafka_jars()
    own_folder = RunFolder("test", Account())
    try:
        with pytest.raises(AddressInUse):
            KafkaServer(own_folder, (taken_port, *ports.free_ports(2)), {}, bench=False)
    finally:
        own_folder.close()


@pytest.mark.slow
@pytest.mark.opensearch
def test_taken_port_is_told_apart_for_opensearch(folder: RunFolder, taken_port: int) -> None:
    tree, chosen = opensearch.opensearch_tree(), (taken_port, *ports.free_ports(1))

    with pytest.raises(AddressInUse):
        OpenSearchServer(folder, tree, java_home(), chosen, {})


def _lab_folders() -> list[Path]:
    return list(Path("/tmp").glob(f"{PREFIX}*"))
