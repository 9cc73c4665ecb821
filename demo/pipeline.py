"""Tidewire as its user has it: a folder with cdc.yaml, commands, and the daemon's REST status."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.lab import watchdog
from tests.lab.ports import HOST, free_ports
from tests.lab.process import RunFolder

SEARCH: Final = "search"
"""The name of the sink that is the search index."""
CACHE_PREFIX: Final = "product:"
SALT_VARIABLE: Final = "SHOP_SALT"

_ROOT: Final = Path(__file__).parents[1]
# What the script `cdc` does, with the Tidewire of this checkout, whatever else is installed.
_ENTRY_POINT: Final = "import sys; from cdc.cli.main import main; sys.exit(main())"
_ASK_TIMEOUT_S: Final = 5.0
_STOP_TIMEOUT_S: Final = 30.0
_COMMAND_TIMEOUT_S: Final = 90.0
_POLL_S: Final = 0.1
_TAIL_LINES: Final = 20
# Nothing here gives a worker a reason to end; one that ends again and again will not get well.
_RESTARTS_MAX: Final = 2

T = TypeVar("T")


class DemoError(Exception):
    """Something did not go as it must; the message is for the reader."""


def config_text(database_url: str, cache_url: str | None, port: int) -> str:
    """The demo's cdc.yaml. Without `cache_url` there is no cache."""
    cache = f"""\
  cache:
    type: redis
    from: [public.products]
    url: {cache_url}
    key: "{CACHE_PREFIX}{{sku}}"
"""
    return f"""\
name: shop

log:
  type: embedded

sources:
  shop:
    type: postgres
    url: {database_url}
    tables: ["public.*"]
    transforms:
      - type: columns
        tables: [public.customers]
        hash: [email]
        salt: ${{env:{SALT_VARIABLE}}}

sinks:
  {SEARCH}:
    type: sqlite
    from: ["public.*"]
    path: search.db
{cache if cache_url else ""}
admin: {{listen: "{HOST}:{port}"}}
logging: {{format: console}}
"""


@dataclass(frozen=True, slots=True)
class SinkState:
    """What the daemon says of one sink; None while it does not know."""

    phase: str
    applied: int
    lag_records: int | None
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class State:
    """What the daemon says of itself.

    `phase` is the source's, `since_us` when it began; rows are those of the snapshot.
    """

    phase: str
    since_us: int
    rows_done: int
    rows_estimated: int
    events: int
    lag_bytes: int | None
    lag_s: float | None
    sinks: Mapping[str, SinkState]
    failures: tuple[str, ...]

    def lag_max_s(self) -> float:
        """The largest lag of source and sinks; infinite while one of them is not known."""
        lags = [self.lag_s, *(sink.lag_s for sink in self.sinks.values())]
        return max(math.inf if lag is None else lag for lag in lags)


