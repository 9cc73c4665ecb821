"""Postgres into a log, beside pg_recvlogical (stream) and psql's COPY (snapshot).

Each run of either side reads the same write-ahead log from a copy of the same slot; runs alternate.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

from benchmarks.e2e import workload
from benchmarks.e2e.capture_process import UNTIL_TOLD
from benchmarks.e2e.connect import DebeziumBench
from benchmarks.e2e.measures import Comparison, Run, measured
from benchmarks.e2e.workload import Changes
from tests.lab import KafkaServer, PostgresServer, pins

Program = Literal["tidewire", "pure", "debezium"]
PROGRAMS: dict[Program, str] = {
    "tidewire": "Tidewire",
    "pure": "Tidewire in pure Python",
    "debezium": f"Debezium {pins.DEBEZIUM}",
}
_END_S = 60.0


@dataclass(frozen=True, slots=True)
class Way:
    """What is measured: a program, over a socket, into a log (kafka, embedded or null)."""

    program: Program = "tidewire"
    log: str = "kafka"
    socket: str = "unix"
    # Processes that read a snapshot.
    readers: int = 1
    # The way whose figures stand for all others; it is run more often.
    main: bool = True

    def content(self) -> dict[str, object]:
        """What a result says about the way."""
        return {
            "program": PROGRAMS[self.program],
            "log": self.log,
            "socket": "Unix" if self.socket == "unix" else "TCP",
        }

    def runs(self, runs: int) -> int:
        """How often each side is run."""
        return runs if self.main else 1


class Bench:
    """All servers and a folder for configurations and state; made with `with`."""

    postgres: PostgresServer
    folder: Path

    def __init__(self) -> None:
        self._closing = ExitStack()
        self._kafka: KafkaServer | None = None
        self._debezium: DebeziumBench | None = None
        self._count = 0

    def __enter__(self) -> Self:
        self.postgres = self._closing.enter_context(
            PostgresServer.start(settings=workload.SETTINGS)
        )
        folder = TemporaryDirectory(prefix="tidewire-bench")
        self.folder = Path(self._closing.enter_context(folder))
        workload.prepare(self.postgres)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def kafka(self) -> KafkaServer:
        """The broker, started when it is needed first."""
        if self._kafka is None:
            self._kafka = self._closing.enter_context(KafkaServer.start(bench=True))
        return self._kafka

    def debezium(self) -> DebeziumBench:
        """The Connect worker, started when it is needed first; it lives to the end."""
        if self._debezium is None:
            self._debezium = DebeziumBench(self.postgres, self.kafka())
            self._closing.callback(self._debezium.close)
        return self._debezium

    def next_name(self) -> str:
        """A name for a run: its slot, its topics, its pipeline."""
        self._count += 1
        return f"run{self._count}"

    def server_version(self) -> str:
        """Of Postgres."""
        with self.postgres.connect() as connection:
            row = connection.execute("SHOW server_version").fetchone()
        assert row is not None
        return str(row[0])

    def url(self, socket: str) -> str:
        """The address of the database over `tcp` or `unix`."""
        if socket == "tcp":
            return self.postgres.url(workload.DATABASE)
        folder = quote(str(self.postgres.folder), safe="")
        return f"postgresql://postgres@{folder}:{self.postgres.port}/{workload.DATABASE}"

    # --- stream -----------------------------------------------------------------------------------

    def stream(self, changes: Changes, way: Way, runs: int) -> dict[str, object]:
        """Drain these changes with pg_recvlogical and with a program."""
        if way.program == "debezium" and not self.debezium().is_warm:
            print("stream: Debezium warms up", file=sys.stderr, flush=True)
            self.debezium().is_warm = True
            self._drained(changes)
        drain = {
            "debezium": lambda: self._drained(changes),
            "pure": lambda: self._capture(way, "never", changes.events),
            "tidewire": lambda: self._capture(way, "never", changes.events),
        }[way.program]
        rows = changes.rows_a_transaction
        compared = self._compare(
            f"stream, {rows:,} a transaction", way, changes.events, runs,
            lambda: self._recvlogical(changes, way), drain, "pg_recvlogical",
        )  # fmt: skip
        return {"rows_a_transaction": rows, **compared}

    def _drained(self, changes: Changes) -> Run:
        name = self.next_name()
        workload.copy_slot(self.postgres, name)
        return self.debezium().drain(name, changes.events)

    def _recvlogical(self, changes: Changes, way: Way) -> Run:
        slot = self.next_name()
        workload.copy_slot(self.postgres, slot)
        return measured(
            [
                str(self.postgres.binary("pg_recvlogical")),
                f"--dbname={self.url(way.socket)}",
                f"--slot={slot}", "--start", "--no-loop", "--file=/dev/null",
                f"--endpos={changes.end}", "--option=proto_version=1",
                f"--option=publication_names={workload.PUBLICATION}",
            ]
        )  # fmt: skip

    # --- snapshot ---------------------------------------------------------------------------------

    def snapshot(self, way: Way, runs: int) -> dict[str, object]:
        """Read the table, which the last stream left filled, with psql and with a program."""
        with self.postgres.connect(workload.DATABASE) as connection:
            counted = connection.execute("SELECT count(*) FROM item").fetchone()
        assert counted is not None
        rows = int(counted[0])
        assert rows > 0
        ours = {
            "debezium": lambda: self.debezium().snapshot(self.next_name(), rows),
            "pure": lambda: self._capture(way, "initial", rows),
            "tidewire": lambda: self._capture(way, "initial", rows),
        }[way.program]
        compared = self._compare(
            "initial snapshot", way, rows, runs,
            lambda: self._copy(way), ours, "psql COPY ... TO STDOUT",
        )  # fmt: skip
        return {"readers": way.readers, **compared}

    def _copy(self, way: Way) -> Run:
        return measured(
            [
                str(self.postgres.binary("psql")), "--no-psqlrc",
                self.url(way.socket), "--command=COPY item TO STDOUT",
            ]
        )  # fmt: skip

    # --- both sides -------------------------------------------------------------------------------

    def _compare(
        self,
        name: str,
        way: Way,
        events: int,
        runs: int,
        theirs: Callable[[], Run],
        ours: Callable[[], Run],
        reference: str,
    ) -> dict[str, object]:
        pairs = []
        runs = way.runs(runs)
        for number in range(runs):
            told = ", ".join(str(value) for value in way.content().values())
            print(f"{name}, {told}: run {number + 1} of {runs}", file=sys.stderr, flush=True)
            pairs.append((theirs(), ours()))
            workload.drop_slots(self.postgres, "run")
        compared = Comparison(
            events, tuple(ours for _, ours in pairs), tuple(t for t, _ in pairs), reference
        )
        return {**way.content(), **compared.content()}

    # --- our own process --------------------------------------------------------------------------

    def _capture(self, way: Way, snapshot: str, events: int) -> Run:
        name = self.next_name()
        if snapshot == "never":
            workload.copy_slot(self.postgres, name)
        with self.capture(name, way, snapshot) as process:
            result = finished(process)
        if result["events"] != events:
            raise SystemExit(f"{name} captured {result['events']} of {events} changes")
        readers = way.readers if way.readers > 1 else 0
        return Run(
            result["wall_s"],
            result["cpu_s"] - result["start_cpu_s"],
            result["memory_bytes"] + readers * result["reader_memory_bytes"],
            result["start_cpu_s"],
            tuple(result["threads"].items()),
        )

    @contextmanager
    def capture(
        self, name: str, way: Way, snapshot: str, *, until_told: bool = False
    ) -> Iterator["subprocess.Popen[str]"]:
        """A capture process whose slot and topics have this name; its state goes at the end."""
        config = self.folder / f"{name}.yaml"
        config.write_text(
            f"""
