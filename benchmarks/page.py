"""The results file as Markdown. Pure: pages that show figures are generated from the file by this.

The file's content: `parts` by name, each with `found` (machine, versions, commit, date, load) and
`results`, a list of mappings whose keys are the columns below.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results" / "postgres.json"
NOT_MEASURED = "Not measured yet."
PARTS = ("stream", "snapshot", "latency", "memory")

Result = Mapping[str, Any]
Content = Mapping[str, Any]

_TITLES = {
    "stream": "Stream: changes that were written before, drained",
    "snapshot": "Initial snapshot of one table",
    "latency": "Latency: commit to a consumer of committed records",
    "memory": "Memory: one large transaction, streamed in progress",
}
_RATIO = {
    "program": "program", "log": "log", "socket": "socket", "events": "changes",
    "events_per_s": "changes/s", "reference_events_per_s": "the reference's",
    "ratio": "ratio", "ratio_range": "of runs", "cpu_s_per_million": "CPU s/million",
    "reference_cpu_s_per_million": "the reference's", "start_cpu_s": "CPU s at start",
    "memory_mib": "peak MiB", "runs": "runs",
}  # fmt: skip
_COLUMNS: dict[str, dict[str, str]] = {
    "stream": {"rows_a_transaction": "rows a transaction", **_RATIO},
    "snapshot": {"readers": "readers", **_RATIO},
    "latency": {
        "program": "program", "load": "load", "rows_a_transaction": "rows a transaction",
        "written_per_s": "written/s", "p50_ms": "p50 ms", "p90_ms": "p90 ms", "p99_ms": "p99 ms",
        "max_ms": "max ms", "samples": "samples", "cpu_percent": "CPU, % of a core",
        "memory_mib": "peak MiB", "written_late_ms": "written late by ms at most",
    },
    "memory": {
        "program": "program", "log": "log", "rows": "rows", "memory_mib": "peak MiB",
        "spilled_mib": "MiB in files", "events_per_s": "changes/s",
        "server_spill_txns": "spilled by the server", "server_stream_txns": "streamed by it",
        "server_stream_mib": "MiB streamed by it",
    },
}  # fmt: skip


def load(file: Path = FILE) -> Content:
    """The content of the results file."""
    content: Content = json.loads(file.read_text("utf-8"))
    return content


def page(content: Content) -> str:
    """The whole of the results, as `benchmarks/results/postgres.md` has them."""
    blocks = [
        "# Postgres: results of `make bench`",
        (
            "Written from `postgres.json`, which `make bench` measures; "
            "[docs/performance.md](../../docs/performance.md) says how to read it."
        ),
    ]
    for part in PARTS:
        if part in content["parts"]:
            given = content["parts"][part]
            blocks += [f"## {_TITLES[part]}", _found(given["found"]), table(content, part)]
    return "\n\n".join(blocks) + "\n"


def table(content: Content, part: str) -> str:
    """All results of a part; the reference of `ratio` is in the heading of each group."""
    if part not in content["parts"]:
        return NOT_MEASURED
    results = content["parts"][part]["results"]
    columns = {key: title for key, title in _COLUMNS[part].items() if _any(results, key)}
    return _table(columns.values(), [[_cell(r.get(key)) for key in columns] for r in results])


def summary(content: Content) -> str:
    """What the README shows: the stream into Kafka, over a Unix socket where it was measured."""
    titles = (
        "rows a transaction", "changes a second", "of `pg_recvlogical`",
        "CPU seconds per million", "peak memory",
    )  # fmt: skip
    sockets = {result["socket"] for result in content["parts"]["stream"]["results"]}
    socket = "Unix" if "Unix" in sockets else "TCP"
    rows = [
        [
            _cell(result["rows_a_transaction"]),
            f"{round(result['events_per_s'], -2):,}",
            f"{result['ratio']:.2f}",
            f"{result['cpu_s_per_million']:.1f}",
            f"{result['memory_mib']} MiB",
        ]
        for result in content["parts"]["stream"]["results"]
        if (result["program"], result["log"], result["socket"]) == ("Tidewire", "kafka", socket)
    ]
    return _table(titles, rows)


def beside_debezium(content: Content) -> str:
    """Tidewire's figures in those of Debezium, of the parts that have both; TCP where it can be."""
    rows = []
    for part in ("stream", "snapshot"):
        results = content["parts"].get(part, {"results": []})["results"]
        for theirs in (r for r in results if r["program"].startswith("Debezium")):
            ours = _ours(results, theirs.get("rows_a_transaction"))
            count = theirs.get("rows_a_transaction")
            rows.append(
                [
                    "initial snapshot" if count is None else f"stream, {count:,} a transaction",
                    f"{ours['events_per_s']:,}",
                    f"{theirs['events_per_s']:,}",
                    f"{ours['events_per_s'] / theirs['events_per_s']:.1f}",
                    f"1/{theirs['cpu_s_per_million'] / ours['cpu_s_per_million']:.0f}",
                    f"1/{theirs['memory_mib'] / ours['memory_mib']:.0f}",
                ]
            )
    if not rows:
        return NOT_MEASURED
    titles = ("what", "Tidewire/s", "Debezium/s", "times", "of its CPU", "of its memory")
    return _table(titles, rows)


def _ours(results: Sequence[Result], rows: int | None) -> Result:
    same = [
        result
        for result in results
        if (result["program"], result["log"]) == ("Tidewire", "kafka")
        and (result.get("rows_a_transaction"), result.get("readers", 1)) == (rows, 1)
    ]
    return min(same, key=lambda result: str(result["socket"]))


def _found(found: Mapping[str, object]) -> str:
    return "\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in found.items())


def _any(results: Sequence[Result], key: str) -> bool:
    return any(result.get(key) is not None for result in results)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(titles: "Sequence[str] | Any", rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
