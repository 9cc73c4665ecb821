"""Phases of the two loops as transition tables, and what a worker gives to a loop.

Everything about phases lives here; the loops only name the phase that they enter. No phase is
stored: after a restart a loop begins with `starting` and finds out where it is from the checkpoint
or the committed offsets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from cdc.errors import CdcError
from cdc.protocols import MarkCurrent


class SourcePhase(StrEnum):
    """Where a capture loop is. Memory only; set by the loop unless a line says otherwise."""

    STARTING = "starting"
    """Makes connections, opens the log, resumes. Also the first phase after every back-off."""
    WAITING = "waiting"
    """Another instance holds the lease. Nothing is fenced or read; may last for weeks."""
    SNAPSHOT = "snapshot"
    """Reads rows; the source says so."""
    STREAMING = "streaming"
    """Reads changes; the source says so."""
    RETRYING = "retrying"
    """Something failed that may pass; everything is closed and the loop backs off."""
    FAILED = "failed"
    """Needs a person. Ends the loop, except when storage is full: then it backs off as in
    `retrying`. Also set by the worker and the supervisor for what happens outside the loop."""
    PAUSED = "paused"
    """Stands still, with everything committed and closed, until a person says to go on. A person
    wanted it, or a limit of the source was reached."""
    STOPPING = "stopping"
    """Was told to stop: finishes the batch and commits."""
    STOPPED = "stopped"
    """Ended as told; everything is committed and closed."""


class SinkPhase(StrEnum):
    """Where a deliver loop is. Memory only; set by the loop unless a line says otherwise."""

    STARTING = "starting"
    """Makes the reader and the sink. Also the first phase after every back-off."""
    DELIVERING = "delivering"
    """Reads the log and writes; also while there is nothing to read."""
    RETRYING = "retrying"
    """The store or the log is away for a while; the loop backs off, then tries the same again."""
    FAILED = "failed"
    """Needs a person. Ends the loop, except when storage is full: then it backs off as in
    `retrying`. Also set by the worker and the supervisor for what happens outside the loop."""
    STOPPING = "stopping"
    """Was told to stop: finishes the batch and commits."""
    STOPPED = "stopped"
    """Ended as told; everything done is committed and closed."""


_INTERRUPTED: Final = frozenset(
    {SourcePhase.RETRYING, SourcePhase.FAILED, SourcePhase.PAUSED, SourcePhase.STOPPING}
)

SOURCE_TRANSITIONS: Final[Mapping[SourcePhase, frozenset[SourcePhase]]] = {
    SourcePhase.STARTING: frozenset(
        {
            SourcePhase.WAITING,
            SourcePhase.SNAPSHOT,
            SourcePhase.STREAMING,
            *_INTERRUPTED,
        }
    ),
    SourcePhase.WAITING: frozenset({SourcePhase.STARTING, *_INTERRUPTED}),
    SourcePhase.SNAPSHOT: frozenset({SourcePhase.STREAMING, *_INTERRUPTED}),
    # A snapshot on demand comes while streaming.
    SourcePhase.STREAMING: frozenset({SourcePhase.SNAPSHOT, *_INTERRUPTED}),
    SourcePhase.RETRYING: frozenset(
        {SourcePhase.STARTING, SourcePhase.PAUSED, SourcePhase.STOPPING}
    ),
    SourcePhase.FAILED: frozenset({SourcePhase.STARTING, SourcePhase.PAUSED, SourcePhase.STOPPING}),
    SourcePhase.PAUSED: frozenset({SourcePhase.STARTING, SourcePhase.STOPPING}),
    SourcePhase.STOPPING: frozenset({SourcePhase.STOPPED, SourcePhase.FAILED}),
    SourcePhase.STOPPED: frozenset(),
}

SINK_TRANSITIONS: Final[Mapping[SinkPhase, frozenset[SinkPhase]]] = {
    SinkPhase.STARTING: frozenset(
        {SinkPhase.DELIVERING, SinkPhase.RETRYING, SinkPhase.FAILED, SinkPhase.STOPPING}
    ),
    SinkPhase.DELIVERING: frozenset({SinkPhase.RETRYING, SinkPhase.FAILED, SinkPhase.STOPPING}),
    # The same write succeeds after all, or the reader is made anew.
    SinkPhase.RETRYING: frozenset(
        {SinkPhase.STARTING, SinkPhase.DELIVERING, SinkPhase.FAILED, SinkPhase.STOPPING}
    ),
    SinkPhase.FAILED: frozenset(
        {SinkPhase.STARTING, SinkPhase.DELIVERING, SinkPhase.RETRYING, SinkPhase.STOPPING}
    ),
    SinkPhase.STOPPING: frozenset({SinkPhase.STOPPED, SinkPhase.FAILED}),
    SinkPhase.STOPPED: frozenset(),
}

PhaseT = TypeVar("PhaseT", SourcePhase, SinkPhase)


def advance(
    transitions: Mapping[PhaseT, frozenset[PhaseT]], phase: PhaseT, following: PhaseT
) -> PhaseT:
    """The phase after entering `following`. Staying is always allowed; else the table decides."""
    assert following == phase or following in transitions[phase], f"{phase} -> {following}"
    return following


@dataclass(frozen=True, slots=True)
class DeliverUntil:
    """Command to a deliver loop: report `mark` when all that the log holds now has been passed.

    Passed means applied, or kept durably as a dead letter, and committed.
    """

    mark: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Command to a capture loop: finish the batch, commit, close everything, and stand still."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Command to a capture loop that is paused: begin again.

    Limits of the source that are exceeded count again only when they have been kept once. `heal`:
    begin anew, as if nothing had been captured.
    """

    heal: bool = False


