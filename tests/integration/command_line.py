"""The `cdc` command as a user runs it: a process of its own, in a folder of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson
import psutil

ROOT = Path(__file__).parents[2]
CDC = "import sys; from cdc.cli.main import main; sys.exit(main())"
PATIENCE_S = 60.0

T = TypeVar("T")


def until(what: str, ask: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """What `ask` answers first that is neither None nor False."""
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"still not after {patience_s:g} s: {what}")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def error(self) -> str:
        """The one line that says what failed; there must be exactly one, and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("cdc: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err + self.out
        return lines[0].removeprefix("cdc: ")


class Folder:
    """A folder with a cdc.yaml, from which commands are run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def socket_path(self) -> Path:
        return self.path / "state" / "cdc.sock"

    def write(self, text: str, name: str = "cdc.yaml") -> None:
        (self.path / name).write_text(text)

    def cdc(self, *arguments: str, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-P", "-c", CDC, *arguments],
            cwd=self.path,
            env=_environment(environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environment: str) -> "Daemon":
        return Daemon(self, ["run", *arguments], environment)


class Daemon:
    """A running `cdc run`."""

    def __init__(self, folder: Folder, arguments: list[str], environment: dict[str, str]) -> None:
        self.folder = folder
        self.journal = folder.path / "journal.txt"
        with self.journal.open("ab") as journal:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", CDC, *arguments],
                cwd=folder.path,
                env=_environment(environment),
                stdin=subprocess.DEVNULL,
                stderr=journal,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def status(self) -> dict[str, Any] | None:
        """What the daemon says over its socket, None while it does not."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(self.folder.socket_path))
                connection.sendall(b"GET /api/status HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
                return None
        _, _, body = answer.partition(b"\r\n\r\n")
        content: dict[str, Any] = orjson.loads(body)
        return content

    def worker(self, name: str) -> dict[str, Any] | None:
        status = self.status()
        if status is None:
            return None
        workers: list[dict[str, Any]] = status["workers"]
        return next(worker for worker in workers if worker["name"] == name)

    def until_phase(self, name: str, *phases: str) -> dict[str, Any]:
        """The worker, as soon as it is in one of these phases."""

        def ask() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.journal.read_text()
            worker = self.worker(name)
            return worker if worker is not None and worker["phase"] in phases else None

        try:
            return until(f"{name} is {' or '.join(phases)}", ask)
        except AssertionError as error:
            error.add_note(self.journal.read_text())
            raise

    def until_problem(self, name: str) -> dict[str, Any]:
        """The last problem of the worker, as soon as it has one."""

        def ask() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.journal.read_text()
            worker = self.worker(name)
            return worker["last_error"] if worker is not None else None

        return until(f"{name} has a problem", ask)

    def kill_all(self) -> None:
        """SIGKILL it and its workers where they are; told nothing, so none commits what it has."""
        processes = [psutil.Process(self.process.pid)]
        processes += processes[0].children(recursive=True)
        for process in processes:
            process.suspend()
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=PATIENCE_S)

    def stop(self) -> tuple[int, float]:
        """Ask for a graceful stop; the exit code, and how many seconds it took."""
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        return code, time.monotonic() - began_s


def _environment(more: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}
