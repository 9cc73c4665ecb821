"""`make bench`: measures, and writes what it found with machine, versions and commit."""

import argparse
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.e2e import postgres
from benchmarks.e2e.postgres import EVENTS, Way
from cdc.compiled import implementation
from tests.lab import pins

LOGS = ["kafka", "embedded", "null"]
RESULTS = Path(__file__).parent / "results"


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
        "load_before": round(os.getloadavg()[0], 2),
    }


def page(title: str, found: dict[str, object], results: list[dict[str, object]]) -> str:
    """The same as a Markdown page."""
    lines = [
        f"# {title}",
        "",
        "Written by `make bench`; every ratio compares runs of both sides over the same data in",
        "turns, on one machine. A ratio above 1 means faster than the reference. CPU is that of",
        "the process from the start of the stream; what starting costs stands beside it.",
        "",
        *(f"- {name}: {value}" for name, value in found.items()),
        "",
        (
            "| case | events | events/s | reference | its events/s | ratio (range) "
            "| CPU s/million | start CPU s | its CPU s/million | peak memory |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        spread = result["ratio_range"]
        lines.append(
            f"| {result['name']} | {result['events']:,} | {result['events_per_s']:,} | "
            f"{result['reference']} | {result['reference_events_per_s']:,} | "
            f"{result['ratio']} ({spread}) | {result['cpu_s_per_million']} | "
            f"{result['start_cpu_s']} | {result['reference_cpu_s_per_million']} | "
            f"{result['memory_mib']} MiB |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what was asked for and write both forms of the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[[], "stream", "snapshot"], help="all if none")
    parser.add_argument("--log", nargs="*", choices=LOGS, default=["kafka"])
    parser.add_argument("--socket", nargs="*", choices=["tcp", "unix"], default=["unix"])
    parser.add_argument("--rows", nargs="*", type=int, choices=list(EVENTS), default=list(EVENTS))
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data, 1 is whole")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side")
    parser.add_argument("--dry", action="store_true", help="print, write no file")
    given = parser.parse_args()
    found = machine()
    ways = [Way(log, socket) for socket in given.socket for log in given.log]
    parts = given.part or ["stream", "snapshot"]
    results = postgres.measure(parts, ways, given.rows, given.scale, given.runs)
    text = page("Postgres into a log, exactly once", found, results)
    print(text)
    if not given.dry:
        RESULTS.mkdir(exist_ok=True)
        name = f"postgres-{'compiled' if found['implementation'] == 'compiled' else 'pure'}"
        (RESULTS / f"{name}.md").write_text(text)
        content = json.dumps({"machine": found, "results": results}, indent=2)
        (RESULTS / f"{name}.json").write_text(content + "\n")


if __name__ == "__main__":
    main()
