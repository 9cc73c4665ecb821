"""A server's folder and its process: started, found ready, stopped, and gone with this process."""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import watchdog
from tests.lab.errors import AddressInUse, LabError
from tests.lab.identity import Account

PREFIX = "tidewire-lab-"
_POLL_S = 0.03
_LOG_TAIL_LINES = 25
_ADDRESS_IN_USE = ("address already in use", "bindexception", "failed to bind")
# sun_path holds 108 bytes (unix(7)); servers append names such as
# "/.s.PGSQL.12345.lock" to the folder.
_FOLDER_BYTES_MAX = 75


class RunFolder:
    """A folder for one server, with a watchdog process that removes both if this process dies."""

    def __init__(self, name: str, account: Account) -> None:
        parent = tempfile.gettempdir()
        if len(os.fsencode(parent)) + len(PREFIX) + len(name) + 10 > _FOLDER_BYTES_MAX:
            parent = "/tmp"
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=parent))
        self.account = account
        account.own(self.path)
        # 0755: the tests may be another user than the server, and read its log.
        self.path.chmod(0o755)
        self._owner_pid = os.getpid()
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(watchdog.__file__)), str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        self.is_closed = False
        atexit.register(self.close)

    def watch(self, pid: int, stop_signal: int) -> None:
        """Have the watchdog end the process `pid`, first by `stop_signal`, if this process dies."""
        self._tell(f"watch {pid} {stop_signal}")

    def forget(self, pid: int) -> None:
        """Take back `watch`: the process has ended."""
        if not self.is_closed:
            self._tell(f"forget {pid}")

    def close(self) -> None:
        """End what is still watched and remove the folder; may be called twice.

        Raises LabError if the folder could not be removed.
        """
        # A fork of this process inherits the registration with atexit, but not the folder.
        if self.is_closed or os.getpid() != self._owner_pid:
            return
        self.is_closed = True
        atexit.unregister(self.close)
        # A broken pipe means that the watchdog is gone: its exit status below tells why.
        with contextlib.suppress(BrokenPipeError):
            self._tell("close")
        _, errors = self._watchdog.communicate()
        if self._watchdog.returncode != 0:
            shutil.rmtree(self.path, ignore_errors=True)
            raise LabError(f"watchdog of {self.path} failed: {errors.decode(errors='replace')}")

    def _tell(self, line: str) -> None:
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{line}\n".encode())
        self._watchdog.stdin.flush()


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one server.

    `probe` asks the server with a real client: None when it is usable, else why it is not.
    """

    name: str
    command: Sequence[str]
    probe: Callable[[], str | None]
    timeout_s: float
    stop_signal: signal.Signals = signal.SIGTERM
    # What the watchdog sends when this process died: nobody is left to wait for an orderly stop.
    orphan_signal: signal.Signals = signal.SIGTERM
    environment: Mapping[str, str] = field(default_factory=dict)
    # Variables of this process whose names begin so are not for the server.
    hidden_prefixes: tuple[str, ...] = ()


class ServerProcess:
    """A running server; the log of all its starts is `server.log` in its folder."""

    def __init__(self, launch: Launch, folder: RunFolder) -> None:
        """Start the process and return when its probe succeeds.

        Raises AddressInUse or LabError, with the log's end, if it ends early or takes too long.
        """
        if folder.is_closed:
            raise LabError(f"{launch.name} was closed, which removed its data: start a new one")
        self.launch = launch
        self._folder = folder
        self.log_path = folder.path / "server.log"
        self._log_start_bytes = self.log_path.stat().st_size if self.log_path.exists() else 0
        account = folder.account
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder.path,
                env=_environment(launch, folder),
                # Ctrl-C in a terminal must reach the owner, which then stops its servers in order.
                start_new_session=True,
                user=account.uid,
                group=account.gid,
                extra_groups=[] if account.gid is not None else None,
            )
        folder.watch(self._process.pid, launch.orphan_signal)
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The process number, also after the end of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def stop(self, stop_signal: signal.Signals | None = None, timeout_s: float = 30.0) -> None:
        """Ask the server to end, wait, and kill what is left of it after `timeout_s`.

        Does nothing if it ended already. Raises LabError if it had to be killed.
        """
        members = self._members()
        if self.is_running:
            self._process.send_signal(stop_signal or self.launch.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        was_stuck = self.is_running
        self._end(members, grace_s=5.0)
        if was_stuck:
            raise LabError(
                f"{self.launch.name} did not stop within {timeout_s:g} s and was killed\n"
                f"{self.log_tail()}"
            )

    def kill(self) -> None:
        """End the server as a crash does, and wait until nothing of it runs."""
        members = self._members()
        self._process.kill()
        self._end(members, grace_s=5.0)

    def log_tail(self) -> str:
        """Return the last lines of this start's log."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start_bytes)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def _members(self) -> set[watchdog.Running]:
        """Return the server's running processes; once it is reaped its number means nothing."""
        return watchdog.tree(self.pid) if self.is_running else set()

    def _end(self, members: set[watchdog.Running], grace_s: float) -> None:
        """Reap the process and see its children gone, which end by themselves or are killed."""
        if self.is_running:
            self._process.kill()
        self._process.wait()
        left = watchdog.wait_gone(members, grace_s)
        watchdog.send(left, signal.SIGKILL)
        watchdog.wait_gone(left, grace_s)
        self._folder.forget(self.pid)

    def _wait_ready(self) -> None:
        name, timeout_s = self.launch.name, self.launch.timeout_s
        deadline_s = time.monotonic() + timeout_s
        while True:
            reason = self.launch.probe()
            if not self.is_running:
                tail = self.log_tail()
                taken = any(text in tail.lower() for text in _ADDRESS_IN_USE)
                kind = AddressInUse if taken else LabError
                raise kind(
                    f"{name} ended with status {self._process.returncode} at its start\n{tail}"
                )
            if reason is None:
                return
            if time.monotonic() > deadline_s:
                raise LabError(
                    f"{name} not ready after {timeout_s:g} s: {reason}\n{self.log_tail()}"
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_S)


def run_tool(command: Sequence[str], folder: RunFolder, timeout_s: float = 120.0) -> None:
    """Run a tool of a server to its end, as the server's account, in its folder.

    Raises LabError with the output if it fails.
    """
    account = folder.account
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder.path,
        env={**os.environ, "HOME": str(folder.path), watchdog.FOLDER_VARIABLE: str(folder.path)},
        timeout=timeout_s,
        check=False,
        user=account.uid,
        group=account.gid,
        extra_groups=[] if account.gid is not None else None,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.decode(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
        raise LabError(f"{Path(command[0]).name} ended with status {done.returncode}\n{tail}")


def _environment(launch: Launch, folder: RunFolder) -> dict[str, str]:
    """Return this process's environment without the variables that would steer the server."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(launch.hidden_prefixes)
    }
    own = {"HOME": str(folder.path), watchdog.FOLDER_VARIABLE: str(folder.path)}
    return {**kept, **own, **launch.environment}
