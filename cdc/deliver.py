"""Loop 2: log -> projection -> sink, dead letters, commit.

Offsets are committed only behind what the sink has made durable and what the dead letters hold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cdc.errors import CdcError, DecodeError, SchemaError, StorageFull, TransientError
from cdc.event import ChangeEvent, Stored
from cdc.lifecycle import (
    SINK_TRANSITIONS,
    SLICE_S,
    Clock,
    Control,
    DeliverUntil,
    Problem,
    SinkPhase,
    advance,
    wait,
)
from cdc.progress import MARKS_MAX, DeliverProgress, DeliverTally
from cdc.projection import Projection
from cdc.protocols import DeadLetter, DeadLetters, LogReader, Mutation, Partition, Sink
from cdc.retry import Backoff
from cdc.schema import TableSchema

__all__ = ["Deliver", "DeliverOptions", "DeliverProgress"]

REPORT_S: Final = 0.5
"""Pause between two reports while nothing special happens."""

LAG_S: Final = 2.0
"""Pause between two questions to the log about its ends."""


@dataclass(frozen=True, slots=True)
class DeliverOptions:
    """How a delivery behaves.

    `on_undecodable` says what happens to a record that cannot be decoded or projected: `stop` ends
    the loop as failed, `dead_letter` puts it away and goes on. What the store itself rejects is
    always put away. `commit_age_max_s` is how old the oldest uncommitted offset may get while
    records keep coming; when none come, offsets are committed at once.
    """

    on_undecodable: Literal["stop", "dead_letter"] = "stop"
    records_max: int = 1000
    commit_age_max_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Entry:
    """One mutation on its way, the record that it came from, and its documents' structure."""

    mutation: Mutation
    stored: Stored
    documents: TableSchema


@dataclass(slots=True)
class Work:
    """What one poll gave, decoded: mutations in order, and records that go no further."""

    stored: Sequence[Stored]
    entries: list[Entry]
    letters: list[DeadLetter]


