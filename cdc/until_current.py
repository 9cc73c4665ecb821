"""`cdc run --until-current`: when is all that was committed before the start in every sink?

1. Every source is asked for a mark at its write position, read after it connected.
2. When every mark is durable in the log, snapshot included, every sink is asked to pass the log's
   ends of that moment.
3. When every sink has, all is current.

A process that was started again is asked again: its mark is later, which is safe.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from cdc.channel import Message
from cdc.lifecycle import Problem
from cdc.status import WorkerStatus

MARK: Final = "until-current"


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

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}
        self._reached: set[str] = set()

    def step(self, workers: Sequence[Worker]) -> tuple[str, ...] | None:
        """Ask whom it is time to ask. None: not yet; empty: all is current; else what failed."""
        statuses = [(worker, worker.status()) for worker in workers]
        failed = [_failure(worker, status) for worker, status in statuses if _failed(status)]
        if failed:
            return tuple(failed)
        sources = [(worker, status) for worker, status in statuses if status.kind == "source"]
        sinks = [(worker, status) for worker, status in statuses if status.kind == "sink"]
        if not self._all_reached(sources, "mark_current"):
            return None
        if not self._all_reached(sinks, "deliver_until"):
            return None
        return ()

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
    return status.phase in {"failed", "stopped"}


def _failure(worker: Worker, status: WorkerStatus) -> str:
    problem = worker.problem
    if status.phase == "stopped" or problem is None:
        return f'{status.kind} "{status.name}" ended before everything was current'
    return f'{status.kind} "{status.name}" failed: {problem.message}. {problem.hint}'
