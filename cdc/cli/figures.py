"""Numbers, sizes and times as people read them."""

from cdc.progress import CaptureProgress, DeliverProgress
from cdc.status import WorkerStatus


def size(size_bytes: float | None) -> str:
    """`1.5 MiB`; `?` when unknown."""
    if size_bytes is None:
        return "?"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def duration(seconds: float | None) -> str:
    """`1.2 s`, `3 min`, `2.5 h`; `?` when unknown."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def rate(per_s: float) -> str:
    """`1,200/s`."""
    return f"{per_s:,.0f}/s"


def lag(worker: WorkerStatus) -> str:
    """How far behind, in what the worker counts in; `?` where it is unknown."""
    match worker.progress:
        case CaptureProgress() as progress:
            return f"{size(progress.lag_bytes)}, {duration(progress.lag_s)}"
        case DeliverProgress() as progress:
            records = "?" if progress.lag_records is None else f"{progress.lag_records:,}"
            return f"{records} records, {duration(progress.lag_s)}"
    return "?"


def done(worker: WorkerStatus) -> str:
    """What it has done since it started."""
    match worker.progress:
        case CaptureProgress() as progress:
            return f"{progress.events:,} events"
        case DeliverProgress() as progress:
            letters = progress.dead_letters_kept
            plural = "" if letters == 1 else "s"
            kept = f", {letters:,} dead letter{plural}" if letters else ""
            return f"{progress.applied:,} changes{kept}"
    return ""


def snapshot(worker: WorkerStatus) -> tuple[int, int | None]:
    """Rows read by the snapshot, and the estimate of all; None while there is none."""
    if not isinstance(worker.progress, CaptureProgress):
        return 0, None
    whole = worker.progress.snapshot
    if whole is not None:
        known = whole.rows_estimated
        return whole.rows_done, None if known is None else max(known, whole.rows_done)
    tables = worker.progress.tables
    rows = sum(table.rows_done for table in tables)
    if not tables or any(table.rows_estimated is None for table in tables):
        return rows, None
    return rows, sum(max(table.rows_estimated or 0, table.rows_done) for table in tables)


def open_transactions(worker: WorkerStatus) -> str:
    """What it keeps of transactions that are not committed yet; empty when that is nothing."""
    if not isinstance(worker.progress, CaptureProgress):
        return ""
    kept = worker.progress.open_transactions
    if kept is None or not (kept.count or kept.changes_given is not None):
        return ""
    parts = []
    if kept.changes_given is not None:
        parts.append(f"writes a large transaction, {kept.changes_given:,} changes so far")
    if kept.count:
        plural = "" if kept.count == 1 else "s"
        parts.append(f"keeps {kept.count:,} transaction{plural} in progress")
    where = f"{size(kept.memory_bytes)} in memory, {size(kept.spilled_bytes)} in files"
    return f"{'; '.join(parts)}: {where}"


def snapshot_left(worker: WorkerStatus) -> str:
    """How long the snapshot still takes, as in `3 min left`; empty while nobody can tell."""
    whole = worker.progress.snapshot if isinstance(worker.progress, CaptureProgress) else None
    if whole is None or whole.eta_s is None:
        return ""
    return f"about {duration(whole.eta_s)} left"


def worker_line(worker: WorkerStatus) -> str:
    """One line about one worker, with the problem that it is trying to get over."""
    problem = worker.last_error if worker.phase in {"retrying", "failed"} else None
    why = f"; {problem.message}" if problem else ""
    return f"{worker.kind} {worker.name}: {state(worker)}{why}"


def state(worker: WorkerStatus) -> str:
    """Phase, work done, lag."""
    if worker.progress is None:
        return worker.phase
    return f"{worker.phase}, {done(worker)}, lag {lag(worker)}"
