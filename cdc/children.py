"""The supervisor's side of one worker: start it, hear it, start it again, end it."""

import contextlib
import signal
import subprocess
from collections import deque
from dataclasses import replace
from random import Random
from typing import Final

from pydantic import TypeAdapter

from cdc.channel import Channel, Message, pair
from cdc.errors import CdcError
from cdc.journal import Journal
from cdc.lifecycle import Clock, Problem, SinkPhase, SourcePhase
from cdc.processes import environment, module_command
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.retry import Backoff
from cdc.status import Action, WorkerStatus
from cdc.worker import Exit, Order

FIRST_S: Final = 1.0
CAP_S: Final = 60.0
WELL_S: Final = 60.0
"""A worker that lived this long begins with the shortest back-off again."""

SILENT_S: Final = 30.0
"""A worker that works reports twice a second; one that has not for so long hangs in some call."""

RATE_S: Final = 5.0
"""Rates are taken over this time."""

WORKING: Final = frozenset({SourcePhase.SNAPSHOT, SourcePhase.STREAMING, SinkPhase.DELIVERING})
"""Phases in which a worker reports all the time."""

_CAPTURE: Final = TypeAdapter(CaptureProgress)
_DELIVER: Final = TypeAdapter(DeliverProgress)
_PROBLEM: Final = TypeAdapter(Problem)


def command_line(descriptor: int) -> list[str]:
    """What starts a worker."""
    return module_command("cdc.worker", descriptor)