class Delivery:
    """One life of a reader and a sink: batches until told to stop. An error of the log ends it."""

    def __init__(self, deliver: "Deliver", tally: DeliverTally) -> None:
        self._deliver = deliver
        self._tally = tally
        self._clock = deliver.clock
        self._control = deliver.control
        self._options = deliver.options
        self._applied_schemas: set[str] = set()
        # The last record done of each partition, not committed yet.
        self._done: dict[Partition, Stored] = {}
        self._done_since_s = 0.0
        self._undone_since_us: int | None = None
        self._lag_records: int | None = None
        self._marks_due = True
        self._lag_at_s = float("-inf")
        self._reported_at_s = self._clock.monotonic_s()
        self._reader: LogReader = deliver.make_reader()
        try:
            self._sink: Sink = deliver.make_sink()
        except BaseException:
            self._reader.close()
            raise

    def run(self) -> None:
        """Deliver until the loop shall stop. Raises the CdcError that ends the session."""
        self._tally.dead_letters_kept = self._deliver.dead_letters.count()
        self.enter(SinkPhase.DELIVERING)
        while not self._control.stopping():
            self._take_commands()
            stored = self._reader.poll(self._options.records_max, self._poll_s())
            if stored and not self._take(stored):
                break
            if self._commit_due(idle=not stored):
                self._commit()
            self._look_at_lag(idle=not stored)
            self._reach_marks()
            if self._clock.monotonic_s() - self._reported_at_s >= REPORT_S:
                self.report()
        self.enter(SinkPhase.STOPPING)
        if self._done:
            self._commit()

    def close(self) -> None:
        """Give back reader and sink."""
        try:
            self._reader.close()
        finally:
            self._sink.close()

    # --- one batch --------------------------------------------------------------------------------

    def _take(self, stored: Sequence[Stored]) -> bool:
        # False: told to stop before it was done.
        self._undone_since_us = min(record.timestamp_us for record in stored)
        works: list[Work] = []
        if not self._insist(lambda: works.append(self._decoded(stored))):
            return False
        if not self._insist(lambda: self._write(works[0])):
            return False
        if not self._done:
            self._done_since_s = self._clock.monotonic_s()
        for record in stored:
            self._done[Partition(record.topic, record.partition)] = record
        return True

    def _decoded(self, stored: Sequence[Stored]) -> Work:
        work = Work(stored, [], [])
        for record in stored:
            try:
                event = self._deliver.decode(record)
                if event is not None:
                    self._project(event, record, work)
            except (DecodeError, SchemaError) as error:
                if self._options.on_undecodable == "stop":
                    raise located(error, record) from error
                work.letters.append(self._letter(record, str(error)))
        return work

    def _project(self, event: ChangeEvent, record: Stored, work: Work) -> None:
        # Records of a foreign Debezium have no sequence; their offset is the next best version.
        version = event.sequence or record.offset + 1
        projection = self._deliver.projection
        documents = projection.bind(event.table).documents
        work.entries += [
            Entry(mutation, record, documents)
            for mutation in projection.mutations(event, version, tombstone=record.value is None)
        ]

    def _write(self, work: Work) -> None:
        began_s = self._clock.monotonic_s()
        entries, letters = self._prepared(work)
        rejected = self._sink.write([entry.mutation for entry in entries]) if entries else ()
        letters += [self._letter(entries[one.index].stored, one.reason) for one in rejected]
        # A record of two mutations is put away once.
        places = {
            (one.stored.topic, one.stored.partition, one.stored.offset): one for one in letters
        }
        if places:
            self._deliver.dead_letters.put(list(places.values()))
            self._tally.dead_letters_kept = self._deliver.dead_letters.count()
        self._tally.write_s = self._clock.monotonic_s() - began_s
        self._tally.read += len(work.stored)
        self._tally.applied += len(entries) - len(rejected)
        self._tally.rejected += len(rejected)
        self._tally.dead_letters += len(places)
        self._tally.size_bytes += sum(len(record.value or b"") for record in work.stored)

    def _prepared(self, work: Work) -> tuple[list[Entry], list[DeadLetter]]:
        # What may be written, after its structures were applied, and the letters that remain.
        refused: dict[str, str] = {}
        for entry in work.entries:
            documents = entry.documents
            if documents.id in self._applied_schemas or documents.id in refused:
                continue
            try:
                self._sink.apply_schema(documents)
            except SchemaError as error:
                if self._options.on_undecodable == "stop":
                    raise
                refused[documents.id] = str(error)
            else:
                self._applied_schemas.add(documents.id)
        if not refused:
            return work.entries, list(work.letters)
        letters = [
            self._letter(entry.stored, refused[entry.documents.id])
            for entry in work.entries
            if entry.documents.id in refused
        ]
        entries = [entry for entry in work.entries if entry.documents.id not in refused]
        return entries, work.letters + letters

    def _letter(self, stored: Stored, reason: str) -> DeadLetter:
        return DeadLetter(stored, reason, self._clock.wall_us())

    def _insist(self, step: Callable[[], None]) -> bool:
        """Try `step` until it works, which keeps the order; False when told to stop before."""
        while True:
            try:
                step()
            except CdcError as error:
                if not error.retriable:
                    raise
                self._problem(error)
                if not self._pause(self._deliver.backoff.next_s(_wish_s(error))):
                    return False
            else:
                self._deliver.backoff.reset()
                self.enter(SinkPhase.DELIVERING)
                return True

    def _pause(self, seconds: float) -> bool:
        until_s = self._clock.monotonic_s() + seconds
        while not self._control.stopping():
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0:
                return True
            self._reader.pause(min(left_s, SLICE_S))
        return False

    # --- offsets ----------------------------------------------------------------------------------

    def _poll_s(self) -> float:
        # Offsets wait only as long as records keep coming.
        return 0.0 if self._done else SLICE_S

    def _commit_due(self, *, idle: bool) -> bool:
        age_s = self._clock.monotonic_s() - self._done_since_s
        return bool(self._done) and (idle or age_s >= self._options.commit_age_max_s)

    def _commit(self) -> None:
        self._reader.commit(list(self._done.values()))
        self._done.clear()
        self._tally.commits += 1
        self._tally.committed_at_us = self._clock.wall_us()
        self._marks_due = True

    # --- marks and lag ----------------------------------------------------------------------------

    def _take_commands(self) -> None:
        for command in self._control.commands():
            assert isinstance(command, DeliverUntil), "a delivery takes no source commands"
            self._tally.marks_wanted[command.mark] = None

    def _reach_marks(self) -> None:
        wanted = self._tally.marks_wanted
        for mark, ends in wanted.items():
            if ends is None:
                wanted[mark] = self._reader.ends()
                self._marks_due = True
        if not wanted or not self._marks_due:
            return
        self._marks_due = False
        positions = self._reader.positions()
        reached = [
            mark for mark, ends in wanted.items() if ends is not None and _passed(positions, ends)
        ]
        if reached:
            for mark in reached:
                del wanted[mark]
            self._tally.marks = (*self._tally.marks, *reached)[-MARKS_MAX:]
            self.report()

    def _look_at_lag(self, *, idle: bool) -> None:
        now_s = self._clock.monotonic_s()
        behind = self._undone_since_us is not None
        # Besides the regular look, one as soon as there seems to be nothing left.
        if now_s - self._lag_at_s < LAG_S and not (idle and behind):
            return
        self._lag_at_s = now_s
        # Positions can move without a record: in Kafka, the end of a transaction has an offset.
        self._marks_due, positions = True, self._reader.positions()
        self._lag_records = sum(
            max(end - positions.get(partition, 0), 0)
            for partition, end in self._reader.ends().items()
        )
        if self._lag_records == 0:
            self._undone_since_us = None
        elif self._undone_since_us is None:
            self._undone_since_us = self._clock.wall_us()

    # --- progress ---------------------------------------------------------------------------------

    def _problem(self, error: CdcError) -> None:
        self._tally.last_error = Problem.of(error, self._clock.wall_us())
        self._tally.phase = advance(SINK_TRANSITIONS, self._tally.phase, _phase_after(error))
        self.report()

    def enter(self, phase: SinkPhase) -> None:
        """Change the phase, and report it when it is another one."""
        if phase != self._tally.phase:
            self._tally.phase = advance(SINK_TRANSITIONS, self._tally.phase, phase)
            self.report()

    def report(self) -> None:
        """Report progress with the lag as last seen."""
        self._reported_at_s = self._clock.monotonic_s()
        self._control.report(
            self._tally.progress(self._clock.wall_us(), self._lag_records, self._undone_since_us)
        )


