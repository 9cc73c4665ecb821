"""Numbers as people read them; unknown is never zero."""

from dataclasses import replace

import pytest

from cdc.cli.figures import (
    done,
    duration,
    lag,
    open_transactions,
    rate,
    size,
    snapshot,
    snapshot_left,
    worker_line,
)
from cdc.lifecycle import Problem, SinkPhase, SourcePhase
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.protocols import OpenTransactions, SnapshotProgress, TableProgress
from cdc.status import WorkerStatus


def worker(progress: CaptureProgress | DeliverProgress | None) -> WorkerStatus:
    kind = "sink" if isinstance(progress, DeliverProgress) else "source"
    return WorkerStatus(
        name="shop",
        kind="sink" if kind == "sink" else "source",
        type="memory",
        phase="streaming",
        since_us=0,
        pid=None,
        restarts=0,
        rate_per_s=0.0,
        progress=progress,
        last_error=None,
    )


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(None, "?"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes(size_bytes: int | None, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0.04, "0.0 s"), (90, "2 min"), (9000, "2.5 h")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_rates() -> None:
    assert rate(12345.6) == "12,346/s"


def test_what_is_unknown_is_a_question_mark() -> None:
    assert lag(worker(None)) == "?"
    assert lag(worker(CaptureProgress(SourcePhase.STREAMING, 0))) == "?, ?"
    assert lag(worker(DeliverProgress(SinkPhase.DELIVERING, 0))) == "? records, ?"
    assert done(worker(None)) == ""


def test_dead_letters_are_counted_where_there_are_some() -> None:
    one = DeliverProgress(SinkPhase.DELIVERING, 0, applied=2, dead_letters_kept=1)
    more = DeliverProgress(SinkPhase.DELIVERING, 0, applied=2000, dead_letters_kept=3)

    assert done(worker(one)) == "2 changes, 1 dead letter"
    assert done(worker(more)) == "2,000 changes, 3 dead letters"


def test_a_snapshot_without_every_estimate_has_none() -> None:
    tables = (TableProgress("a.b", 10, 5, done=True), TableProgress("a.c", 1, None, done=False))
    progress = CaptureProgress(SourcePhase.SNAPSHOT, 0, tables=tables)

    assert snapshot(worker(progress)) == (11, None)
    assert snapshot(worker(None)) == (0, None)


def test_a_snapshot_as_a_whole_counts_all_tables_and_tells_the_time_left() -> None:
    whole = SnapshotProgress(2000, 3, 40, 100, 5, 10, 90.0)
    tables = (TableProgress("a.b", 10, 5, done=True),)
    progress = CaptureProgress(SourcePhase.SNAPSHOT, 0, tables=tables, snapshot=whole)
    early = replace(progress, snapshot=replace(whole, rows_estimated=None, eta_s=None))

    assert snapshot(worker(progress)) == (40, 100)
    assert snapshot_left(worker(progress)) == "about 2 min left"
    assert snapshot(worker(early)) == (40, None)
    assert snapshot_left(worker(early)) == snapshot_left(worker(None)) == ""


def test_an_estimate_that_was_too_low_grows() -> None:
    tables = (TableProgress("a.b", 10, 5, done=True), TableProgress("a.c", 1, 9, done=False))
    progress = CaptureProgress(SourcePhase.SNAPSHOT, 0, tables=tables)

    assert snapshot(worker(progress)) == (11, 19)


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        (None, ""),
        (OpenTransactions(0, 0, 0), ""),
        (
            OpenTransactions(1, 1024, 2048),
            "keeps 1 transaction in progress: 1.0 KiB in memory, 2.0 KiB in files",
        ),
        (
            OpenTransactions(2, 0, 0, 3_000),
            (
                "writes a large transaction, 3,000 changes so far; keeps 2 transactions in "
                "progress: 0 B in memory, 0 B in files"
            ),
        ),
        (
            OpenTransactions(0, 0, 1024, 0),
            "writes a large transaction, 0 changes so far: 0 B in memory, 1.0 KiB in files",
        ),
    ],
)
def test_transactions_in_progress_are_told(kept: OpenTransactions | None, text: str) -> None:
    progress = CaptureProgress(SourcePhase.STREAMING, 0, open_transactions=kept)

    assert text == open_transactions(worker(progress))
    assert open_transactions(worker(None)) == ""


def test_a_worker_is_one_line() -> None:
    progress = CaptureProgress(SourcePhase.STREAMING, 0, lag_bytes=0, lag_s=0.0, events=7)

    assert worker_line(worker(progress)) == "source shop: streaming, 7 events, lag 0 B, 0.0 s"


def test_a_worker_that_retries_says_why() -> None:
    problem = Problem("TransientError", "Kafka is away", "Start it.", retriable=True, at_us=0)
    retrying = replace(worker(None), phase="retrying", last_error=problem)
    over_it = replace(retrying, phase="streaming")

    assert worker_line(retrying) == "source shop: retrying; Kafka is away"
    assert "Kafka" not in worker_line(over_it)