class Child:
    """One source or sink: at most one process at a time, and what is known of it.

    `terminal`: it failed and only a person can change that. `ended`: it is not running and will not
    be started again.
    """

    def __init__(
        self,
        order: Order,
        type_: str,
        reads: tuple[str, ...],
        clock: Clock,
        rng: Random,
        journal: Journal,
    ) -> None:
        self.order = order
        self.channel: Channel | None = None
        self.terminal = False
        self._type = type_
        self._reads = reads
        self._clock = clock
        self._journal = journal.bind(worker=order.name)
        self._backoff = Backoff(rng, FIRST_S, CAP_S)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = self._heard_s = 0.0
        self._restart_at_s: float | None = None
        self._restarts = 0
        self._stopping = self._paused = False
        self._phase = "starting"
        self._since_us = clock.wall_us()
        self._progress: CaptureProgress | DeliverProgress | None = None
        self._problem: Problem | None = None
        self._counts: deque[tuple[float, int]] = deque()

    # --- what the supervisor asks -----------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of the source or sink."""
        return self.order.name

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process else None

    @property
    def ended(self) -> bool:
        """Whether it is not running and will not be started again."""
        return self._process is None and (self._stopping or self._restart_at_s is None)

    @property
    def problem(self) -> Problem | None:
        """The last problem, kept after it has passed."""
        return self._problem

    def status(self) -> WorkerStatus:
        """All that is known."""
        return WorkerStatus(
            name=self.order.name,
            kind=self.order.role,
            type=self._type,
            phase=self._phase,
            since_us=self._since_us,
            pid=self.pid,
            restarts=self._restarts,
            rate_per_s=self._rate_per_s(),
            progress=self._progress,
            last_error=self._problem,
            reads=self._reads,
        )

    # --- what the supervisor does -----------------------------------------------------------------

    def start(self) -> None:
        """Start a process and give it the order."""
        channel, theirs = pair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours alone
                command_line(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment(),
                # Ctrl-C is ours to turn into a graceful stop.
                process_group=0,
            )
        self.channel = channel
        self._started_s = self._heard_s = self._clock.monotonic_s()
        self._restart_at_s = None
        self._counts.clear()
        self._enter("starting")
        channel.send(self.order.content())
        if self._paused:
            channel.send({"pause": True})

    def send(self, message: Message) -> None:
        """A command for the process that runs now."""
        if self.channel is not None:
            self.channel.send(message)

    def tick(self) -> None:
        """Hear what it says, notice its end, start it again when that is due."""
        if self.channel is not None:
            for message in self.channel.receive():
                self._hear(message)
        if self._process is not None and self._process.poll() is not None:
            self._bury(self._process.returncode)
        self._notice_silence()
        due = self._restart_at_s is not None and self._clock.monotonic_s() >= self._restart_at_s
        if due and not self._stopping:
            self._restarts += 1
            self.start()

    def stop(self) -> None:
        """Ask it to finish its batch, commit and end. Repeatable."""
        self._stopping = True
        self._restart_at_s = None
        self._signal(signal.SIGTERM)
        if self._process is not None:
            self._enter("stopping")
        elif not self.terminal:
            self._enter("stopped")

    def kill(self) -> None:
        """End it now. What it had not committed is read again at the next start."""
        self._stopping = True
        self._restart_at_s = None
        self._signal(signal.SIGKILL)

    def act(self, action: Action) -> str:
        """Do what a person wants, and say what follows. Raises CdcError when it cannot be done."""
        name = self.order.name
        if self.order.role != "source":
            raise CdcError(f'only sources can {action}; "{name}" is a sink', hint="")
        match action:
            case "pause":
                return self._pause(name)
            case "resume":
                return self._resume(name)
            case "heal":
                return self._heal(name)

    def _pause(self, name: str) -> str:
        if self.ended:
            raise CdcError(f'the source "{name}" does not run', hint="See `cdc status`.")
        self._paused = True
        self.send({"pause": True})
        return (
            f'the source "{name}" finishes its batch and stands still; meanwhile the database '
            "keeps the log that it has not read"
        )

    def _resume(self, name: str) -> str:
        if not self._paused and self._phase != "paused":
            raise CdcError(f'the source "{name}" is not paused', hint="See `cdc status`.")
        self._paused = False
        self.send({"go_on": "resume"})
        return f'the source "{name}" goes on'

    def _heal(self, name: str) -> str:
        told = f'the source "{name}" begins anew with a snapshot'
        if self._phase == "paused":
            self._paused = False
            self.send({"go_on": "heal"})
            return told
        if not self.terminal or self._stopping:
            raise CdcError(
                f'the source "{name}" is {self._phase}, and may not have lost anything',
                hint=f"Pause it first (`cdc pause {name}`) if it shall begin anew all the same.",
            )
        self.order = replace(self.order, heal=True)
        self.terminal = False
        self.start()
        return told

    # --- what happens to it -----------------------------------------------------------------------

    def _notice_silence(self) -> None:
        silent_s = self._clock.monotonic_s() - self._heard_s
        if self._process is None or self._phase not in WORKING or silent_s < SILENT_S:
            return
        self._problem = Problem(
            kind="Silence",
            message=f'the {self.order.role} "{self.order.name}" has said nothing for '
            f"{silent_s:.0f} s",
            hint="It waits for a server that does not answer; it goes on by itself when that does.",
            retriable=True,
            at_us=self._clock.wall_us(),
        )
        # Whatever it says next puts this right.
        self._enter("retrying")
        self._journal.warning("worker is silent", message=self._problem.message)

    def _hear(self, message: Message) -> None:
        self._heard_s = self._clock.monotonic_s()
        content = message.get("progress")
        if content is not None:
            adapter = _CAPTURE if self.order.role == "source" else _DELIVER
            progress: CaptureProgress | DeliverProgress = adapter.validate_python(content)
            self._progress = progress
            if self.order.heal and progress.commits:
                # From here on it is durable; a restart must not do it once more.
                self.order = replace(self.order, heal=False)
            self._problem = progress.last_error or self._problem
            if not (self._stopping and progress.phase not in {"stopped", "failed"}):
                self._enter(progress.phase.value)
            self._count(progress)
        if "ended" in message:
            self._problem = _PROBLEM.validate_python(message["ended"])

    def _bury(self, code: int) -> None:
        assert self.channel is not None, "a process has a channel"
        for message in self.channel.receive():
            self._hear(message)
        self.channel.close()
        self.channel = self._process = None
        if code == Exit.TERMINAL:
            self.terminal = True
            self._enter("failed")
            return
        if self._stopping or code == Exit.STOPPED:
            self._enter("stopped")
            return
        lived_s = self._clock.monotonic_s() - self._started_s
        if lived_s >= WELL_S:
            self._backoff.reset()
        wait_s = self._backoff.next_s()
        self._restart_at_s = self._clock.monotonic_s() + wait_s
        if code != Exit.RETRY:
            self._problem = self._crash(code)
        self._enter("retrying")
        self._journal.warning(
            "worker ended",
            message=self._problem.message if self._problem else "",
            restart_in_s=round(wait_s, 1),
        )

    def _crash(self, code: int) -> Problem:
        how = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"signal {signal.Signals(-code).name}"
        return Problem(
            kind="Crash",
            message=f'the {self.order.role} "{self.order.name}" ended with {how}',
            hint="It is started again; nothing is lost.",
            retriable=True,
            at_us=self._clock.wall_us(),
        )

    def _enter(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            self._since_us = self._clock.wall_us()
        assert phase in (set(SourcePhase) | set(SinkPhase)), phase

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    # --- rates ------------------------------------------------------------------------------------

    def _count(self, progress: CaptureProgress | DeliverProgress) -> None:
        count = progress.events if isinstance(progress, CaptureProgress) else progress.applied
        now_s = self._clock.monotonic_s()
        self._counts.append((now_s, count))
        while len(self._counts) > 2 and now_s - self._counts[1][0] > RATE_S:
            self._counts.popleft()

    def _rate_per_s(self) -> float:
        if len(self._counts) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._counts[0], self._counts[-1]
        # A worker that says nothing has done nothing since.
        over_s = max(last_s - first_s, self._clock.monotonic_s() - first_s)
        return (last - first) / over_s if over_s > 0 else 0.0