class Deliver:
    """The deliver loop of one sink: sessions, one after another, with back-off between them."""

    def __init__(  # noqa: PLR0913 - each is a part that a worker or a test chooses
        self,
        *,
        make_reader: Callable[[], LogReader],
        make_sink: Callable[[], Sink],
        decode: Callable[[Stored], ChangeEvent | None],
        projection: Projection,
        dead_letters: DeadLetters,
        clock: Clock,
        control: Control,
        backoff: Backoff,
        options: DeliverOptions | None = None,
    ) -> None:
        """Take the parts; `decode` is a Serializer's. Nothing is made before `run`.

        Each session gets a new reader and a new sink. `dead_letters` stays open: its maker closes.
        """
        self.make_reader = make_reader
        self.make_sink = make_sink
        self.decode = decode
        self.projection = projection
        self.dead_letters = dead_letters
        self.clock = clock
        self.control = control
        self.backoff = backoff
        self.options = options or DeliverOptions()
        self._tally = DeliverTally()

    def run(self) -> None:
        """Deliver until told to stop. Called once.

        Raises the CdcError that needs a person, after reporting it as `failed`. What is no
        CdcError is a mistake of ours and passes through.
        """
        try:
            while not self.control.stopping():
                self._enter(SinkPhase.STARTING)
                self._attempt()
        except CdcError as error:
            self._problem(error, SinkPhase.FAILED)
            raise
        self._enter(SinkPhase.STOPPING)
        self._enter(SinkPhase.STOPPED)

    def _attempt(self) -> None:
        try:
            delivery = Delivery(self, self._tally)
            try:
                delivery.run()
            finally:
                delivery.close()
        except CdcError as error:
            if not error.retriable:
                raise
            stopping = self.control.stopping()
            self._problem(error, self._tally.phase if stopping else _phase_after(error))
            wait(self.clock, self.control, self.backoff.next_s(_wish_s(error)))

    def _problem(self, error: CdcError, phase: SinkPhase) -> None:
        self._tally.last_error = Problem.of(error, self.clock.wall_us())
        self._enter(phase)

    def _enter(self, phase: SinkPhase) -> None:
        self._tally.phase = advance(SINK_TRANSITIONS, self._tally.phase, phase)
        self.control.report(self._tally.progress(self.clock.wall_us(), None, None))


def _phase_after(error: CdcError) -> SinkPhase:
    return SinkPhase.FAILED if isinstance(error, StorageFull) else SinkPhase.RETRYING


def _wish_s(error: CdcError) -> float | None:
    return error.retry_after_s if isinstance(error, TransientError) else None


def _passed(positions: Mapping[Partition, int], ends: Mapping[Partition, int]) -> bool:
    return all(positions.get(partition, 0) >= end for partition, end in ends.items())


def located(error: DecodeError | SchemaError, record: Stored) -> CdcError:
    """The same error with the place of the record in the log in front."""
    place = f"record {record.offset} of {record.topic}[{record.partition}]"
    return type(error)(f"{place}: {error.message}", hint=error.hint)
