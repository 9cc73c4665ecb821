"""`make bench`: measures, and writes what it found with machine, versions and commit.

Parts that are not measured keep their results; each part says when and on what it was measured.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import page
from benchmarks.e2e import postgres
from benchmarks.e2e.latency import latency
from benchmarks.e2e.memory import memory
from benchmarks.e2e.postgres import EVENTS, PROGRAMS, Bench, Program, Way
from cdc.compiled import implementation
from tests.lab import pins

LOGS = ["kafka", "embedded", "null"]
SOCKETS = ["unix", "tcp"]
BESIDE: list[Program] = ["pure", "debezium"]
HALF_LOAD_ROWS = 100

Results = list[dict[str, object]]


def machine() -> dict[str, object]:
    """What the figures depend on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit,
        "cores": os.cpu_count(),
        "processor": model,
        "python": platform.python_version(),
        "implementation": implementation(),
        "psycopg": version("psycopg"),
        "confluent-kafka": version("confluent-kafka"),
        "kafka": pins.KAFKA,
        "debezium": pins.DEBEZIUM,
    }


class Asked:
    """What the command line asked for; measures part by part."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self.parts: list[str] = given.part or list(page.PARTS)
        self._beside = [program for program in BESIDE if program not in given.without]

    def measure(self, bench: Bench, part: str, known: Mapping[str, Results]) -> Results:
        """Measure one part; `known` are results of others, by part."""
        scale, runs = self._given.scale, self._given.runs
        if part == "stream":
            return postgres.stream(bench, self._stream_ways(), self._given.rows, scale, runs)
        if part == "snapshot":
            return postgres.snapshot(bench, self._snapshot_ways(), scale, runs)
        if part == "memory":
            return memory(bench, self._given.memory_log, scale)
        programs: list[Program] = ["tidewire"]
        programs += ["debezium"] if "debezium" in self._beside else []
        halves = {program: _half_rate(known, program) for program in programs}
        return latency(bench, programs, halves, scale)

    def _stream_ways(self) -> list[Way]:
        ways = [
            Way(log=log, socket=socket, main=log == "kafka")
            for log in self._given.log
            for socket in self._given.socket
        ]
        return ways + self._others()

    def _snapshot_ways(self) -> list[Way]:
        return [Way(readers=1), Way(readers=2), *self._others()]

    def _others(self) -> list[Way]:
        # Debezium's driver knows no Unix sockets.
        sockets = {"debezium": "tcp"}
        return [
            Way(program, socket=sockets.get(program, "unix"), main=False)
            for program in self._beside
        ]


def _half_rate(known: Mapping[str, Results], program: Program) -> float:
    """Half of the changes a second that a program did over a hundred rows a transaction."""
    for result in known.get("stream", []):
        same = (result["program"], result["log"]) == (PROGRAMS[program], "kafka")
        if same and result["rows_a_transaction"] == HALF_LOAD_ROWS:
            return float(str(result["events_per_s"])) / 2
    raise SystemExit(
        f"latency at half load needs the stream of {PROGRAMS[program]} at {HALF_LOAD_ROWS} rows a "
        "transaction; measure `stream` too"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[[], *page.PARTS], help="all if none")
    parser.add_argument("--log", nargs="*", choices=LOGS, default=LOGS, help="of the stream")
    parser.add_argument("--socket", nargs="*", choices=SOCKETS, default=SOCKETS)
    parser.add_argument("--rows", nargs="*", type=int, choices=list(EVENTS), default=list(EVENTS))
    parser.add_argument("--memory-log", nargs="*", choices=LOGS, default=["embedded"])
    parser.add_argument("--without", nargs="*", choices=BESIDE, default=[], help="leave out")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data, 1 is whole")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side into Kafka")
    parser.add_argument("--file", type=Path, default=page.FILE, help="results, to be added to")
    parser.add_argument("--dry", action="store_true", help="print, write no file")
    return parser.parse_args()


def main() -> None:
    """Measure what was asked for and write both forms of the result."""
    given = _arguments()
    asked = Asked(given)
    content = dict(page.load(given.file)) if given.file.exists() else {"parts": {}}
    parts = dict(content["parts"])
    with Bench() as bench:
        for part in asked.parts:
            found: dict[str, object] = machine() | {"postgres": bench.server_version()}
            began, before = time.monotonic(), round(os.getloadavg()[0], 2)
            known = {name: measured["results"] for name, measured in parts.items()}
            results = asked.measure(bench, part, known)
            found |= {
                "scale": given.scale,
                "took_s": round(time.monotonic() - began),
                "load_average_before": before,
                "load_average_after": round(os.getloadavg()[0], 2),
            }
            parts[part] = {"found": found, "results": results}
            # A part that is done is kept whatever happens to the next one.
            _write(given, {"parts": parts})
    print(page.page({"parts": {part: parts[part] for part in asked.parts}}))


def _write(given: argparse.Namespace, content: dict[str, object]) -> None:
    if not given.dry:
        given.file.parent.mkdir(exist_ok=True)
        given.file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        given.file.with_suffix(".md").write_text(page.page(content), "utf-8")


if __name__ == "__main__":
    main()
