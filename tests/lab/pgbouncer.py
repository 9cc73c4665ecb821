"""A private PgBouncer before a lab PostgreSQL, from the Debian package."""

import signal
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from tests.lab.debian import unpacked
from tests.lab.identity import server_account
from tests.lab.ports import HOST, start_on_free_ports
from tests.lab.postgres import SUPERUSER, PostgresServer
from tests.lab.process import Launch, RunFolder, ServerProcess

_TREE = "pgbouncer-system"
_START_TIMEOUT_S = 20.0


class PgBouncer:
    """One pooler in transaction mode; make it with `start`, end it as a context manager."""

    def __init__(self, folder: RunFolder, port: int, server: PostgresServer, settings: str) -> None:
        """Start it in `folder` on `port`."""
        self.port = port
        self._folder = folder
        tree = unpacked(["pgbouncer"], _TREE)
        file = folder.path / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n* = host={HOST} port={server.port} user={SUPERUSER}\n"
            f"[pgbouncer]\nlisten_addr={HOST}\nlisten_port={port}\nunix_socket_dir=\n"
            f"auth_type=any\npool_mode=transaction\n{settings}\n"
        )
        libraries = [folder for folder in tree.glob("usr/lib/*-linux-gnu") if folder.is_dir()]
        launch = Launch(
            name="PgBouncer",
            command=[str(tree / "usr/sbin/pgbouncer"), "-q", str(file)],
            probe=self._probe,
            timeout_s=_START_TIMEOUT_S,
            stop_signal=signal.SIGINT,
            environment={"LD_LIBRARY_PATH": ":".join(map(str, libraries))},
            hidden_prefixes=("PG",),
        )
        self._process = ServerProcess(launch, folder)

    @classmethod
    def start(cls, server: PostgresServer, settings: str = "") -> Self:
        """Return a pooler that answers; `settings` are more lines of its file.

        Raises Unavailable if the package cannot be had."""
        folder = RunFolder("bouncer", server_account())
        try:
            return start_on_free_ports(1, lambda ports: cls(folder, ports[0], server, settings))
        except BaseException:
            folder.close()
            raise

    def url(self, database: str = "postgres") -> str:
        """The address of a database through the pooler."""
        return f"postgresql://{SUPERUSER}@{HOST}:{self.port}/{quote(database, safe='')}"

    def close(self) -> None:
        """Stop it and remove its folder."""
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

    def _probe(self) -> str | None:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            return str(error).strip()
        return None
