"""What is measured: runs of one program, comparisons of two, and the kernel's own figures."""

import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """One run: wall and CPU seconds of the client process; memory where it is known."""

    wall_s: float
    cpu_s: float
    memory_bytes: int | None = None
    # CPU seconds of the start, which are no part of `cpu_s`.
    start_cpu_s: float = 0.0
    threads: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs of both sides over the same data in turns; every figure is a median."""

    events: int
    ours: tuple[Run, ...]
    theirs: tuple[Run, ...]
    reference: str

    def content(self) -> dict[str, object]:
        """The figures as JSON-able content."""
        ours_s = median(run.wall_s for run in self.ours)
        theirs_s = median(run.wall_s for run in self.theirs)
        millions = self.events / 1e6
        pairs = zip(self.ours, self.theirs, strict=True)
        ratios = [theirs.wall_s / ours.wall_s for ours, theirs in pairs]
        return {
            "events": self.events,
            "runs": len(self.ours),
            "reference": self.reference,
            "events_per_s": round(self.events / ours_s),
            "reference_events_per_s": round(self.events / theirs_s),
            "ratio": round(theirs_s / ours_s, 3),
            "ratio_range": f"{min(ratios):.2f} to {max(ratios):.2f}",
            "cpu_s_per_million": round(median(run.cpu_s for run in self.ours) / millions, 2),
            "start_cpu_s": round(median(run.start_cpu_s for run in self.ours), 2),
            "reference_cpu_s_per_million": round(
                median(run.cpu_s for run in self.theirs) / millions, 2
            ),
            "memory_mib": round(max(run.memory_bytes or 0 for run in self.ours) / MIB),
            "threads_cpu_s_per_million": {
                name: round(spent / millions, 2) for name, spent in self.ours[-1].threads
            },
        }


def measured(command: list[str]) -> Run:
    """Run a command to its end; what it prints is dropped."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall_s, cpu_s)


def peak_bytes(pid: int | str = "self") -> int:
    """The most memory that a process has had resident.

    Not `ru_maxrss`, which a child takes over from the process that started it.
    Source: Linux, Documentation/filesystems/proc.rst, VmHWM.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has no memory any more")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process with all its threads.

    Source: Linux, Documentation/filesystems/proc.rst, /proc/PID/stat, utime and stime.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
