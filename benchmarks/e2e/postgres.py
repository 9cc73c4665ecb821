"""Postgres into a log, beside pg_recvlogical (stream) and psql's COPY (snapshot).

Each run of either side reads the same write-ahead log from a copy of the same slot; runs alternate.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import quote

from benchmarks.e2e import workload
from benchmarks.e2e.workload import Changes
from tests.lab import KafkaServer, PostgresServer


@dataclass(frozen=True, slots=True)
class Run:
    """One run: wall and CPU seconds of the client process; memory where it is known."""

    wall_s: float
    cpu_s: float
    memory_bytes: int | None = None
    # CPU seconds of the start, which are no part of `cpu_s`.
    start_cpu_s: float = 0.0
    threads: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs of both sides over the same data; every figure is a median."""

    name: str
    events: int
    ours: tuple[Run, ...]
    theirs: tuple[Run, ...]
    reference: str

    def content(self) -> dict[str, object]:
        """The figures as JSON-able content."""
        ours_s = median(run.wall_s for run in self.ours)
        theirs_s = median(run.wall_s for run in self.theirs)
        millions = self.events / 1e6
        pairs = zip(self.ours, self.theirs, strict=True)
        ratios = [theirs.wall_s / ours.wall_s for ours, theirs in pairs]
        return {
            "name": self.name,
            "events": self.events,
            "runs": len(self.ours),
            "reference": self.reference,
            "events_per_s": round(self.events / ours_s),
            "reference_events_per_s": round(self.events / theirs_s),
            "ratio": round(theirs_s / ours_s, 3),
            "ratio_range": f"{min(ratios):.2f} to {max(ratios):.2f}",
            "cpu_s_per_million": round(median(run.cpu_s for run in self.ours) / millions, 2),
            "reference_cpu_s_per_million": round(
                median(run.cpu_s for run in self.theirs) / millions, 2
            ),
            "memory_mib": round(max(run.memory_bytes or 0 for run in self.ours) / 2**20),
            "start_cpu_s": round(median(run.start_cpu_s for run in self.ours), 2),
            "threads_cpu_s_per_million": {
                name: round(spent / millions, 2) for name, spent in self.ours[-1].threads
            },
        }


def _measured(command: list[str], **options: object) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall_s, cpu_s)


@dataclass(frozen=True, slots=True)
class Way:
    """What lies between the database and the log: `log` is kafka, embedded or null."""

    log: str = "kafka"
    socket: str = "tcp"

    def __str__(self) -> str:
        return f"{self.log}, {'Unix socket' if self.socket == 'unix' else 'TCP'}"


