"""Time that passes only when told."""

from collections.abc import Callable


class ManualClock:
    """A lifecycle.Clock; sleeping moves it. `ticks` run after each sleep, with the clock moved."""

    def __init__(self, wall_us: int = 1_700_000_000_000_000) -> None:
        self._monotonic_s = 1000.0
        self._wall_us = wall_us
        self.slept_s = 0.0
        self.ticks: list[Callable[[], None]] = []

    def monotonic_s(self) -> float:
        """Seconds since some moment."""
        return self._monotonic_s

    def wall_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return self._wall_us

    def sleep_s(self, seconds: float) -> None:
        """Let time pass, without waiting."""
        self.pass_s(seconds)
        self.slept_s += seconds
        for tick in self.ticks:
            tick()

    def pass_s(self, seconds: float) -> None:
        """Let time pass while something else than sleeping is done."""
        self._monotonic_s += seconds
        self._wall_us += round(seconds * 1_000_000)

    def jump_wall_us(self, microseconds: int) -> None:
        """Set the wall clock forward, or back when negative."""
        self._wall_us += microseconds
