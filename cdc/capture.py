"""Loop 1: source -> transforms -> serializer -> log, commit, ack.

The one rule: records and the checkpoint that follows from them become durable together, and the
database is told to forget only afterwards.
"""

from collections.abc import Callable, Sequence
from typing import Final

from cdc import orders
from cdc.batching import CommitBudget, Limits
from cdc.chain import Chain
from cdc.checkpoint import HEAL, Checkpoint, Position, encode_part
from cdc.errors import CdcError, SourcePaused, StorageFull, TransientError
from cdc.event import Batch, Record
from cdc.expansion import expand
from cdc.lifecycle import (
    SLICE_S,
    SOURCE_TRANSITIONS,
    Clock,
    Control,
    Problem,
    SourcePhase,
    advance,
    wait,
)
from cdc.orders import Orders, StoredOrders
from cdc.progress import MARKS_MAX, CaptureProgress, CaptureTally
from cdc.protocols import (
    Heartbeat,
    IgnoreLimits,
    LogWriter,
    MarkCurrent,
    Serializer,
    Source,
    Transform,
)
from cdc.retry import Backoff
from cdc.rowless import heartbeat_event, rowless_table
from cdc.sequence import Sequencer, split

KEEPALIVE_S: Final = 0.5
"""Pause between two keepalives; with a slice on top it stays under the second promised."""

REPORT_S: Final = 0.5
"""Pause between two reports while nothing special happens."""

STOP_S: Final = 8.0
"""How long a stop waits for the log: a worker has ten seconds, closing needs some of them."""

_NO_TABLE: Final = rowless_table("")

__all__ = ["Capture", "CaptureProgress", "Session"]


