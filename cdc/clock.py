"""The machine's time, as the loops are given it."""

import time


class SystemClock:
    """A lifecycle.Clock that reads the machine's clocks."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def wall_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000

    def sleep_s(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