class Pipeline:
    """A folder with a cdc.yaml, and the commands that are run there, one daemon at a time."""

    def __init__(self, folder: RunFolder, database_url: str, cache_url: str | None) -> None:
        (port,) = free_ports(1)
        self.folder = folder.path
        self.url = f"http://{HOST}:{port}/"
        self.index = self.folder / "search.db"
        self.salt = os.urandom(8).hex()
        self.text = config_text(database_url, cache_url, port)
        self._folder = folder
        self._log = self.folder / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "cdc.yaml").write_text(self.text)

    # --- commands ---------------------------------------------------------------------------------

    def run(self, *arguments: str) -> str:
        """What a command prints, errors included. Raises DemoError when it fails or hangs."""
        try:
            done = subprocess.run(
                self._command(*arguments),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_COMMAND_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(
                f"`cdc {' '.join(arguments)}` did not end within {_COMMAND_TIMEOUT_S:g} s"
            ) from None
        if done.returncode != 0:
            raise DemoError(
                f"`cdc {' '.join(arguments)}` ended with status {done.returncode}\n{done.stdout}"
            )
        return done.stdout

    def records(self) -> int:
        """Records in the log, as `cdc topics` counts them."""
        topics: list[dict[str, Any]] = json.loads(self.run("topics", "--json"))
        return sum(int(topic["records"]) for topic in topics)

    # --- the daemon -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start `cdc run`; its output goes to daemon.log."""
        assert self._process is None, "one daemon at a time"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("run"),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the demo alone, which then stops everything in order.
                start_new_session=True,
            )
        self._folder.watch(self._process.pid, signal.SIGTERM)

    def state(self) -> State | None:
        """What the daemon says now, None before it answers. Raises DemoError when it is gone."""
        self._require_running()
        try:
            # The address is ours: http, on the loopback interface.
            with urllib.request.urlopen(  # noqa: S310
                f"{self.url}api/status", timeout=_ASK_TIMEOUT_S
            ) as answer:
                content: dict[str, Any] = json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None
        state = _state(content["workers"])
        if state.failures:
            raise DemoError(state.failures[0])
        return state

    def until(
        self, what: str, ask: Callable[[], T | None], timeout_s: float, every_s: float = _POLL_S
    ) -> T:
        """What `ask`, called every `every_s` seconds, first answers that is neither None nor False.

        Raises DemoError when that takes too long or the daemon ends meanwhile.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            answer = ask()
            if answer is not None and answer is not False:
                return answer
            if time.monotonic() > deadline_s:
                raise DemoError(f"after {timeout_s:g} s still not true: {what}")
            self._require_running()
            time.sleep(every_s)

    def kill(self) -> int:
        """Send SIGKILL to the daemon and all its workers; how many processes that were."""
        process = self._running()
        members = watchdog.tree(process.pid)
        watchdog.send(members, signal.SIGKILL)
        process.wait()
        if watchdog.wait_gone(members, _ASK_TIMEOUT_S):
            raise DemoError("a worker of the killed daemon still runs")
        self._forget(process)
        return len(members)

    def stop(self) -> float:
        """Stop the daemon gracefully; how many seconds it took.

        Raises DemoError when it does not end, or not well, or leaves a worker behind.
        """
        process = self._running()
        members = watchdog.tree(process.pid)
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the daemon did not stop within {_STOP_TIMEOUT_S:g} s") from None
        took_s = time.monotonic() - began_s
        self._forget(process)
        if code != 0:
            raise DemoError(f"the daemon ended with status {code}")
        if watchdog.wait_gone(members, _ASK_TIMEOUT_S):
            raise DemoError("a worker of the stopped daemon still runs")
        return took_s

    def close(self) -> None:
        """End what still runs. May be called twice."""
        if self._process is not None and self._process.poll() is None:
            members = watchdog.tree(self._process.pid)
            watchdog.send(members, signal.SIGKILL)
            watchdog.wait_gone(members, _ASK_TIMEOUT_S)
        if self._process is not None:
            self._process.wait()
            self._forget(self._process)

    def log_tail(self) -> str:
        """The last lines of daemon.log."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])

    def _running(self) -> subprocess.Popen[bytes]:
        self._require_running()
        assert self._process is not None, "a daemon was started"
        return self._process

    def _require_running(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise DemoError(f"the daemon ended by itself, with status {self._process.returncode}")

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        self._folder.forget(process.pid)
        self._process = None

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-c", _ENTRY_POINT, *arguments]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        own = {
            "PYTHONPATH": str(_ROOT),
            SALT_VARIABLE: self.salt,
            # The folder's watchdog ends whatever names it, should the demo itself be killed.
            watchdog.FOLDER_VARIABLE: str(self.folder),
        }
        return {**kept, **own}


def _state(workers: list[dict[str, Any]]) -> State:
    """The demo's view of the `workers` of `/api/status`; it has exactly one source."""
    (source,) = [worker for worker in workers if worker["kind"] == "source"]
    progress = source["progress"] or {}
    tables = progress.get("tables", [])
    return State(
        phase=source["phase"],
        since_us=source["since_us"],
        rows_done=sum(table["rows_done"] for table in tables),
        rows_estimated=sum(
            max(table["rows_estimated"] or 0, table["rows_done"]) for table in tables
        ),
        events=progress.get("events", 0),
        lag_bytes=progress.get("lag_bytes"),
        lag_s=progress.get("lag_s"),
        sinks={
            worker["name"]: _sink_state(worker) for worker in workers if worker["kind"] == "sink"
        },
        failures=tuple(
            f'{worker["kind"]} "{worker["name"]}" failed: {worker["last_error"]["message"]}'
            for worker in workers
            if worker["last_error"]
            and (worker["phase"] == "failed" or worker["restarts"] > _RESTARTS_MAX)
        ),
    )


def _sink_state(worker: Mapping[str, Any]) -> SinkState:
    progress = worker["progress"] or {}
    return SinkState(
        phase=worker["phase"],
        applied=progress.get("applied", 0),
        lag_records=progress.get("lag_records"),
        lag_s=progress.get("lag_s"),
    )
