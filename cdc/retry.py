"""Back-off with jitter: how long to wait before the next try."""

from random import Random
from typing import Final

FIRST_S: Final = 0.5
CAP_S: Final = 30.0


class Backoff:
    """Waits that double up to a cap, each shortened at random by up to half.

    The jitter keeps workers that failed together from coming back together.
    """

    def __init__(self, rng: Random, first_s: float = FIRST_S, cap_s: float = CAP_S) -> None:
        self._rng = rng
        self._first_s = first_s
        self._cap_s = cap_s
        self._whole_s = first_s

    def next_s(self, at_least_s: float | None = None) -> float:
        """The next wait, never below `at_least_s`, the peer's own wish, even beyond the cap."""
        wait_s = self._whole_s * self._rng.uniform(0.5, 1.0)
        self._whole_s = min(self._whole_s * 2, self._cap_s)
        return max(wait_s, at_least_s or 0.0)

    def reset(self) -> None:
        """Something worked: the next wait is the first one again."""
        self._whole_s = self._first_s
