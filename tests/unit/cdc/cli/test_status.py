"""What `cdc status` shows on terminals of any width."""

import dataclasses

import pytest
from rich.console import Console

from cdc.checkpoint import Position
from cdc.cli.status import view
from cdc.lifecycle import Problem, SinkPhase, SourcePhase
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.protocols import OpenTransactions
from cdc.status import PipelineStatus, WorkerStatus

SOURCE = WorkerStatus(
    name="shop",
    kind="source",
    type="postgres",
    phase="streaming",
    since_us=0,
    pid=1,
    restarts=0,
    rate_per_s=120.0,
    progress=CaptureProgress(
        SourcePhase.STREAMING,
        0,
        position=Position("0/1961EE0"),
        lag_bytes=0,
        lag_s=0.0,
        events=7,
    ),
    last_error=None,
)
SINK = WorkerStatus(
    name="search",
    kind="sink",
    type="sqlite",
    phase="retrying",
    since_us=0,
    pid=None,
    restarts=3,
    rate_per_s=0.0,
    progress=DeliverProgress(SinkPhase.RETRYING, 0, lag_records=12),
    last_error=Problem("StorageFull", "no space", "Free some.", retriable=True, at_us=0),
)


def shown(columns: int, *workers: WorkerStatus) -> list[str]:
    shown = workers or (SOURCE, SINK)
    status = PipelineStatus("shop", "degraded", "1.0", "pure", "embedded", 0, 0, shown)
    out = Console(width=columns, soft_wrap=True)
    with out.capture() as captured:
        out.print(view([status], out))
    return captured.get().splitlines()


def test_a_wide_terminal_has_a_line_for_each_worker() -> None:
    head, titles, source, sink, note = (line.split() for line in shown(120))

    assert head[:2] == ["shop", "degraded"]
    assert titles[0] == "name"
    assert source[:4] == ["source", "shop", "postgres", "streaming"]
    assert sink[:4] == ["sink", "search", "sqlite", "retrying"]
    assert note == ["search:", "no", "space.", "Free", "some."]


@pytest.mark.parametrize("columns", [40, 60])
def test_a_narrow_terminal_gets_lines_that_nobody_has_to_puzzle_together(columns: int) -> None:
    assert shown(columns)[1:] == [
        "source shop (postgres): streaming, 0/1961EE0",
        "    7 events, 120/s, lag 0 B, 0.0 s",
        "sink search (sqlite): retrying",
        "    0 changes, 0/s, lag 12 records, ?, 3 restarts",
        "search: no space. Free some.",
    ]


def test_transactions_in_progress_have_a_line_of_their_own() -> None:
    assert isinstance(SOURCE.progress, CaptureProgress)
    progress = dataclasses.replace(SOURCE.progress, open_transactions=OpenTransactions(1, 0, 1024))

    assert shown(120, dataclasses.replace(SOURCE, progress=progress))[-1] == (
        "shop: keeps 1 transaction in progress: 0 B in memory, 1.0 KiB in files"
    )


def test_a_source_that_waits_says_for_whom() -> None:
    waiting = dataclasses.replace(SOURCE, phase="waiting", progress=None)

    assert shown(120, waiting)[-1] == (
        "shop: another instance works on it; this one takes over when that one is gone"
    )