class Bench:
    """The servers, a folder for configurations and state, and the way that is measured."""

    def __init__(
        self, postgres: PostgresServer, kafka: KafkaServer | None, folder: Path, way: Way
    ) -> None:
        self._postgres = postgres
        self._kafka = kafka
        self._folder = folder
        self.way = way
        self._count = 0
        workload.prepare(postgres)

    def stream(self, changes: Changes, runs: int) -> Comparison:
        """Drain these changes with both."""
        rows = changes.rows_a_transaction
        name = f"stream, {rows:,} row{'s' if rows > 1 else ''} a transaction, {self.way}"
        try:
            return self._compare(
                name, changes.events, runs,
                lambda: self._recvlogical(changes), lambda: self._capture("never", changes.events),
                "pg_recvlogical",
            )  # fmt: skip
        finally:
            workload.drop_slots(self._postgres, "run")

    def snapshot(self, runs: int) -> Comparison:
        """Read the table, which the last stream left filled, with both."""
        with self._postgres.connect(workload.DATABASE) as connection:
            counted = connection.execute("SELECT count(*) FROM item").fetchone()
        assert counted is not None
        assert counted[0] > 0, counted
        return self._compare(
            f"initial snapshot, one table, {self.way}", counted[0], runs,
            self._copy, lambda: self._capture("initial", counted[0]),
            "psql COPY ... TO STDOUT",
        )  # fmt: skip

    def _compare(
        self,
        name: str,
        events: int,
        runs: int,
        theirs: Callable[[], Run],
        ours: Callable[[], Run],
        reference: str,
    ) -> Comparison:
        pairs = []
        for number in range(runs):
            print(f"{name}: run {number + 1} of {runs}", file=sys.stderr, flush=True)
            pairs.append((theirs(), ours()))
            workload.drop_slots(self._postgres, "run")
        return Comparison(
            name, events, tuple(ours for _, ours in pairs), tuple(t for t, _ in pairs), reference
        )

    def _url(self) -> str:
        if self.way.socket == "tcp":
            return self._postgres.url(workload.DATABASE)
        folder = quote(str(self._postgres.folder), safe="")
        return f"postgresql://postgres@{folder}:{self._postgres.port}/{workload.DATABASE}"

    def _log(self) -> str:
        if self.way.log == "kafka":
            assert self._kafka is not None
            return (
                f"{{type: kafka, bootstrap_servers: '{self._kafka.bootstrap_servers}', "
                "topics: {partitions: 1, replication_factor: 1}}"
            )
        return {"embedded": "{type: embedded}", "null": "{type: benchmarks.e2e.null_log}"}[
            self.way.log
        ]

    def _next(self) -> str:
        self._count += 1
        return f"run{self._count}"

    def _recvlogical(self, changes: Changes) -> Run:
        slot = self._next()
        workload.copy_slot(self._postgres, slot)
        return _measured(
            [
                str(self._postgres.binary("pg_recvlogical")),
                f"--dbname={self._url()}",
                f"--slot={slot}", "--start", "--no-loop", "--file=/dev/null",
                f"--endpos={changes.end}", "--option=proto_version=1",
                f"--option=publication_names={workload.PUBLICATION}",
            ]
        )  # fmt: skip

    def _copy(self) -> Run:
        return _measured(
            [
                str(self._postgres.binary("psql")), "--no-psqlrc",
                self._url(), "--command=COPY item TO STDOUT",
            ]
        )  # fmt: skip

    def _capture(self, snapshot: str, events: int) -> Run:
        name = self._next()
        if snapshot == "never":
            workload.copy_slot(self._postgres, name)
        config = self._folder / f"{name}.yaml"
        config.write_text(
            f"""
name: {name}
state_dir: {self._folder / name}
log: {self._log()}
sources:
  bench:
    type: postgres
    url: {self._url()}
    tables: [public.item]
    snapshot: {snapshot}
    slot: {name}
    publication: {workload.PUBLICATION}
    topic_prefix: {name}
"""
        )
        output = subprocess.run(
            [sys.executable, "-m", "benchmarks.e2e.capture_process", str(config), "bench"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        ).stdout
        result = json.loads(output)
        if result["events"] != events:
            raise SystemExit(f"{name} captured {result['events']} of {events} changes")
        if self._kafka is not None:
            self._kafka.delete_topics(name)
        shutil.rmtree(self._folder / name, ignore_errors=True)
        return Run(
            result["wall_s"],
            result["cpu_s"] - result["start_cpu_s"],
            result["memory_bytes"],
            result["start_cpu_s"],
            tuple(result["threads"].items()),
        )


EVENTS = {1: 200_000, 100: 600_000, 10_000: 1_000_000}


def measure(
    parts: Collection[str], ways: Sequence[Way], rows: Sequence[int], scale: float, runs: int
) -> list[dict[str, object]]:
    """Every comparison of these parts (stream, snapshot); `scale` multiplies the sizes.

    All ways of one part read the same data.
    """
    results: list[dict[str, object]] = []
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer.start(settings=workload.SETTINGS))
        kafka = None
        if any(way.log == "kafka" for way in ways):
            kafka = stack.enter_context(KafkaServer.start(bench=True))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tw-bench")))
        bench = Bench(postgres, kafka, folder, ways[0])
        # A snapshot alone needs a filled table, too.
        for number in rows if "stream" in parts else (10_000,):
            changes = workload.write(postgres, number, int(EVENTS[number] * scale))
            for bench.way in ways if "stream" in parts else ():
                results.append(bench.stream(changes, runs).content())
            workload.drop_slots(postgres)
        for bench.way in ways if "snapshot" in parts else ():
            results.append(bench.snapshot(runs).content())
        with postgres.connect() as connection:
            version = connection.execute("SHOW server_version").fetchone()
    assert version is not None
    return [{**result, "postgres": version[0]} for result in results]
