"""Postgres to Kafka, exactly once, beside pg_recvlogical (stream) and psql's COPY (snapshot).

Each run of either side reads the same write-ahead log from a copy of the same slot; runs alternate.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.e2e import workload
from benchmarks.e2e.workload import Changes
from tests.lab import KafkaServer, PostgresServer


@dataclass(frozen=True, slots=True)
class Run:
    """One run: wall and CPU seconds of the client process; memory where it is known."""

    wall_s: float
    cpu_s: float
    memory_bytes: int | None = None


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
        }


def _measured(command: list[str], **options: object) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall_s, cpu_s)


class Bench:
    """Both servers and a folder for configurations and state."""

    def __init__(self, postgres: PostgresServer, kafka: KafkaServer, folder: Path) -> None:
        self._postgres = postgres
        self._kafka = kafka
        self._folder = folder
        self._count = 0
        workload.prepare(postgres)

    def stream(self, rows_a_transaction: int, events: int, runs: int) -> Comparison:
        """Drain the same changes with both."""
        changes = workload.write(self._postgres, rows_a_transaction, events)
        name = f"stream, {rows_a_transaction:,} rows a transaction"
        try:
            return self._compare(
                name, changes.events, runs,
                lambda: self._recvlogical(changes), lambda: self._capture("never", changes.events),
                "pg_recvlogical",
            )  # fmt: skip
        finally:
            workload.drop_slots(self._postgres)

    def snapshot(self, rows: int, runs: int) -> Comparison:
        """Read the table, which the last stream left filled, with both."""
        with self._postgres.connect(workload.DATABASE) as connection:
            counted = connection.execute("SELECT count(*) FROM item").fetchone()
        assert counted is not None
        assert counted[0] >= rows, counted
        return self._compare(
            "initial snapshot, one table, one connection", counted[0], runs,
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

    def _next(self) -> str:
        self._count += 1
        return f"run{self._count}"

    def _recvlogical(self, changes: Changes) -> Run:
        slot = self._next()
        workload.copy_slot(self._postgres, slot)
        return _measured(
            [
                str(self._postgres.binary("pg_recvlogical")),
                f"--dbname={self._postgres.url(workload.DATABASE)}",
                f"--slot={slot}", "--start", "--no-loop", "--file=/dev/null",
                f"--endpos={changes.end}", "--option=proto_version=1",
                f"--option=publication_names={workload.PUBLICATION}",
            ]
        )  # fmt: skip

    def _copy(self) -> Run:
        return _measured(
            [
                str(self._postgres.binary("psql")), "--no-psqlrc",
                self._postgres.url(workload.DATABASE), "--command=COPY item TO STDOUT",
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
log:
  type: kafka
  bootstrap_servers: {self._kafka.bootstrap_servers}
  topics: {{partitions: 1, replication_factor: 1}}
sources:
  bench:
    type: postgres
    url: {self._postgres.url(workload.DATABASE)}
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
        self._kafka.delete_topics(name)
        return Run(result["wall_s"], result["cpu_s"], result["memory_bytes"])


def measure(scale: float, runs: int) -> list[dict[str, object]]:
    """Every comparison; `scale` multiplies the sizes."""
    with (
        PostgresServer.start(settings=workload.SETTINGS) as postgres,
        KafkaServer.start(bench=True) as kafka,
        TemporaryDirectory(prefix="tw-bench") as folder,
    ):
        bench = Bench(postgres, kafka, Path(folder))
        results = [
            bench.stream(rows, int(events * scale), runs).content()
            for rows, events in ((1, 200_000), (100, 600_000), (10_000, 1_000_000))
        ]
        results.append(bench.snapshot(int(500_000 * scale), runs).content())
        with postgres.connect() as connection:
            version = connection.execute("SHOW server_version").fetchone()
    assert version is not None
    return [{**result, "postgres": version[0]} for result in results]
