"""What a running daemon says about itself: to `cdc status`, the REST API, metrics and the page."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from cdc.lifecycle import Problem
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.protocols import TopicInfo

State = Literal["starting", "healthy", "degraded", "failed", "stopping"]
"""`healthy`: every worker does its work. `starting`: some have not begun yet. `degraded`: some are
retrying or paused, a sink keeps dead letters, or a source has an alert. `failed`: some need a
person."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One child process, as the supervisor sees it.

    `type` is the component's (`postgres`, `redis`). `phase` is a SourcePhase or a SinkPhase, set by
    the supervisor where the worker cannot say it (dead, failed at start). `since_us` is when it was
    entered. `rate_per_s` is events (source) or mutations (sink) a second over the last seconds.
    `last_error` outlives the worker. `reads` names what a sink reads, as configured.
    """

    name: str
    kind: Literal["source", "sink"]
    type: str
    phase: str
    since_us: int
    pid: int | None
    restarts: int
    rate_per_s: float
    progress: CaptureProgress | DeliverProgress | None
    last_error: Problem | None
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """Everything that `cdc status` shows. Times are microseconds since 1970 UTC."""

    pipeline: str
    state: State
    version: str
    implementation: str
    log_type: str
    started_at_us: int
    now_us: int
    workers: tuple[WorkerStatus, ...]

    def content(self) -> dict[str, object]:
        """The same as JSON-able content."""
        return dataclasses.asdict(self)


class Daemon(Protocol):
    """What the admin API needs of the process that runs the pipeline. Called from any thread."""

    def status(self) -> PipelineStatus:
        """The newest status; cheap."""
        ...

    def topics(self) -> list[TopicInfo]:
        """Topics of the log; may ask a broker, bounded. Raises CdcError when it cannot say."""
        ...

    def stop(self) -> None:
        """Begin a graceful stop; returns at once."""
        ...

    def act(self, name: str, action: "Action") -> str:
        """Do something to one worker; returns at once, with a sentence that says what follows.

        Raises CdcError when it has no such worker, or when that cannot be done to it now.
        """
        ...


class Search(Protocol):
    """A sink that can be searched by words, such as the embedded index."""

    def __call__(self, words: str, rows_max: int) -> Sequence[Mapping[str, object]]:
        """Documents that match, best first, each with `target`, `id` and `document`."""
        ...


OVERALL: Mapping[str, State] = {
    "failed": "failed",
    "retrying": "degraded",
    "starting": "starting",
    "snapshot": "healthy",
    "streaming": "healthy",
    "delivering": "healthy",
    "waiting": "healthy",
    "paused": "degraded",
    "stopping": "stopping",
    "stopped": "stopping",
}
"""What one worker's phase makes of the pipeline's state."""

_WORST_LAST: tuple[State, ...] = ("healthy", "starting", "degraded", "stopping", "failed")


Action = Literal["pause", "resume", "heal"]
"""What a person can do to one worker of a running daemon."""


def has_alert(worker: WorkerStatus) -> bool:
    """Whether a source says that it needs a person soon."""
    return isinstance(worker.progress, CaptureProgress) and any(
        note.severity == "alert" for note in worker.progress.notes
    )


def overall(workers: Sequence[WorkerStatus]) -> State:
    """The pipeline's state: the worst of its workers; dead letters and alerts are degraded."""
    states: list[State] = [OVERALL[worker.phase] for worker in workers]
    if any(
        (isinstance(worker.progress, DeliverProgress) and worker.progress.dead_letters_kept)
        or has_alert(worker)
        for worker in workers
    ):
        states.append("degraded")
    return max(states, key=_WORST_LAST.index, default="starting")
