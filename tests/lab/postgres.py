"""A private PostgreSQL: real, on a free port, in its own folder, without root."""

import contextlib
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

import psycopg

from tests.lab.identity import readable_tree, server_account
from tests.lab.ports import HOST, start_on_free_ports
from tests.lab.postgres_install import PostgresInstall, find_postgres
from tests.lab.process import Launch, RunFolder, ServerProcess, run_tool

StopMode = Literal["smart", "fast", "immediate"]

SUPERUSER = "postgres"
_START_TIMEOUT_S = 60.0
# Source: PostgreSQL manual, Shutting Down the Server.
_STOP_SIGNALS: dict[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": "32",
    "max_wal_senders": "32",
    "max_prepared_transactions": "8",
    "shared_buffers": "32MB",
    "logical_decoding_work_mem": "1MB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "lc_messages": "C",
    # In the data folder, which is removed, and not in /dev/shm, where a killed server leaves it.
    "dynamic_shared_memory_type": "mmap",
}
# Commits still reach the WAL file at once: decoding reads no further than what is flushed.
_FORGETFUL = {"fsync": "off", "full_page_writes": "off"}
_DURABLE = {"shared_buffers": "128MB", "logical_decoding_work_mem": "64MB"}
# The superuser needs no password; everybody else does over TCP, so that a wrong one is refused.
_ACCESS_RULES = f"""\
local  all          all                      trust
local  replication  all                      trust
host   all          {SUPERUSER}  {HOST}/32   trust
host   replication  {SUPERUSER}  {HOST}/32   trust
host   all          all          {HOST}/32   scram-sha-256
host   replication  all          {HOST}/32   scram-sha-256
"""


class PostgresServer:
    """One PostgreSQL cluster; make it with `start`, end it with `close` or as a context manager."""

    def __init__(
        self,
        install: PostgresInstall,
        folder: RunFolder,
        port: int,
        settings: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take over what `start` prepared: programs, a folder with a cluster in `data`, a port."""
        self.port = port
        self.version = install.version
        self.data_dir = folder.path / "data"
        self._install = install
        self._folder = folder
        self._settings = dict(settings)
        self._environment = dict(environment or {})
        if install.libraries is not None:
            self._environment["LD_LIBRARY_PATH"] = str(install.root / install.libraries)
        self._process = self._launch()

    @classmethod
    def start(
        cls,
        version: str | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        durable: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a fresh cluster that accepts connections.

        `version` is a major version or a full one; `settings` go over the defaults
        (logical WAL, 32 slots).
        `environment` is added to this process's own.
        Without `durable` nothing is flushed to disk: right for tests that do not crash the machine.
        Raises Unavailable if there is no such PostgreSQL here, LabError if it does not start.
        """
        install = find_postgres(version)
        defaults = _SETTINGS | (_DURABLE if durable else _FORGETFUL)
        folder = RunFolder("pg", server_account())
        try:
            install = _reachable_install(install, folder)
            _create_cluster(install, folder)
            return start_on_free_ports(
                1,
                lambda ports: cls(
                    install, folder, ports[0], defaults | dict(settings or {}), environment
                ),
            )
        except BaseException:
            folder.close()
            raise

    @property
    def folder(self) -> Path:
        """The server's own folder, which holds the Unix socket, the log and the data."""
        return self._folder.path

    @property
    def settings(self) -> Mapping[str, str]:
        """What is set on its command line, apart from address, port and socket."""
        return self._settings

    def install_for(self, folder: RunFolder) -> PostgresInstall:
        """Its programs, for another server in `folder`, which they outlive."""
        return _reachable_install(find_postgres(self.version), folder)

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self._process.is_running

    @property
    def pid(self) -> int:
        """The process number of the postmaster."""
        return self._process.pid

    def url(
        self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None
    ) -> str:
        """Return the address of a database over TCP; the superuser needs no password."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        login = f"{quote(user, safe='')}{secret}"
        return f"postgresql://{login}@{HOST}:{self.port}/{quote(database, safe='')}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a superuser's connection in autocommit mode; the caller closes it."""
        return psycopg.connect(self.url(database), autocommit=True)

    def binary(self, name: str) -> Path:
        """Return the path of one of the server's own programs, such as `pg_recvlogical`.

        Raises Unavailable if this PostgreSQL came without it.
        """
        return self._install.binary(name)

    def log(self) -> str:
        """Return the whole server log."""
        return self._process.log_path.read_text(errors="replace")

    def own_file(self, name: str, source: Path) -> Path:
        """Copy a file into the data folder, private to the server, such as a certificate's key."""
        copy = self.data_dir / name
        copy.write_bytes(source.read_bytes())
        copy.chmod(0o600)
        self._folder.account.own(copy)
        return copy

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and keep its data; does nothing if it is not running."""
        self._process.stop(_STOP_SIGNALS[mode])

    def start_again(self, settings: Mapping[str, str] | None = None) -> None:
        """Start a stopped or killed server on the same data and port.

        `settings` go over the former ones. Recovery after `kill` is part of the start.
        Raises LabError if it does not start.
        """
        self._settings.update(settings or {})
        self._process = self._launch()

    def restart(self, mode: StopMode = "fast", settings: Mapping[str, str] | None = None) -> None:
        """Stop and start again."""
        self.stop(mode)
        self.start_again(settings)

    def kill(self) -> None:
        """End the server as a crash does: no checkpoint, no word to the clients."""
        self._process.kill()

    def close(self) -> None:
        """Stop the server and remove its folder; may be called twice."""
        try:
            self._process.stop(signal.SIGINT)
        finally:
            self._release_shared_memory()
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
        command = [str(self.binary("postgres")), "-D", str(self.data_dir)]
        own = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        for name, value in (self._settings | own).items():
            command += ["-c", f"{name}={value}"]
        launch = Launch(
            name=f"PostgreSQL {self.version}",
            command=command,
            probe=self._probe,
            timeout_s=_START_TIMEOUT_S,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGQUIT,
            environment=self._environment,
            hidden_prefixes=("PG",),
        )
        return ServerProcess(launch, self._folder)

    def _probe(self) -> str | None:
        # Over the socket in the server's own folder: nobody else's server can answer there.
        try:
            psycopg.connect(
                host=str(self.folder), port=self.port, user=SUPERUSER, dbname="postgres"
            ).close()
        except psycopg.OperationalError as error:
            return str(error).strip()
        return None

    def _release_shared_memory(self) -> None:
        """Remove the System V segment that a killed server leaves behind.

        Its key and number are the seventh line of postmaster.pid, which only a crash leaves.
        Source: PostgreSQL src/include/utils/pidfile.h, LOCK_FILE_LINE_SHMEM_KEY.
        """
        with contextlib.suppress(FileNotFoundError, IndexError):
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
            segment = lines[6].split()[1]
            # Fails when the segment is gone already, which is as good.
            subprocess.run(["ipcrm", "-m", segment], capture_output=True, check=False)


def _reachable_install(install: PostgresInstall, folder: RunFolder) -> PostgresInstall:
    if install.origin == "system":
        return install
    root = readable_tree(install.root, folder.account, folder.path)
    return replace(install, root=root, programs=root / install.programs.relative_to(install.root))


def _create_cluster(install: PostgresInstall, folder: RunFolder) -> None:
    data_dir = folder.path / "data"
    command = [str(install.binary("initdb")), "-D", str(data_dir), "-U", SUPERUSER, "-A", "trust"]
    run_tool([*command, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], folder)
    (data_dir / "pg_hba.conf").write_text(_ACCESS_RULES)
