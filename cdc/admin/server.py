"""The admin server: one HTTP server on a Unix socket and, where configured, on TCP."""

import os
import socket
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvicorn

from cdc.admin.app import make_app
from cdc.admin.history import History
from cdc.errors import CdcError, ConfigError
from cdc.status import Daemon, Search

SOCKET_PATH_BYTES_MAX: Final = 107
"""Source: unix(7), sun_path has 108 bytes and a closing zero."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SAMPLE_EVERY_S: Final = 1.0
START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0


def listen_address(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port` or `:port`. Raises ConfigError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"admin.listen is {listen!r}, which is no address",
            hint='Write host and port, for example "127.0.0.1:8470".',
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def bind_unix(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600; replaces the socket of a dead daemon.

    Raises ConfigError when the path is too long or a living daemon listens there.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise ConfigError(
            f"the path of the admin socket has {len(os.fsencode(path))} bytes, "
            f"the system allows {SOCKET_PATH_BYTES_MAX}: {path}",
            hint="Choose a shorter state_dir.",
        )
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise ConfigError(
                    f"a daemon is running already: it listens at {path}",
                    hint="Stop it first, or give this pipeline a state_dir of its own.",
                )
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        # The mode must be right from the first moment on, hence the mask and not chmod.
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen at {path}: {error.strerror}") from error
    return listener


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises ConfigError when the port is taken or the host is unknown."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(
            f"admin.listen: cannot listen on {host}: {error.strerror or error}"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"admin.listen: cannot listen on {host}:{port}: {error.strerror or error}",
            hint="Choose another port in admin.listen, or stop what uses this one.",
        ) from error
    return listener


class _Server(uvicorn.Server):
    """A uvicorn server that says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell who waits for it."""
        await super().startup(sockets)
        self.answering.set()


class AdminServer:
    """Serves one daemon from threads of its own, between `start` and `stop`.

    `listen` None: the Unix socket alone. An address that is not loopback needs a `token`.
    """

    def __init__(
        self,
        daemon: Daemon,
        socket_path: Path,
        listen: str | None = None,
        token: str | None = None,
        searches: Mapping[str, Search] | None = None,
    ) -> None:
        self._daemon = daemon
        self._socket_path = socket_path
        self._history = History()
        self._listen = None if listen is None else listen_address(listen)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._server: _Server | None = None
        self.port: int | None = None
        if self._listen is not None and self._listen[0] not in LOOPBACK and not token:
            raise ConfigError(
                f"admin.listen is {listen}, which others can reach, and admin.token is not set",
                hint="Set admin.token, for example to ${env:CDC_ADMIN_TOKEN}, or listen on "
                "127.0.0.1.",
            )
        hosts = LOOPBACK if self._listen is None or self._listen[0] in LOOPBACK else frozenset()
        self._app = make_app(daemon, searches or {}, self._history, hosts=hosts, token=token)

    def start(self) -> None:
        """Bind and serve; returns when requests are answered. Raises ConfigError."""
        sockets = [bind_unix(self._socket_path)]
        try:
            if self._listen is not None:
                sockets.append(bind_tcp(*self._listen))
                self.port = sockets[-1].getsockname()[1]
        except ConfigError:
            sockets[0].close()
            self._socket_path.unlink(missing_ok=True)
            raise
        self._server = _Server(
            uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        serve = threading.Thread(
            target=self._server.run, args=(sockets,), name="admin", daemon=True
        )
        sample = threading.Thread(target=self._sample, name="admin-history", daemon=True)
        self._threads = [serve, sample]
        for thread in self._threads:
            thread.start()
        if not self._server.answering.wait(START_TIMEOUT_S):
            self.stop()
            for listener in sockets:
                listener.close()
            raise CdcError("the admin server did not start", hint="See the log above for why.")

    def stop(self) -> None:
        """Stop serving and remove the socket. Repeatable."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        self._threads = []
        self._socket_path.unlink(missing_ok=True)

    def _sample(self) -> None:
        while not self._stopping.is_set():
            self._history.add(self._daemon.status())
            self._stopping.wait(SAMPLE_EVERY_S)
