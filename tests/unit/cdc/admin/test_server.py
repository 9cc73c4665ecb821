import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2 as httpx
import pytest
import uvicorn

import cdc.admin.server
from cdc.admin.server import AdminServer, bind_unix, listen_address
from cdc.errors import CdcError, ConfigError
from tests.unit.cdc.admin.daemons import SINK, SOURCE, ChosenDaemon


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own temporary paths may be longer than a Unix socket allows.
    with TemporaryDirectory(prefix="tw") as path:
        yield Path(path)


def over_unix(path: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://daemon")


def test_status_is_served_on_both_sockets_until_stopped(folder: Path) -> None:
    server = AdminServer(ChosenDaemon(SOURCE, SINK), folder / "s", "127.0.0.1:0")
    server.start()
    try:
        tcp = httpx.get(f"http://127.0.0.1:{server.port}/api/status")
        with over_unix(folder / "s") as client:
            unix = client.get("/api/status")
    finally:
        server.stop()
    server.stop()

    assert (tcp.json()["pipeline"], unix.json()["pipeline"]) == ("shop", "shop")
    assert not (folder / "s").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{server.port}/healthz")


def test_curves_are_sampled_while_it_runs(folder: Path) -> None:
    server = AdminServer(ChosenDaemon(SOURCE), folder / "s")
    server.start()
    try:
        with over_unix(folder / "s") as client:
            content = client.get("/api/history").json()
    finally:
        server.stop()

    assert content["workers"]["shop"]["rate_per_s"][0] == 1234.5


def test_unix_socket_needs_no_token_because_its_mode_guards_it(folder: Path) -> None:
    server = AdminServer(ChosenDaemon(SOURCE), folder / "s", "127.0.0.1:0", token="t")
    server.start()
    try:
        with over_unix(folder / "s") as client:
            answer = client.get("/api/status")
        refused = httpx.get(f"http://127.0.0.1:{server.port}/api/status")
        mode = stat.S_IMODE((folder / "s").stat().st_mode)
    finally:
        server.stop()

    assert (answer.status_code, refused.status_code, mode) == (200, 401, 0o600)


def test_socket_of_a_dead_daemon_is_replaced(folder: Path) -> None:
    bind_unix(folder / "s").close()

    bind_unix(folder / "s").close()

    assert (folder / "s").exists()


def test_living_daemon_is_not_replaced(folder: Path) -> None:
    with bind_unix(folder / "s"), pytest.raises(ConfigError, match="running already"):
        bind_unix(folder / "s")


def test_path_that_is_too_long_is_refused_with_the_remedy(folder: Path) -> None:
    with pytest.raises(ConfigError, match="shorter state_dir"):
        bind_unix(folder / ("x" * 107))


def test_folder_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        bind_unix(folder / "missing" / "s")


def test_port_in_use_is_refused_with_the_remedy_and_leaves_no_socket(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = AdminServer(ChosenDaemon(SOURCE), folder / "s", f"127.0.0.1:{port}")

        with pytest.raises(ConfigError, match="Choose another port"):
            server.start()

    assert not (folder / "s").exists()


def test_unknown_host_is_named(folder: Path) -> None:
    server = AdminServer(ChosenDaemon(SOURCE), folder / "s", "no-such-host.invalid:1", "t")

    with pytest.raises(ConfigError, match="no-such-host"):
        server.start()


def test_address_that_others_reach_needs_a_token(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"admin\.token"):
        AdminServer(ChosenDaemon(), folder / "s", "0.0.0.0:8470")

    AdminServer(ChosenDaemon(), folder / "s", "0.0.0.0:8470", token="t")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8470", ("127.0.0.1", 8470)),
        ("[::1]:8470", ("::1", 8470)),
        (":8470", ("127.0.0.1", 8470)),
    ],
)
def test_listen_address(text: str, address: tuple[str, int]) -> None:
    assert address == listen_address(text)


@pytest.mark.parametrize("text", ["8470", "localhost", "localhost:x", "localhost:70000", ""])
def test_listen_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        listen_address(text)


def test_a_server_that_does_not_answer_in_time_is_stopped_and_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        self.should_exit = True

    monkeypatch.setattr(cdc.admin.server._Server, "startup", ends)
    monkeypatch.setattr(cdc.admin.server, "START_TIMEOUT_S", 0.05)
    server = AdminServer(ChosenDaemon(SOURCE), folder / "s")

    with pytest.raises(CdcError, match="did not start"):
        server.start()

    assert not (folder / "s").exists()


def test_a_server_that_was_never_started_can_be_stopped(folder: Path) -> None:
    AdminServer(ChosenDaemon(SOURCE), folder / "s").stop()

    assert not (folder / "s").exists()
