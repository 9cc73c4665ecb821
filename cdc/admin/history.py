"""What the rate and lag curves on the status page are drawn from: one sample a second."""

from collections import deque
from typing import Final

from cdc.progress import CaptureProgress, DeliverProgress
from cdc.status import PipelineStatus, WorkerStatus

SAMPLES_MAX: Final = 600
"""Ten minutes."""


class History:
    """The last samples of every worker. Bounded; lost at a restart on purpose."""

    def __init__(self, samples_max: int = SAMPLES_MAX) -> None:
        self._at_us: deque[int] = deque(maxlen=samples_max)
        self._samples: dict[str, deque[tuple[float, float | None]]] = {}
        self._samples_max = samples_max

    def add(self, status: PipelineStatus) -> None:
        """Take one sample of every worker."""
        earlier = len(self._at_us)
        self._at_us.append(status.now_us)
        for worker in status.workers:
            if worker.name not in self._samples:
                missing = [(0.0, None)] * min(earlier, self._samples_max - 1)
                self._samples[worker.name] = deque(missing, maxlen=self._samples_max)
            self._samples[worker.name].append((worker.rate_per_s, _lag_s(worker)))

    def content(self) -> dict[str, object]:
        """`at_us`: times, oldest first; `workers`: name -> `rate_per_s` and `lag_s` beside them."""
        return {
            "at_us": list(self._at_us),
            "workers": {
                name: {
                    "rate_per_s": [rate for rate, _ in samples],
                    "lag_s": [lag for _, lag in samples],
                }
                for name, samples in self._samples.items()
            },
        }


def _lag_s(worker: WorkerStatus) -> float | None:
    if isinstance(worker.progress, (CaptureProgress, DeliverProgress)):
        return worker.progress.lag_s
    return None