Command = MarkCurrent | DeliverUntil | Pause | GoOn
"""What a loop can be told while it runs: DeliverUntil a delivery, the others a capture."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as progress shows it. `kind` is the class in cdc/errors.py."""

    kind: str
    message: str
    hint: str
    retriable: bool
    at_us: int

    @classmethod
    def of(cls, error: CdcError, at_us: int) -> "Problem":
        """What an operator needs to know about `error`, which happened at `at_us`."""
        return cls(type(error).__name__, error.message, error.hint, error.retriable, at_us)


class Progress(Protocol):
    """What a loop reports: CaptureProgress or DeliverProgress, immutable."""

    @property
    def phase(self) -> str:
        """A SourcePhase or a SinkPhase."""
        ...

    @property
    def marks(self) -> tuple[str, ...]:
        """The marks reached so far; only the last hundred are kept."""
        ...

    @property
    def last_error(self) -> Problem | None:
        """The last problem, kept after it has passed; `phase` says whether it has."""
        ...

    def content(self) -> dict[str, object]:
        """The same as JSON-able content."""
        ...


class Control(Protocol):
    """What a loop asks between its bounded waits. No call blocks."""

    def stopping(self) -> bool:
        """True from the moment on that the loop shall finish its batch, commit and return."""
        ...

    def commands(self) -> Sequence[Command]:
        """Commands that came since the last call, in order."""
        ...

    def report(self, progress: Progress) -> None:
        """Take the newest progress: at phase changes, errors, marks, else about twice a second."""
        ...


class Clock(Protocol):
    """Time, given from outside so that tests never wait."""

    def monotonic_s(self) -> float:
        """Seconds that never go back; for waiting and measuring."""
        ...

    def wall_us(self) -> int:
        """Microseconds since 1970 UTC; may jump."""
        ...

    def sleep_s(self, seconds: float) -> None:
        """Wait."""
        ...


SLICE_S: Final = 0.25
"""How long a loop waits at most before it looks at its Control again."""


def wait(clock: Clock, control: Control, seconds: float) -> None:
    """Wait in slices for `seconds`, or until the loop shall stop."""
    until_s = clock.monotonic_s() + seconds
    while not control.stopping() and (left_s := until_s - clock.monotonic_s()) > 0:
        clock.sleep_s(min(left_s, SLICE_S))
