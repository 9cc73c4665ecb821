"""A daemon with a status that a test chooses; everything else about the admin server is real."""

from dataclasses import replace

from cdc.checkpoint import Position
from cdc.errors import CdcError
from cdc.lifecycle import Problem, SinkPhase, SourcePhase
from cdc.notes import Note
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.protocols import TableProgress, TopicInfo
from cdc.status import Action, PipelineStatus, WorkerStatus, overall

NOW_US = 1_789_369_510_000_000

SOURCE = WorkerStatus(
    name="shop",
    kind="source",
    type="postgres",
    phase="streaming",
    since_us=NOW_US - 60_000_000,
    pid=4711,
    restarts=0,
    rate_per_s=1234.5,
    progress=CaptureProgress(
        SourcePhase.STREAMING,
        NOW_US,
        position=Position("0/16B3748"),
        lag_bytes=2048,
        lag_s=0.012,
        events=123_456,
        records=123_460,
        size_bytes=50_000_000,
        commits=900,
        commit_s=0.004,
    ),
    last_error=None,
)
NOTED = replace(
    SOURCE,
    progress=CaptureProgress(
        SourcePhase.STREAMING,
        NOW_US,
        notes=(
            Note("info", "old-transaction", "an old transaction is waited for"),
            Note("alert", "wal-limit", 'slot "<b>shop</b>" keeps 9.0 GiB', "Raise wal_guard."),
        ),
    ),
)
SNAPSHOTTING = replace(
    SOURCE,
    phase="snapshot",
    progress=CaptureProgress(
        SourcePhase.SNAPSHOT,
        NOW_US,
        tables=(
            TableProgress("public.products", 900, 1000, done=False),
            TableProgress("public.orders", 50_000, 49_000, done=True),
            TableProgress("public.reviews", 0, None, done=False),
        ),
    ),
)
SINK = WorkerStatus(
    name="search",
    kind="sink",
    type="sqlite",
    phase="delivering",
    since_us=NOW_US - 50_000_000,
    pid=4712,
    restarts=2,
    rate_per_s=1200.0,
    progress=DeliverProgress(
        SinkPhase.DELIVERING, NOW_US, lag_records=7, lag_s=0.2, read=1000, applied=990, rejected=1
    ),
    last_error=None,
    reads=("public.products",),
)
FAILED = replace(
    SINK,
    name="cache",
    type="redis",
    phase="failed",
    pid=None,
    last_error=Problem(
        "SinkRefused",
        "Redis refuses the password",
        "Check the sink's url",
        False,
        NOW_US - 9_000_000,
    ),
)


class ChosenDaemon:
    """A Daemon (cdc/status.py) whose answers are attributes."""

    def __init__(self, *workers: WorkerStatus) -> None:
        self.workers = workers
        self.stopped = 0
        self.acted: list[tuple[str, Action]] = []
        self.topics_error: CdcError | None = None

    def status(self) -> PipelineStatus:
        return PipelineStatus(
            pipeline="shop",
            state=overall(self.workers),
            version="0.1.0",
            implementation="compiled",
            log_type="embedded",
            started_at_us=NOW_US - 90_000_000,
            now_us=NOW_US,
            workers=self.workers,
        )

    def topics(self) -> list[TopicInfo]:
        if self.topics_error is not None:
            raise self.topics_error
        return [TopicInfo("shop.public.products", 1, 1000, 123_456, compacted=True)]

    def stop(self) -> None:
        self.stopped += 1

    def act(self, name: str, action: Action) -> str:
        if name != "shop":
            raise CdcError(f'this daemon does not run "{name}"', hint="See `cdc status`.")
        self.acted.append((name, action))
        return f"{action} of {name} begins"
