"""The capture worker's own loop and parts, in a process of its own, measured from inside.

    python -m benchmarks.e2e.capture_process CONFIG SOURCE [until-told]

Ends when all that the database held at the start is durable in the log, or at SIGTERM if that is
what it waits for. Prints one line of JSON: `wall_s` from the start of the stream to that moment,
CPU of the process and of its readers, peak memory.
"""

import json
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import cast

from benchmarks.e2e.measures import peak_bytes
from cdc.capture import Capture
from cdc.checkpoint import Checkpoint
from cdc.clock import SystemClock
from cdc.collector import relax
from cdc.compiled import implementation
from cdc.config import load
from cdc.lifecycle import Command, Progress
from cdc.progress import CaptureProgress
from cdc.protocols import MarkCurrent, Source
from cdc.registry import Parts
from cdc.retry import Backoff

MARK = "all"
UNTIL_TOLD = "until-told"


class TimedSource:
    """A source that remembers when it was started; everything else is the source's own."""

    started_at_s = 0.0
    started_cpu_s = 0.0

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def start(self, checkpoint: Checkpoint | None) -> None:
        TimedSource.started_at_s = time.monotonic()
        TimedSource.started_cpu_s = time.process_time()
        self._source.start(checkpoint)


class UntilMark:
    """A lifecycle.Control that stops when everything of the beginning is durable, or when told."""

    def __init__(self, *, until_told: bool) -> None:
        self.ended_at_s = 0.0
        self.progress: CaptureProgress | None = None
        self.spilled_bytes = 0
        self._asked = until_told
        if until_told:
            signal.signal(signal.SIGTERM, lambda *_: self._end())

    def _end(self) -> None:
        self.ended_at_s = self.ended_at_s or time.monotonic()

    def stopping(self) -> bool:
        return self.ended_at_s > 0

    def commands(self) -> Sequence[Command]:
        if self._asked:
            return ()
        self._asked = True
        return (MarkCurrent(MARK),)

    def report(self, progress: Progress) -> None:
        assert isinstance(progress, CaptureProgress)
        self.progress = progress
        if progress.last_error is not None:
            raise SystemExit(f"{progress.last_error.message}. {progress.last_error.hint}")
        if progress.open_transactions is not None:
            self.spilled_bytes = max(self.spilled_bytes, progress.open_transactions.spilled_bytes)
        if MARK in progress.marks:
            self._end()


def thread_cpu_s() -> dict[str, float]:
    """CPU seconds of each kind of thread by its name, so that it shows who works."""
    found: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        name = (task / "comm").read_text().strip()
        # Source: Linux, Documentation/scheduler/sched-stats.rst: nanoseconds on a processor first.
        spent = int((task / "schedstat").read_text().split()[0]) / 1e9
        found[name] = round(found.get(name, 0.0) + spent, 3)
    return found


def main(config_file: str, name: str, until: str = "mark") -> None:
    """Run and print."""
    config = load(Path(config_file), only=[name])
    parts = Parts(config)
    control = UntilMark(until_told=until == UNTIL_TOLD)
    relax()
    Capture(
        make_source=lambda: cast("Source", TimedSource(parts.source(name))),
        make_writer=lambda: parts.writer(name),
        make_serializer=lambda: parts.serializer(name),
        transforms=parts.transforms(name),
        clock=SystemClock(),
        control=control,
        backoff=Backoff(Random(1)),
    ).run()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    readers = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert control.progress is not None
    print(
        json.dumps(
            {
                "wall_s": control.ended_at_s - TimedSource.started_at_s,
                "cpu_s": usage.ru_utime + usage.ru_stime + readers.ru_utime + readers.ru_stime,
                "start_cpu_s": TimedSource.started_cpu_s,
                "memory_bytes": peak_bytes(),
                "reader_memory_bytes": readers.ru_maxrss * 1024,
                "spilled_bytes": control.spilled_bytes,
                "events": control.progress.events,
                "commits": control.progress.commits,
                "threads": thread_cpu_s(),
                "implementation": implementation(),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