class Session:
    """One life of a source and a writer: acquire, open, start, then batches until told to stop.

    Any error ends it; `close` then discards what was not committed.
    """

    def __init__(
        self,
        capture: "Capture",
        tally: CaptureTally,
        limits: Limits,
        clock: Clock,
        control: Control,
    ) -> None:
        self._capture = capture
        self._tally = tally
        self._clock = clock
        self._control = control
        self._budget = CommitBudget(limits)
        self._serializer = capture.make_serializer()
        self._source: Source = capture.make_source()
        self._writer: LogWriter | None = None
        self._sequencer = Sequencer(None, exactly_once=True, wall_us=0)
        self._orders = StoredOrders(None)
        self._counted: Orders | None = None
        self._pending = Checkpoint()
        self._ackable: Position | None = None
        self._marks: tuple[str, ...] = ()
        self._events = self._records = 0
        # Where the source begins must be durable before anything that follows from it can be seen,
        # or a crash would begin elsewhere and lose what lies between.
        self._first = True
        self._started = False
        self._heard_at_s = self._reported_at_s = clock.monotonic_s()
        self._beat_at_s = self._heard_at_s
        self._stop_by_s: float | None = None

    # --- order of calls ---------------------------------------------------------------------------

    def run(self) -> None:
        """Work until the loop shall stop or stand still. Raises the CdcError that ends it."""
        if self._acquire():
            self._stream(self._start())

    def close(self) -> None:
        """Discard what was not committed, then give back the lease."""
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._source.close()

    def _ending(self) -> bool:
        return self._control.stopping() or self._tally.paused

    def _acquire(self) -> bool:
        if self._tally.limits_ignored:
            self._source.command(IgnoreLimits())
        while not self._ending():
            self._take_commands()
            if self._source.acquire(SLICE_S):
                # What its guard has to say counts also while the log cannot be opened.
                self._source.keepalive()
                self.enter(SourcePhase.STARTING)
                return True
            self.enter(SourcePhase.WAITING)
        return False

    def _start(self) -> LogWriter:
        # A standby that waits for the lease has no writer: it must not fence the active one.
        self._writer = writer = self._capture.make_writer()
        stored, bound = split(writer.open())
        stored, self._orders = orders.split(stored)
        self._serializer.resume(self._orders.facts)
        self._counted = self._serializer.orders()
        if self._tally.healing:
            stored = (stored or Checkpoint()).merged(Checkpoint({HEAL: encode_part({})}))
        # Opening can take longer than the lease holds.
        self._source.keepalive()
        self._sequencer = Sequencer(
            bound, exactly_once=writer.exactly_once, wall_us=self._clock.wall_us()
        )
        self._source.start(stored)
        for mark in self._tally.marks_wanted:
            self._source.command(MarkCurrent(mark))
        self._started = True
        return writer

    def _stream(self, writer: LogWriter) -> None:
        while not self._ending():
            self._take_commands()
            batch = self._source.poll(self._budget.wait_s(self._clock.monotonic_s(), SLICE_S))
            self._alive()
            self._enter_source_phase()
            if batch is not None:
                self._take(batch, writer)
            self._beat(writer)
            first = self._first and batch is not None
            if first or self._budget.due(self._clock.monotonic_s(), idle=batch is None):
                self._commit(writer)
                self._first = self._tally.healing = False
        if self._control.stopping():
            self.enter(SourcePhase.STOPPING)
        if not self._budget.empty:
            self._commit(writer)

    # --- steps ------------------------------------------------------------------------------------

    def _take_commands(self) -> None:
        for command in self._control.commands():
            self._tally.take(command)
            if isinstance(command, MarkCurrent) and self._started:
                self._source.command(command)

    def _take(self, batch: Batch, writer: LogWriter) -> None:
        received_s = self._clock.monotonic_s()
        events = self._capture.chain.apply(batch.events)
        if events:
            self._append(self._serializer.encode(events), writer)
        if batch.records:
            self._append(batch.records, writer)
        # As of this batch: its position and what is counted up to it become durable together.
        counted = self._serializer.orders()
        self._counted = None if counted is None else counted.copy()
        self._pending = self._pending.then(batch.checkpoint)
        if batch.ackable is not None:
            self._ackable = batch.ackable
        self._marks += batch.marks
        changes = len(batch.events) + batch.encoded
        self._events += changes
        self._budget.add(received_s, batch.size_bytes, changes, hurried=bool(batch.marks))

    def _append(self, encoded: list[Record], writer: LogWriter) -> None:
        records = expand(encoded, writer)
        if not records:
            return
        if not self._sequencer.covers(len(records)):
            self._commit(writer, len(records))
        self._sequencer.number(records)
        self._patiently(lambda timeout_s: writer.append(records, timeout_s))
        self._records += len(records)

    def _beat(self, writer: LogWriter) -> None:
        """Write a heartbeat when it is time: not before it is stored where the source began."""
        heartbeat, now_s = self._capture.heartbeat, self._clock.monotonic_s()
        if heartbeat is None or not heartbeat.topic or self._first:
            return
        if now_s - self._beat_at_s >= heartbeat.interval_s:
            self._beat_at_s = now_s
            self._append(self._serializer.encode([heartbeat_event(_NO_TABLE)]), writer)
            self._budget.add(now_s, 0, 0, hurried=True)

    def _commit(self, writer: LogWriter, records_next: int = 0) -> None:
        began_s = self._clock.monotonic_s()
        counted = self._orders.change(self._counted)
        change = self._pending.then(counted).then(self._sequencer.change(records_next))
        self._patiently(lambda timeout_s: writer.commit(change, timeout_s))
        self._sequencer.committed()
        self._orders.committed()
        if self._ackable is not None:
            self._source.ack(self._ackable)
        self._count(self._clock.monotonic_s() - began_s)

    def _count(self, commit_s: float) -> None:
        tally = self._tally
        tally.events += self._events
        tally.records += self._records
        tally.size_bytes += self._budget.size_bytes
        tally.commits += 1
        tally.commit_s = commit_s
        tally.committed_at_us = self._clock.wall_us()
        tally.acked = self._ackable or tally.acked
        self._budget.committed(self._clock.monotonic_s(), commit_s)
        self._capture.backoff.reset()
        reached, self._marks = self._marks, ()
        self._pending = Checkpoint()
        self._ackable = None
        self._events = self._records = 0
        if reached:
            for mark in reached:
                tally.marks_wanted.pop(mark, None)
            tally.marks = (*tally.marks, *reached)[-MARKS_MAX:]
            self.report()

    # --- while something blocks -------------------------------------------------------------------

    def _patiently(self, call: Callable[[float], bool]) -> None:
        # The server must hear from us, and the lease must be seen, however long the log takes.
        while not call(SLICE_S):
            self._alive()
            self._take_commands()
            self._give_up_after_stop()
        self._alive()

    def _alive(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._heard_at_s >= KEEPALIVE_S:
            self._source.keepalive()
            self._heard_at_s = now_s
        if now_s - self._reported_at_s >= REPORT_S:
            self.report()

    def _give_up_after_stop(self) -> None:
        if not self._ending():
            return
        now_s = self._clock.monotonic_s()
        self._stop_by_s = self._stop_by_s or now_s + STOP_S
        if now_s >= self._stop_by_s:
            raise TransientError(
                f"the log did not take the last changes within {STOP_S:g} s of being told to stop",
                hint="Nothing is lost: they are read again at the next start.",
            )

    # --- progress ---------------------------------------------------------------------------------

    def _enter_source_phase(self) -> None:
        phase = self._source.progress().phase
        if phase != "starting":
            self.enter(SourcePhase(phase))

    def enter(self, phase: SourcePhase) -> None:
        """Change the phase, and report it when it is another one."""
        if phase != self._tally.phase:
            self._tally.phase = advance(SOURCE_TRANSITIONS, self._tally.phase, phase)
            self.report()

    def report(self) -> None:
        """Report progress with what the source says."""
        self._reported_at_s = now_s = self._clock.monotonic_s()
        source = self._source.progress()
        if source.retention is not None and source.retention.state == "ok":
            self._tally.limits_ignored = False
        self._control.report(
            self._tally.progress(self._clock.wall_us(), source, self._budget, now_s)
        )


class Capture:
    """The capture loop of one source: sessions, one after another, with back-off between them."""

    def __init__(  # noqa: PLR0913 - the parts of a capture, by name
        self,
        *,
        make_source: Callable[[], Source],
        make_writer: Callable[[], LogWriter],
        make_serializer: Callable[[], Serializer],
        transforms: Sequence[Transform],
        clock: Clock,
        control: Control,
        backoff: Backoff,
        limits: Limits | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        """Take the parts; nothing is made before `run`.

        Each session gets a new source, writer and serializer: a serializer emits every structure
        once, and what an ended session emitted may have been discarded.
        """
        self.make_source = make_source
        self.make_writer = make_writer
        self.make_serializer = make_serializer
        self.chain = Chain(transforms)
        self.backoff = backoff
        self.heartbeat = heartbeat
        self._limits = limits or Limits()
        self._clock = clock
        self._control = control
        self._tally = CaptureTally()

    def run(self, *, heal: bool = False) -> None:
        """Capture until told to stop. Called once.

        `heal`: the source begins anew, as if nothing had been captured.
        Raises the CdcError that needs a person, after reporting it as `failed`. What is no
        CdcError is a mistake of ours and passes through.
        """
        self._tally.healing = heal
        try:
            while not self._control.stopping():
                if self._tally.paused:
                    self._stand_still()
                else:
                    self._enter(SourcePhase.STARTING)
                    self._attempt()
        except CdcError as error:
            self._report_problem(error, SourcePhase.FAILED)
            raise
        self._enter(SourcePhase.STOPPING)
        self._enter(SourcePhase.STOPPED)

    def _attempt(self) -> None:
        try:
            self._run_session()
        except SourcePaused as error:
            self._tally.paused = True
            self._report_problem(error, SourcePhase.PAUSED)
        except CdcError as error:
            if not error.retriable:
                raise
            stopping = self._control.stopping()
            full = isinstance(error, StorageFull)
            phase = SourcePhase.FAILED if full else SourcePhase.RETRYING
            self._report_problem(error, self._tally.phase if stopping else phase)
            if not self._tally.paused:
                wait(self._clock, self._control, self.backoff.next_s(_wish_s(error)))

    def _stand_still(self) -> None:
        """Nothing is open and nothing is held but what the database keeps for us."""
        self._enter(SourcePhase.PAUSED)
        while self._tally.paused and not self._control.stopping():
            for command in self._control.commands():
                self._tally.take(command)
            self._clock.sleep_s(SLICE_S)

    def _run_session(self) -> None:
        session = Session(self, self._tally, self._limits, self._clock, self._control)
        try:
            session.run()
        finally:
            session.close()

    def _report_problem(self, error: CdcError, phase: SourcePhase) -> None:
        self._tally.last_error = Problem.of(error, self._clock.wall_us())
        self._tally.phase = advance(SOURCE_TRANSITIONS, self._tally.phase, phase)
        self._report()

    def _enter(self, phase: SourcePhase) -> None:
        self._tally.phase = advance(SOURCE_TRANSITIONS, self._tally.phase, phase)
        self._report()

    def _report(self) -> None:
        nothing = CommitBudget(self._limits)
        now_s = self._clock.monotonic_s()
        self._control.report(self._tally.progress(self._clock.wall_us(), None, nothing, now_s))


def _wish_s(error: CdcError) -> float | None:
    return error.retry_after_s if isinstance(error, TransientError) else None
