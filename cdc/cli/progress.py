"""Long work seen from outside: a moving display on a terminal, one line now and then elsewhere."""

import time
from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from cdc.cli.figures import snapshot, state, worker_line
from cdc.cli.terminal import console, wants_progress
from cdc.status import PipelineStatus

LINE_EVERY_S: Final = 10.0


class Progress:
    """Shows the status it is given, if `enabled`."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._printed_at_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._enabled and wants_progress():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[say]}"),
            )
            self._bars = Bars(*columns, console=console(stderr=True), transient=True)
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, status: PipelineStatus) -> None:
        """Show the newest status."""
        if self._bars is not None:
            self._move(self._bars, status)
        elif self._enabled and time.monotonic() - self._printed_at_s >= LINE_EVERY_S:
            self._printed_at_s = time.monotonic()
            for worker in status.workers:
                console(stderr=True).print(worker_line(worker), markup=False)

    def _move(self, bars: Bars, status: PipelineStatus) -> None:
        for worker in status.workers:
            if worker.name not in self._tasks:
                self._tasks[worker.name] = bars.add_task(worker.name, total=None, say="")
            rows, estimated = snapshot(worker)
            bars.update(
                self._tasks[worker.name],
                total=estimated if worker.phase == "snapshot" else None,
                completed=rows,
                say=state(worker),
            )
