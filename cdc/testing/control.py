"""A worker's orders from a list."""

from collections.abc import Callable, Sequence

from cdc.lifecycle import Command, Progress


class ListedControl:
    """A lifecycle.Control. `stop` is asked each time; `pending` are commands still to be given.

    `reports` keeps what was reported, in order.
    """

    def __init__(self, stop: Callable[[], bool], pending: Sequence[Command] = ()) -> None:
        self.stop = stop
        self.pending: list[Command] = list(pending)
        self.reports: list[Progress] = []

    def stopping(self) -> bool:
        """Whether the loop shall end."""
        return self.stop()

    def commands(self) -> Sequence[Command]:
        """The commands not given yet."""
        given, self.pending = self.pending, []
        return given

    def report(self, progress: Progress) -> None:
        """Keep the progress."""
        self.reports.append(progress)

    @property
    def phases(self) -> list[str]:
        """The phases reported, each once in a row."""
        phases = [str(progress.phase) for progress in self.reports]
        return [
            phase for place, phase in enumerate(phases) if place == 0 or phases[place - 1] != phase
        ]

    @property
    def marks(self) -> tuple[str, ...]:
        """The marks reached, as last reported."""
        return self.reports[-1].marks if self.reports else ()
