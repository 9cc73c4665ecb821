"""From commit to a consumer of committed records, while rows are written at a steady rate.

Load, consumer and program are processes of their own, beside the server and the broker.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.e2e import workload
from benchmarks.e2e.connect import make_topic
from benchmarks.e2e.measures import MIB, cpu_s, peak_bytes
from benchmarks.e2e.postgres import PROGRAMS, Bench, Program, Way, told_to_end

RATE = 1000
WARM_S = 3.0
_SECONDS = 20.0
_SECONDS_MIN = 3.0
_SAMPLES_PER_S = 10_000
_START_S = 60.0


def latency(
    bench: Bench, programs: Sequence[Program], halves: Mapping[Program, float], scale: float
) -> list[dict[str, object]]:
    """Each program at 1,000 single-row transactions a second, and at half of what it can do.

    `halves`: rows a second, a hundred in a transaction, of each program.
    """
    seconds = max(_SECONDS_MIN, _SECONDS * scale)
    results = []
    for program in programs:
        loads = [("1,000 changes/s", RATE, 1), ("half load", int(halves[program]), 100)]
        for load, rate, rows in loads:
            print(f"latency, {PROGRAMS[program]}: {load}", file=sys.stderr, flush=True)
            found = _measured(bench, program, rate, rows, seconds)
            results.append({"program": PROGRAMS[program], "load": load, **found})
    return results


def _measured(
    bench: Bench, program: Program, rate: int, rows: int, seconds: float
) -> dict[str, object]:
    workload.empty(bench.postgres)
    name = bench.next_name()
    workload.make_slot(bench.postgres, name)
    follow = _debezium if program == "debezium" else _tidewire
    with follow(bench, name) as process:
        count = int(rate * (WARM_S + seconds)) // rows * rows
        every = max(1, rate // _SAMPLES_PER_S)
        arrivals = _started(
            "arrivals", bench.kafka().bootstrap_servers, f"{name}.public.item", count, every, WARM_S
        )
        try:
            before_s, began = cpu_s(process.pid), time.monotonic()
            load = _started("load", bench.url("unix"), rate, rows, WARM_S + seconds)
            sent = _output(load)
            spent_s, took_s = cpu_s(process.pid) - before_s, time.monotonic() - began
            found = _output(arrivals)
        finally:
            arrivals.kill()
            arrivals.wait()
        memory_bytes = process.memory_bytes()
    workload.drop_slots(bench.postgres, "run")
    return {
        "rows_a_transaction": rows,
        "wanted_per_s": rate,
        "written_per_s": round(sent["rows_per_s"]),
        "written_late_ms": round(sent["late_s"] * 1000, 1),
        **found,
        "cpu_percent": round(100 * spent_s / took_s),
        "memory_mib": round(memory_bytes / MIB),
    }


class _Followed:
    """The process that follows the changes."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def memory_bytes(self) -> int:
        """Its peak so far."""
        return peak_bytes(self.pid)


@contextmanager
def _tidewire(bench: Bench, name: str) -> Iterator[_Followed]:
    make_topic(bench.kafka(), f"{name}.public.item")
    with bench.capture(name, Way(), "never", until_told=True) as process:
        workload.wait_streaming(bench.postgres, name, _START_S)
        yield _Followed(process.pid)
        told_to_end(process)


@contextmanager
def _debezium(bench: Bench, name: str) -> Iterator[_Followed]:
    debezium = bench.debezium()
    debezium.follow(name)
    try:
        yield _Followed(debezium.pid)
    finally:
        debezium.leave(name)


def _started(module: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", f"benchmarks.e2e.{module}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _output(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{process.args!r} ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(output)
    return found