name: {name}
state_dir: {self.folder / name}
log: {self._log(way.log)}
sources:
  bench:
    type: postgres
    url: {self.url(way.socket)}
    tables: [public.item]
    snapshot: {snapshot}
    snapshot_readers: {way.readers}
    slot: {name}
    publication: {workload.PUBLICATION}
    topic_prefix: {name}
"""
        )
        command = [sys.executable, "-m", "benchmarks.e2e.capture_process", str(config), "bench"]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        if way.program == "pure":
            environment["CDC_PURE_PYTHON"] = "1"
        process = subprocess.Popen(
            [*command, UNTIL_TOLD] if until_told else command,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if way.log == "kafka":
                self.kafka().delete_topics(name)
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _log(self, log: str) -> str:
        if log == "kafka":
            return (
                f"{{type: kafka, bootstrap_servers: '{self.kafka().bootstrap_servers}', "
                "topics: {partitions: 1, replication_factor: 1}}"
            )
        return {"embedded": "{type: embedded}", "null": "{type: benchmarks.e2e.null_log}"}[log]


def finished(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a capture process has measured, when it has ended by itself."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"a capture process ended with status {process.returncode}")
    result: dict[str, Any] = json.loads(output)
    return result


def told_to_end(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The same of one that follows until it is told to end."""
    process.send_signal(signal.SIGTERM)
    return finished(process)


EVENTS = {1: 200_000, 100: 600_000, 10_000: 1_000_000}


def stream(
    bench: Bench, ways: Sequence[Way], rows: Sequence[int], scale: float, runs: int
) -> list[dict[str, object]]:
    """Every way over the same changes, for each number of rows a transaction."""
    results: list[dict[str, object]] = []
    for number in rows:
        workload.drop_slots(bench.postgres)
        changes = workload.write(bench.postgres, number, int(EVENTS[number] * scale))
        results += [bench.stream(changes, way, runs) for way in ways]
    workload.drop_slots(bench.postgres)
    return results


def snapshot(bench: Bench, ways: Sequence[Way], scale: float, runs: int) -> list[dict[str, object]]:
    """Every way over the same table."""
    workload.write(bench.postgres, 10_000, int(EVENTS[10_000] * scale))
    workload.drop_slots(bench.postgres)
    return [bench.snapshot(way, runs) for way in ways]
