"""The loops with one mistake each: the simulation must notice every one of them.

A mutation that lives is a promise without a proof.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from cdc.capture import Session
from cdc.checkpoint import Checkpoint
from cdc.deliver import Delivery, Work
from cdc.errors import CdcError, TransientError
from cdc.event import Batch, Record, Stored
from cdc.protocols import LogWriter
from cdc.sequence import Sequencer
from cdc.testing.memory_sink import MemoryDeadLetters
from cdc.testing.memory_source import MemorySource
from tests.fault.judge import judge
from tests.fault.world import Plan, World

Patch = pytest.MonkeyPatch


def complaints(
    *,
    exactly_once: bool = True,
    faults: bool = True,
    delivery: bool = False,
    stride: int = 23,
    seeds: Sequence[int] = range(1, 9),
    crashes_until: int | None = None,
) -> Iterator[str]:
    """What the simulation says about the loops as they are now, one for each world that complains.

    Every seed runs without a crash, then with one at every `stride`th step; of the delivery only,
    or of everything, or of the steps up to `crashes_until`.
    """
    for seed in seeds:
        plan = Plan(seed, 6, exactly_once, faults, stall=seed % 4 == 0, clock_back=True)
        crash_at: int | None = None
        steps = first = 0
        while crash_at is None or crash_at <= steps:
            world = World(replace(plan, crash_at=crash_at))
            try:
                world.run()
                judge(world)
            except (AssertionError, CdcError) as complaint:
                yield f"{type(complaint).__name__}: {complaint}"
            if crash_at is None:
                steps, first = world.faults.steps, world.capture_steps if delivery else 0
                steps = min(steps, crashes_until or steps)
            # With every step in turn none is left out at the beginning.
            offset = seed if stride > 1 else 1
            crash_at = first + offset if crash_at is None else crash_at + stride


def noticed(*, exactly_once: bool = True, faults: bool = True, delivery: bool = False) -> str:
    """The first complaint, empty if there is none; with a crash at every step of a delivery."""
    found = complaints(
        exactly_once=exactly_once, faults=faults, delivery=delivery, stride=1 if delivery else 23
    )
    return next(found, "")


def noticed_at_the_beginning() -> str:
    """The first complaint about readers at least once and a crash at each of the first steps.

    Many seeds: something must be deleted exactly between the crash and the second slot.
    """
    found = complaints(
        exactly_once=False, faults=False, stride=1, seeds=range(1, 21), crashes_until=36
    )
    return next(found, "")


@pytest.mark.parametrize("exactly_once", [True, False], ids=["exactly once", "at least once"])
def test_the_loops_as_they_are_are_not_complained_about(exactly_once: bool) -> None:
    assert noticed(exactly_once=exactly_once) == ""


def test_the_loops_as_they_begin_are_not_complained_about() -> None:
    assert noticed_at_the_beginning() == ""


# --- capture --------------------------------------------------------------------------------------


def test_ack_before_commit_is_noticed(monkeypatch: Patch) -> None:
    commit = Session._commit

    def mutated(self: Session, writer: LogWriter, records_next: int = 0) -> None:
        if self._ackable is not None:
            self._source.ack(self._ackable)
        commit(self, writer, records_next)

    monkeypatch.setattr(Session, "_commit", mutated)

    assert "forget what is not durable" in noticed()


def test_a_position_inside_a_transaction_is_noticed(monkeypatch: Patch) -> None:
    streamed = MemorySource._streamed

    def mutated(self: MemorySource) -> Batch | None:
        # As if every row had a position of its own: the rest of the transaction counts as read.
        batch = streamed(self)
        if batch is not None and self._place.count:
            following = self._following()[0].end
            place = type(self._place)(following)
            batch.checkpoint = Checkpoint({"position": place.part("streaming")})
        return batch

    monkeypatch.setattr(MemorySource, "_streamed", mutated)

    assert "once and in order" in noticed()


def test_no_keepalive_while_the_log_stalls_is_noticed(monkeypatch: Patch) -> None:
    def mutated(self: Session, call: Callable[[float], bool]) -> None:
        while not call(0.25):
            pass

    monkeypatch.setattr(Session, "_patiently", mutated)

    assert "heard nothing" in noticed()


def test_numbers_that_no_durable_bound_covers_are_noticed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Sequencer, "covers", lambda self, count: True)

    assert "sequence" in noticed(exactly_once=False)


def test_numbers_that_begin_at_the_clock_alone_are_noticed(monkeypatch: Patch) -> None:
    begin = Sequencer.__init__

    def mutated(self: Sequencer, bound: int | None, *, exactly_once: bool, wall_us: int) -> None:
        begin(self, bound, exactly_once=exactly_once, wall_us=wall_us)
        self._next = wall_us

    monkeypatch.setattr(Sequencer, "__init__", mutated)

    assert "sequence" in noticed()


def test_a_commit_tried_again_after_no_answer_is_noticed(monkeypatch: Patch) -> None:
    patiently = Session._patiently

    def mutated(self: Session, call: Callable[[float], bool]) -> None:
        try:
            patiently(self, call)
        except TransientError as error:
            if "committed" not in error.message:
                raise
            patiently(self, call)

    monkeypatch.setattr(Session, "_patiently", mutated)

    assert "once and in order" in noticed()


def test_a_batch_appended_again_after_no_answer_is_noticed(monkeypatch: Patch) -> None:
    take, commit = Session._take, Session._commit
    taken: list[Batch] = []

    def remember(self: Session, batch: Batch, writer: LogWriter) -> None:
        taken.append(batch)
        take(self, batch, writer)

    def mutated(self: Session, writer: LogWriter, records_next: int = 0) -> None:
        try:
            commit(self, writer, records_next)
        except TransientError as error:
            if "committed" not in error.message:
                raise
            for batch in taken:
                take(self, batch, writer)
            commit(self, writer, records_next)
        taken.clear()

    monkeypatch.setattr(Session, "_take", remember)
    monkeypatch.setattr(Session, "_commit", mutated)

    assert "once and in order" in noticed()


def test_a_checkpoint_in_front_of_its_records_is_noticed(monkeypatch: Patch) -> None:
    take = Session._take

    def mutated(self: Session, batch: Batch, writer: LogWriter) -> None:
        self._pending = self._pending.then(batch.checkpoint)
        self._commit(writer)
        take(self, batch, writer)

    monkeypatch.setattr(Session, "_take", mutated)

    assert "once and in order" in noticed()


def test_a_lost_deletion_of_a_part_is_noticed(monkeypatch: Patch) -> None:
    def mutated(self: Checkpoint, change: Checkpoint) -> Checkpoint:
        return self.merged(change)

    monkeypatch.setattr(Checkpoint, "then", mutated)

    assert "to be deleted" in noticed()


@pytest.mark.parametrize("committed_at_once", [True, False], ids=["source", "source and loop"])
def test_snapshot_rows_in_front_of_the_first_checkpoint_are_noticed(
    committed_at_once: bool, monkeypatch: Patch
) -> None:
    # The rule has two halves: the source says where it begins before it gives rows, and the loop
    # commits a session's first batch at once. Without the first, rows can be seen until that
    # commit; without both, until some later one. The second alone cannot be noticed here: the
    # first rows of an empty log need a bound of their numbers, whose commit takes the place along.
    # tests/unit/cdc/test_capture.py proves it.
    start, begin = MemorySource.start, Session.__init__

    def mutated(self: MemorySource, checkpoint: Checkpoint | None) -> None:
        # Readers at least once see these rows; a crash then makes another slot, and what was
        # deleted in between stays for ever.
        start(self, checkpoint)
        if checkpoint is None and self._snapshot is not None:
            assert next(self._snapshot).events == []

    def begun(self: Session, *parts: Any) -> None:
        begin(self, *parts)
        assert self._first
        self._first = committed_at_once

    monkeypatch.setattr(MemorySource, "start", mutated)
    monkeypatch.setattr(Session, "__init__", begun)

    assert "the log of public.items differs" in noticed_at_the_beginning()


def test_a_writer_opened_before_the_lease_is_noticed(monkeypatch: Patch) -> None:
    acquire = Session._acquire

    def mutated(self: Session) -> bool:
        self._capture.make_writer().open()
        return acquire(self)

    monkeypatch.setattr(Session, "_acquire", mutated)
    world = World(Plan(1, faults=False, standby=True))

    with pytest.raises(CdcError, match="another writer"):
        world.run()


def test_one_copy_of_a_truncate_for_all_partitions_is_noticed(monkeypatch: Patch) -> None:
    def mutated(records: list[Record], writer: LogWriter) -> list[Record]:
        for record in records:
            record.partition = 0 if record.partition == -2 else record.partition
        return records

    monkeypatch.setattr("cdc.capture.expand", mutated)

    assert "once and in order" in noticed()


# --- deliver --------------------------------------------------------------------------------------


def test_offsets_before_dead_letters_are_noticed(monkeypatch: Patch) -> None:
    write = Delivery._write

    def mutated(self: Delivery, work: Work) -> None:
        put = self._deliver.dead_letters.put

        class Early:
            def put(self, letters: Sequence[object]) -> None:
                delivery._reader.commit(work.stored)
                put(letters)  # type: ignore[arg-type]

            def count(self) -> int:
                return 0

        delivery, kept = self, self._deliver.dead_letters
        self._deliver.dead_letters = Early()  # type: ignore[assignment]
        try:
            write(self, work)
        finally:
            self._deliver.dead_letters = kept

    monkeypatch.setattr(Delivery, "_write", mutated)

    assert "not among the letters" in noticed(delivery=True)


def test_offsets_before_the_write_are_noticed(monkeypatch: Patch) -> None:
    take = Delivery._take

    def mutated(self: Delivery, stored: Sequence[Stored]) -> bool:
        self._reader.commit(stored)
        return take(self, stored)

    monkeypatch.setattr(Delivery, "_take", mutated)

    assert "differ" in noticed()


def test_a_write_before_its_structure_is_noticed(monkeypatch: Patch) -> None:
    def mutated(self: Delivery, work: Work) -> object:
        return work.entries, list(work.letters)

    monkeypatch.setattr(Delivery, "_prepared", mutated)

    assert "no structure was applied" in noticed()


def test_a_write_that_is_not_tried_again_is_noticed(monkeypatch: Patch) -> None:
    def mutated(self: Delivery, step: Callable[[], None]) -> bool:
        with suppress(TransientError):
            step()
        return True

    monkeypatch.setattr(Delivery, "_insist", mutated)
    # A seed shows what its first fault hits: documents that the store never got, or letters.
    found = "\n".join(complaints())

    assert "the documents of public.items differ" in found
    assert "not among the letters" in found


def test_rejections_that_nobody_keeps_are_noticed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(MemoryDeadLetters, "put", lambda self, letters: None)

    assert "not among the letters" in noticed()
