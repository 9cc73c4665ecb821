"""When a capture commits: limits by bytes, age and rows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait for a commit.

    `age_max_s` is how old the oldest waiting change may get. A commit that takes d seconds raises
    that to 10 * d, up to `age_cap_s`: commits then take a tenth of the time at most, because at
    low load commits every 10 ms cost a third of a broker's core. `quiet_age_max_s` holds while
    nothing but a moved position waits, which nobody is waiting for.
    """

    bytes_max: int = 8 * 1024 * 1024
    rows_max: int = 200_000
    age_max_s: float = 0.020
    age_cap_s: float = 1.0
    quiet_age_max_s: float = 1.0


class CommitBudget:
    """What waits for a commit, and whether it is time. Times are monotonic seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._age_max_s = limits.age_max_s
        self._committed_at_s = float("-inf")
        self._oldest_s: float | None = None
        self._hurried = False
        self.size_bytes = 0
        self.rows = 0

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return self._oldest_s is None

    def age_s(self, now_s: float) -> float:
        """How long the oldest waiting thing has waited; 0.0 when nothing waits."""
        return 0.0 if self._oldest_s is None else now_s - self._oldest_s

    def add(self, now_s: float, size_bytes: int, rows: int, *, hurried: bool = False) -> None:
        """One more batch waits. `hurried`: somebody waits for it even if it has no rows."""
        if self._oldest_s is None:
            self._oldest_s = now_s
        self.size_bytes += size_bytes
        self.rows += rows
        self._hurried = self._hurried or hurried or rows > 0

    def due(self, now_s: float, *, idle: bool) -> bool:
        """Whether to commit now. `idle`: the source has nothing more at the moment."""
        if self._oldest_s is None:
            return False
        if self.size_bytes >= self._limits.bytes_max or self.rows >= self._limits.rows_max:
            return True
        return now_s >= self._due_at_s(self._oldest_s, idle=idle)

    def wait_s(self, now_s: float, longest_s: float) -> float:
        """How long to wait for the source before the next look at `due`, at most `longest_s`."""
        if self._oldest_s is None:
            return longest_s
        return min(max(self._due_at_s(self._oldest_s, idle=True) - now_s, 0.0), longest_s)

    def committed(self, now_s: float, duration_s: float) -> None:
        """Everything that waited is durable; committing took `duration_s`."""
        self._committed_at_s = now_s
        self._age_max_s = min(
            max(self._limits.age_max_s, 10 * duration_s),
            max(self._limits.age_cap_s, self._limits.age_max_s),
        )
        self._oldest_s = None
        self._hurried = False
        self.size_bytes = self.rows = 0

    def _due_at_s(self, oldest_s: float, *, idle: bool) -> float:
        if not self._hurried:
            return oldest_s + self._limits.quiet_age_max_s
        # A first change after a quiet time goes out at once; then commits keep their distance.
        since_s = min(oldest_s, self._committed_at_s) if idle else oldest_s
        return since_s + self._age_max_s
