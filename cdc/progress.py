"""What the loops report about themselves, and the counters behind it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cdc.batching import CommitBudget
from cdc.checkpoint import Position
from cdc.lifecycle import Command, GoOn, Pause, Problem, SinkPhase, SourcePhase
from cdc.notes import Note, Retention
from cdc.protocols import (
    MarkCurrent,
    OpenTransactions,
    Partition,
    SnapshotProgress,
    SourceProgress,
    TableProgress,
)

MARKS_MAX: Final = 100
"""How many reached marks are remembered for progress."""


@dataclass(frozen=True, slots=True)
class CaptureProgress:
    """Where a capture is.

    `position` is what was last received, `acked` what the database may forget. `events`, `records`
    and `size_bytes` count what became durable since the loop began; rates are their differences
    over `reported_at_us`. `lag_bytes` and `lag_s` reach from the server's last write to what is
    durable; None while unknown, and always when there is no connection. `commit_s` is how long the
    last commit took. `snapshot` is the whole of it while one is taken, `tables` its parts.
    `retention` and `notes` are the source's own.
    """

    phase: SourcePhase
    reported_at_us: int
    position: Position | None = None
    acked: Position | None = None
    lag_bytes: int | None = None
    lag_s: float | None = None
    events: int = 0
    records: int = 0
    size_bytes: int = 0
    commits: int = 0
    committed_at_us: int | None = None
    commit_s: float | None = None
    last_error: Problem | None = None
    tables: tuple[TableProgress, ...] = ()
    open_transactions: OpenTransactions | None = None
    snapshot: SnapshotProgress | None = None
    marks: tuple[str, ...] = ()
    retention: Retention | None = None
    notes: tuple[Note, ...] = ()

    def content(self) -> dict[str, object]:
        """The same as JSON-able content."""
        return dataclasses.asdict(self)


@dataclass(slots=True)
class CaptureTally:
    """What outlives a session: counters, the last problem, marks. Changed by loop and session."""

    phase: SourcePhase = SourcePhase.STARTING
    acked: Position | None = None
    events: int = 0
    records: int = 0
    size_bytes: int = 0
    commits: int = 0
    committed_at_us: int | None = None
    commit_s: float | None = None
    last_error: Problem | None = None
    marks: tuple[str, ...] = ()
    # Marks asked for and not durable yet: a new session asks its source again. That moves them to
    # a later position, which is safe.
    marks_wanted: dict[str, None] = field(default_factory=dict)
    # A person, or the source's own guard, wants it to stand still.
    paused: bool = False
    # A person said to go on although a limit has been reached.
    limits_ignored: bool = False
    # A person wants it to begin anew, and nothing of that is durable yet.
    healing: bool = False

    def take(self, command: Command) -> None:
        """Note what a command wants."""
        match command:
            case MarkCurrent(mark):
                self.marks_wanted[mark] = None
            case Pause():
                self.paused = True
            case GoOn(heal):
                self.limits_ignored = self.limits_ignored or self.paused
                self.healing = self.healing or heal
                self.paused = False
            case _:
                raise AssertionError("a capture takes no commands of a delivery")

    def progress(
        self,
        reported_at_us: int,
        source: SourceProgress | None,
        waiting: CommitBudget,
        now_s: float,
    ) -> CaptureProgress:
        """The progress to report; `source` is None while there is no source."""
        source = source or SourceProgress("starting")
        return CaptureProgress(
            phase=self.phase,
            reported_at_us=reported_at_us,
            position=source.position,
            acked=self.acked,
            # What was received and is not durable is still lag.
            lag_bytes=None if source.lag_bytes is None else source.lag_bytes + waiting.size_bytes,
            lag_s=None if source.lag_s is None else max(source.lag_s, waiting.age_s(now_s)),
            events=self.events,
            records=self.records,
            size_bytes=self.size_bytes,
            commits=self.commits,
            committed_at_us=self.committed_at_us,
            commit_s=self.commit_s,
            last_error=self.last_error,
            tables=source.tables,
            open_transactions=source.open_transactions,
            snapshot=source.snapshot,
            marks=self.marks,
            retention=source.retention,
            notes=source.notes,
        )


@dataclass(frozen=True, slots=True)
class DeliverProgress:
    """Where a delivery is.

    `read` counts records taken from the log, `applied` and `rejected` mutations, `dead_letters`
    records put away, all since the loop began and durable; `dead_letters_kept` is how many the
    store of dead letters holds. `lag_records` reaches from what is committed to the end of the log;
    None while unknown. `lag_s` is the age of the oldest record known not to be done, 0.0 when none
    is left.
    `write_s` is how long the last write took.
    """

    phase: SinkPhase
    reported_at_us: int
    lag_records: int | None = None
    lag_s: float | None = None
    read: int = 0
    applied: int = 0
    rejected: int = 0
    dead_letters: int = 0
    dead_letters_kept: int = 0
    size_bytes: int = 0
    commits: int = 0
    committed_at_us: int | None = None
    write_s: float | None = None
    last_error: Problem | None = None
    marks: tuple[str, ...] = ()

    def content(self) -> dict[str, object]:
        """The same as JSON-able content."""
        return dataclasses.asdict(self)


@dataclass(slots=True)
class DeliverTally:
    """What outlives a session: counters, the last problem, marks. Changed by loop and session."""

    phase: SinkPhase = SinkPhase.STARTING
    read: int = 0
    applied: int = 0
    rejected: int = 0
    dead_letters: int = 0
    dead_letters_kept: int = 0
    size_bytes: int = 0
    commits: int = 0
    committed_at_us: int | None = None
    write_s: float | None = None
    last_error: Problem | None = None
    marks: tuple[str, ...] = ()
    # Where the log ended when each mark not reached yet was asked for; None: not asked it yet.
    marks_wanted: dict[str, Mapping[Partition, int] | None] = field(default_factory=dict)

    def progress(
        self, reported_at_us: int, lag_records: int | None, undone_since_us: int | None
    ) -> DeliverProgress:
        """The progress to report.

        `undone_since_us` is the time stamp of the oldest record known not to be done; None: none.
        """
        lag_s = None if lag_records is None else 0.0
        if undone_since_us is not None:
            lag_s = max(reported_at_us - undone_since_us, 1) / 1_000_000
        return DeliverProgress(
            phase=self.phase,
            reported_at_us=reported_at_us,
            lag_records=lag_records,
            lag_s=lag_s,
            read=self.read,
            applied=self.applied,
            rejected=self.rejected,
            dead_letters=self.dead_letters,
            dead_letters_kept=self.dead_letters_kept,
            size_bytes=self.size_bytes,
            commits=self.commits,
            committed_at_us=self.committed_at_us,
            write_s=self.write_s,
            last_error=self.last_error,
            marks=self.marks,
        )
