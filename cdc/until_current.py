"""`cdc run --until-current`: when is all that was committed before the start in every sink?

1. Every source is asked for a mark at its write position, read after it connected.
2. When every mark is durable in the log, snapshot included, every sink is asked to pass the log's
   ends of that moment.
3. When every sink has, all is current.

A process that was started again is asked again: its mark is later, which is safe.
A worker that is waited for and makes nothing durable for too long ends it, with its name.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from cdc.channel import Message
from cdc.errors import with_remedy
from cdc.lifecycle import Problem
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.status import WorkerStatus

MARK: Final = "until-current"

PATIENCE_S: Final = 300.0
"""How long a worker that is waited for may make no progress, unless the user says otherwise."""


class Worker(Protocol):
    """What is needed of a Child."""

    @property
    def problem(self) -> Problem | None:
        """The last problem."""
        ...

    def status(self) -> WorkerStatus:
        """All that is known."""
        ...

    def send(self, message: Message) -> None:
        """A command for the process that runs now."""
        ...


class UntilCurrent:
    """The three steps; `step` is called again and again."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._asked: dict[str, int] = {}
        self._reached: set[str] = set()
        # What each worker that is waited for has made durable, and since when it is that.
        self._durable: dict[str, tuple[object, float]] = {}

    def step(self, workers: Sequence[Worker], now_s: float) -> tuple[str, ...] | None:
        """Ask whom it is time to ask. None: not yet; empty: all is current; else what failed.

        `now_s` is monotonic.
        """
        statuses = [(worker, worker.status()) for worker in workers]
        failed = [_failure(worker, status) for worker, status in statuses if _failed(status)]
        if failed:
            return tuple(failed)
        sources = [(worker, status) for worker, status in statuses if status.kind == "source"]
        sinks = [(worker, status) for worker, status in statuses if status.kind == "sink"]
        if not self._all_reached(sources, "mark_current"):
            return self._stuck(sources, now_s)
        if not self._all_reached(sinks, "deliver_until"):
            return self._stuck(sinks, now_s)
        return ()

    def _stuck(
        self, workers: Sequence[tuple[Worker, WorkerStatus]], now_s: float
    ) -> tuple[str, ...] | None:
        """Who of those that are waited for has made no progress for too long; None: nobody."""
        stuck = []
        for worker, status in workers:
            if status.name in self._reached:
                continue
            durable = _durable(status)
            known, since_s = self._durable.setdefault(status.name, (durable, now_s))
            if durable != known:
                self._durable[status.name] = (durable, now_s)
            elif now_s - since_s >= self._patience_s:
                stuck.append(_without_progress(worker, status, self._patience_s))
        return tuple(stuck) or None

    def _all_reached(self, workers: Sequence[tuple[Worker, WorkerStatus]], command: str) -> bool:
        for worker, status in workers:
            if status.name in self._reached:
                continue
            if status.pid is not None and self._asked.get(status.name) != status.pid:
                worker.send({command: MARK})
                self._asked[status.name] = status.pid
            elif status.progress is not None and MARK in status.progress.marks:
                self._reached.add(status.name)
        return all(status.name in self._reached for _, status in workers)


def _failed(status: WorkerStatus) -> bool:
    return status.phase in {"failed", "stopped", "paused"}


def _failure(worker: Worker, status: WorkerStatus) -> str:
    problem = worker.problem
    if status.phase == "paused":
        why = f": {problem.message}" if problem else ""
        return f'{status.kind} "{status.name}" is paused{why}. Run `cdc resume {status.name}`.'
    if status.phase == "stopped" or problem is None:
        return f'{status.kind} "{status.name}" ended before everything was current'
    return f'{status.kind} "{status.name}" failed: {with_remedy(problem.message, problem.hint)}'


def _durable(status: WorkerStatus) -> object:
    """What changes only when something became durable; None before there was anything.

    What is merely received does not count: a worker that only retries receives it each time.
    """
    match status.progress:
        case CaptureProgress() as progress if progress.commits:
            return progress.commits, progress.acked
        case DeliverProgress() as progress if progress.commits:
            return progress.commits, progress.read
    return None


def _without_progress(worker: Worker, status: WorkerStatus, patience_s: float) -> str:
    problem = worker.problem
    if status.phase == "waiting":
        why = "another instance works on it"
    elif problem is not None:
        why = with_remedy(problem.message, problem.hint)
    else:
        why = f"it is in the phase {status.phase}"
    return (
        f'{status.kind} "{status.name}" made no progress for {patience_s:g} s '
        f"(--patience-s gives it longer): {why}"
    )
