"""Peak memory of the capture process in one large transaction that is streamed in progress."""

import sys

from benchmarks.e2e import workload
from benchmarks.e2e.measures import MIB
from benchmarks.e2e.postgres import PROGRAMS, Bench, Way, finished

ROWS = 10_000_000


def memory(bench: Bench, logs: list[str], scale: float) -> list[dict[str, object]]:
    """One transaction of ten million inserts (times `scale`) into each log."""
    print(f"memory: write {int(ROWS * scale):,} rows", file=sys.stderr, flush=True)
    workload.drop_slots(bench.postgres)
    changes = workload.write_one(bench.postgres, int(ROWS * scale))
    results = [_measured(bench, Way(log=log), changes.events) for log in logs]
    workload.drop_slots(bench.postgres)
    return results


def _measured(bench: Bench, way: Way, rows: int) -> dict[str, object]:
    print(f"memory: capture into the log {way.log}", file=sys.stderr, flush=True)
    name = bench.next_name()
    workload.copy_slot(bench.postgres, name)
    with bench.capture(name, way, "never") as process:
        result = finished(process)
    if result["events"] != rows:
        raise SystemExit(f"{name} captured {result['events']} of {rows} changes")
    with bench.postgres.connect() as connection:
        found = connection.execute(
            "SELECT spill_txns, stream_txns, stream_bytes FROM pg_stat_replication_slots "
            "WHERE slot_name = %s",
            [name],
        ).fetchone()
    assert found is not None
    return {
        "program": PROGRAMS[way.program],
        **way.content(),
        "rows": rows,
        "memory_mib": round(result["memory_bytes"] / MIB),
        "spilled_mib": round(result["spilled_bytes"] / MIB),
        "events_per_s": round(rows / result["wall_s"]),
        "server_spill_txns": found[0],
        "server_stream_txns": found[1],
        "server_stream_mib": round(found[2] / MIB),
    }
