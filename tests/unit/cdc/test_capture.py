"""The capture loop, case by case; tests/fault kills it at every step."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random

import pytest

from cdc.batching import Limits
from cdc.capture import STOP_S, Capture
from cdc.checkpoint import HEAL, Checkpoint, decode_part
from cdc.errors import (
    CdcError,
    Fenced,
    LeaseLost,
    PositionLost,
    SourcePaused,
    StorageFull,
    TransientError,
)
from cdc.event import Batch, ChangeEvent
from cdc.lifecycle import Command, DeliverUntil, GoOn, Pause, SourcePhase
from cdc.logs.memory import MemoryLog, Script
from cdc.progress import CaptureProgress
from cdc.protocols import (
    Heartbeat,
    IgnoreLimits,
    LogWriter,
    MarkCurrent,
    Serializer,
    Source,
    SourceCommand,
    SourceProgress,
)
from cdc.retry import Backoff
from cdc.schema import Column, Int64, TableSchema
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from cdc.testing.clock import ManualClock
from cdc.testing.control import ListedControl
from cdc.testing.memory_database import MemoryDatabase
from cdc.testing.memory_source import MemorySource
from cdc.testing.plain_serializer import PlainSerializer, StoredSchemas

TABLE = TableSchema("d", "public", "t", (Column("id", Int64(), nullable=False),), key=(0,))


class Setting:
    """A database with one table, a log, and a capture between them."""

    def __init__(self, script: Script | None = None, *, exactly_once: bool = True) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock, {"public.t": TABLE})
        self.log = MemoryLog(self.clock, exactly_once=exactly_once, script=script)
        self.control = ListedControl(lambda: "end" in self.control.marks, [MarkCurrent("end")])
        self.sources: list[MemorySource] = []
        self.make_source: Callable[[], Source] = self.source
        self.make_writer: Callable[[], LogWriter] = lambda: self.log.writer("shop")
        self.limits = Limits()
        self.heartbeat: Heartbeat | None = None

    def make_serializer(self, schemas: StoredSchemas) -> Serializer:
        return PlainSerializer("shop", schemas)

    def source(self) -> MemorySource:
        self.sources.append(MemorySource(self.database))
        return self.sources[-1]

    def run(self, *, heal: bool = False) -> list[CaptureProgress]:
        schemas = StoredSchemas(self.log.stored)
        Capture(
            make_source=self.make_source,
            make_writer=self.make_writer,
            make_serializer=lambda: self.make_serializer(schemas),
            transforms=(),
            clock=self.clock,
            control=self.control,
            backoff=Backoff(Random(1), first_s=1.0),
            limits=self.limits,
            heartbeat=self.heartbeat,
        ).run(heal=heal)
        return self.reports

    @property
    def reports(self) -> list[CaptureProgress]:
        return [one for one in self.control.reports if isinstance(one, CaptureProgress)]

    def insert(self, *ids: int) -> None:
        for number in ids:
            self.database.begin().insert("public.t", number).commit()


def failing(error: CdcError, times: int) -> Iterator[CdcError | None]:
    return iter([error] * times)


class FailingWriter:
    """A writer whose first commits raise."""

    def __init__(self, writer: LogWriter, errors: Iterator[CdcError | None]) -> None:
        self._writer = writer
        self._errors = errors
        self.exactly_once = writer.exactly_once
        self.open = writer.open
        self.partitions = writer.partitions
        self.append = writer.append
        self.close = writer.close

    def commit(self, checkpoint: Checkpoint, timeout_s: float) -> bool:
        error = next(self._errors, None)
        if error is not None:
            raise error
        return self._writer.commit(checkpoint, timeout_s)


def test_phases_go_from_snapshot_to_streaming_to_stopped() -> None:
    setting = Setting()
    setting.insert(*range(10))

    reports = setting.run()

    assert setting.control.phases == ["starting", "snapshot", "streaming", "stopping", "stopped"]
    assert reports[-1].events == 10
    assert reports[-1].records == 11
    assert reports[-1].size_bytes == 500
    assert reports[-1].commits >= 2
    assert reports[-1].commit_s == 0.0
    assert reports[-1].acked == str(setting.database.end)


def test_a_reached_mark_is_reported_when_it_is_durable() -> None:
    setting = Setting()
    setting.insert(1)

    setting.run()

    with_mark = next(one for one in setting.reports if one.marks)
    assert with_mark.marks == ("end",)
    assert with_mark.lag_s == 0.0
    assert with_mark.lag_bytes == 0
    assert decode_part("position", setting.log.checkpoints["shop"].parts["position"] or b"") == {
        "phase": "streaming",
        "position": setting.database.end,
        "transaction": "",
        "count": 0,
    }


class DebeziumSetting(Setting):
    """The same with records of Debezium's format."""

    def make_serializer(self, schemas: StoredSchemas) -> Serializer:
        return DebeziumJson(
            SourceIdentity("postgresql", "shop", "1"),
            Options(),
            schemas,
            compacts=False,
            pipeline="p",
            clock_us=self.clock.wall_us,
        )


def beats(setting: Setting) -> list[int]:
    """Microseconds of the heartbeats in the log."""
    stored = setting.log.stored("__debezium-heartbeat.shop")
    return [json.loads(one.value or b"")["ts_ms"] * 1000 for one in stored]


def test_heartbeats_are_written_at_their_interval_also_when_nothing_comes() -> None:
    setting = DebeziumSetting()
    setting.heartbeat = Heartbeat(5.0)
    began_us = setting.clock.wall_us()
    setting.control.stop = lambda: setting.clock.wall_us() - began_us > 26_000_000

    setting.run()

    since_s = [(at_us - began_us) / 1_000_000 for at_us in beats(setting)]
    assert len(since_s) == 5
    assert all(5.0 * nth <= at_s < 5.0 * nth + 2 for nth, at_s in enumerate(since_s, 1))


@pytest.mark.parametrize("heartbeat", [None, Heartbeat(5.0, topic=False)])
def test_heartbeats_are_not_written_unasked(heartbeat: Heartbeat | None) -> None:
    setting = DebeziumSetting()
    setting.heartbeat = heartbeat
    began_us = setting.clock.wall_us()
    setting.control.stop = lambda: setting.clock.wall_us() - began_us > 26_000_000

    setting.run()

    assert beats(setting) == []


def test_where_a_source_began_is_durable_before_its_first_rows_arrive() -> None:
    setting = Setting()
    setting.insert(*range(10))
    setting.limits = Limits(age_max_s=1e9, quiet_age_max_s=1e9)
    stored: list[bool] = []

    class Watching(MemorySource):
        def poll(self, timeout_s: float) -> Batch | None:
            batch = super().poll(timeout_s)
            if batch is not None and batch.events:
                stored.append("shop" in setting.log.checkpoints)
            return batch

    setting.make_source = lambda: Watching(setting.database)
    setting.control.stop = lambda: len(stored) > 2

    setting.run()

    assert all(stored)


def test_a_source_that_still_starts_leaves_the_phase_alone() -> None:
    setting = Setting()
    polls = []

    class Slow(MemorySource):
        def poll(self, timeout_s: float) -> Batch | None:
            polls.append(setting.control.phases)
            if len(polls) <= 3:
                setting.clock.sleep_s(timeout_s)
                return None
            return super().poll(timeout_s)

        def progress(self) -> SourceProgress:
            return SourceProgress("starting") if len(polls) <= 3 else super().progress()

    setting.make_source = lambda: Slow(setting.database)

    setting.run()

    assert polls[3] == ["starting"]
    assert setting.control.phases == ["starting", "snapshot", "streaming", "stopping", "stopped"]


def test_a_standby_waits_for_the_lease_and_opens_nothing() -> None:
    setting = Setting()
    setting.database.lease = "somebody else"
    setting.control.stop = lambda: setting.clock.slept_s > 5

    setting.run()

    assert setting.control.phases == ["starting", "waiting", "stopping", "stopped"]
    assert setting.log.writers == {}
    assert setting.database.lease == "somebody else"


def test_a_standby_starts_when_the_lease_is_free() -> None:
    setting = Setting()
    setting.insert(1)
    setting.database.lease = "somebody else"
    setting.clock.ticks.append(lambda: setattr(setting.database, "lease", None))
    setting.database.lease = "somebody else"

    class Waits(MemorySource):
        first = True

        def acquire(self, timeout_s: float) -> bool:
            if self.first:
                self.first = False
                setting.clock.sleep_s(timeout_s)
                return False
            return super().acquire(timeout_s)

    setting.make_source = lambda: Waits(setting.database)

    setting.run()

    assert setting.control.phases[:4] == ["starting", "waiting", "starting", "snapshot"]


@pytest.mark.parametrize("error", [TransientError("away"), LeaseLost("lost")])
def test_what_may_pass_closes_all_backs_off_and_begins_anew(error: CdcError) -> None:
    setting = Setting()
    setting.insert(1)
    errors = failing(error, 3)
    setting.make_writer = lambda: FailingWriter(setting.log.writer("shop"), errors)

    reports = setting.run()

    assert len(setting.sources) == 4
    assert setting.log.writers["shop"] == 4
    assert setting.control.phases.count("retrying") == 3
    assert setting.clock.slept_s >= 0.5 + 1 + 2
    problem = reports[-1].last_error
    assert problem is not None
    assert (problem.kind, problem.message) == (type(error).__name__, error.message)
    assert reports[-1].events == 1


def test_the_peers_wish_is_waited_for() -> None:
    setting = Setting()
    errors = failing(TransientError("busy", retry_after_s=50.0), 1)
    setting.make_writer = lambda: FailingWriter(setting.log.writer("shop"), errors)

    setting.run()

    assert setting.clock.slept_s >= 50


def test_full_storage_is_shown_as_failed_and_goes_on_by_itself() -> None:
    setting = Setting()
    setting.insert(1)
    errors = failing(StorageFull("no space left on device"), 2)
    setting.make_writer = lambda: FailingWriter(setting.log.writer("shop"), errors)

    reports = setting.run()

    failed = [one for one in reports if one.phase == SourcePhase.FAILED]
    assert failed[0].last_error is not None
    assert "Free space" in failed[0].last_error.hint
    assert reports[-1].phase == SourcePhase.STOPPED
    assert reports[-1].events == 1


@pytest.mark.parametrize("error", [Fenced("another writer"), PositionLost("pruned")])
def test_what_needs_a_person_ends_the_loop(error: CdcError) -> None:
    setting = Setting()
    setting.make_writer = lambda: FailingWriter(setting.log.writer("shop"), failing(error, 1))

    with pytest.raises(type(error)):
        setting.run()

    assert setting.reports[-1].phase == SourcePhase.FAILED
    assert setting.reports[-1].last_error is not None
    assert setting.reports[-1].last_error.hint == error.hint
    assert setting.database.lease is None
    assert len(setting.sources) == 1


def test_a_lease_lost_while_the_log_was_opened_touches_no_slot() -> None:
    setting = Setting()

    class Slow(FailingWriter):
        def __init__(self) -> None:
            super().__init__(setting.log.writer("shop"), iter(()))
            self.open = self.slowly

        def slowly(self) -> Checkpoint | None:
            setting.database.lease = "somebody else"
            return None

    setting.make_writer = Slow
    setting.control.stop = lambda: setting.clock.slept_s > 5

    setting.run()

    assert setting.database.confirmed is None
    assert "waiting" in setting.control.phases


def test_a_stop_commits_what_was_taken() -> None:
    setting = Setting()
    setting.insert(*range(3))
    setting.limits = Limits(age_max_s=1e9, quiet_age_max_s=1e9)
    setting.control.stop = lambda: (
        any(source._tables for source in setting.sources)
        and (next(iter(setting.sources[0]._tables.values())).done)
    )

    reports = setting.run()

    assert reports[-1].phase == SourcePhase.STOPPED
    assert reports[-1].events == 3


def test_a_log_that_takes_nothing_cannot_hold_up_a_stop() -> None:
    setting = Setting(Script(outcomes=iter(["done", *["later"] * 10_000])))  # type: ignore[list-item]
    setting.insert(1)
    setting.control.stop = lambda: setting.clock.slept_s > 20

    reports = setting.run()

    assert reports[-1].phase == SourcePhase.STOPPED
    assert reports[-1].last_error is not None
    assert "Nothing is lost" in reports[-1].last_error.hint
    assert setting.clock.slept_s < 20 + STOP_S + 1
    assert setting.database.disconnects == 0


def test_a_stop_during_a_back_off_is_heard() -> None:
    setting = Setting()
    errors = failing(TransientError("away", retry_after_s=1000.0), 1)
    setting.make_writer = lambda: FailingWriter(setting.log.writer("shop"), errors)
    setting.control.stop = lambda: setting.clock.slept_s > 20

    reports = setting.run()

    assert setting.control.phases[-2:] == ["stopping", "stopped"]
    assert setting.clock.slept_s < 21
    assert reports[-1].last_error is not None


def test_both_are_closed_when_closing_one_fails() -> None:
    setting = Setting()

    class Broken(FailingWriter):
        def __init__(self) -> None:
            super().__init__(setting.log.writer("shop"), iter(()))
            self.close = self.fail

        def fail(self) -> None:
            raise OSError("broken")

    setting.make_writer = Broken

    with pytest.raises(OSError, match="broken"):
        setting.run()

    assert setting.database.lease is None


def test_lag_is_not_zero_while_something_waits_for_the_commit() -> None:
    setting = Setting(Script(outcomes=iter(["done", *["later"] * 40, "done"])))  # type: ignore[list-item]
    setting.insert(1)

    reports = setting.run()

    waiting = [one for one in reports if one.lag_s]
    assert max(one.lag_s or 0 for one in waiting) > 5
    assert all((one.lag_bytes or 0) > 0 for one in waiting)


def test_without_a_connection_the_lag_is_unknown() -> None:
    setting = Setting()

    reports = setting.run()

    assert reports[0].lag_s is None
    assert reports[0].lag_bytes is None


def test_a_command_for_sinks_is_our_own_mistake() -> None:
    setting = Setting()
    setting.control.pending = [DeliverUntil("end")]

    with pytest.raises(AssertionError, match="no commands of a delivery"):
        setting.run()


def test_transforms_stand_between_source_and_log() -> None:
    setting = Setting()
    setting.insert(*range(6))

    class Odd:
        def bind(self, table: TableSchema) -> Callable[[ChangeEvent], ChangeEvent | None]:
            return lambda one: one if one.after and hash(one.after[0]) % 2 else None

    Capture(
        make_source=setting.make_source,
        make_writer=setting.make_writer,
        make_serializer=lambda: PlainSerializer("shop", StoredSchemas(setting.log.stored)),
        transforms=[Odd()],
        clock=setting.clock,
        control=setting.control,
        backoff=Backoff(Random(1)),
    ).run()

    assert sorted(one.key or b"" for one in setting.log.stored("shop.public.t")) == [
        b"[1]",
        b"[3]",
        b"[5]",
    ]
    assert setting.reports[-1].events == 6


def test_only_the_last_hundred_marks_are_remembered() -> None:
    setting = Setting()
    setting.control.pending = [MarkCurrent(f"m{n}") for n in range(150)]
    setting.control.stop = lambda: "m149" in setting.control.marks

    reports = setting.run()

    assert reports[-1].marks == tuple(f"m{n}" for n in range(50, 150))


class EncodingSource(MemorySource):
    """Gives what it reads as records already, as a source with readers does."""

    def poll(self, timeout_s: float) -> Batch | None:
        batch = super().poll(timeout_s)
        if batch is None or not batch.events:
            return batch
        first, rest = batch.events[:1], batch.events[1:]
        serializer = PlainSerializer("shop", StoredSchemas(lambda _: ()))
        records = serializer.encode(rest)
        return Batch(
            first,
            batch.checkpoint,
            batch.ackable,
            batch.size_bytes,
            batch.marks,
            records,
            len(rest),
        )


@pytest.mark.parametrize("exactly_once", [True, False])
def test_encoded_records_stand_behind_the_events_of_their_batch(exactly_once: bool) -> None:
    setting = Setting(exactly_once=exactly_once)
    setting.make_source = lambda: EncodingSource(setting.database)
    setting.insert(*range(10))

    last = setting.run()[-1]

    numbered = sorted(
        (int(dict(record.headers)["cdc"].split(b".")[0]), record.key)
        for record in setting.log.stored("shop.public.t")
    )
    assert [b"[%d]" % number for number in range(10)] == [key for _, key in numbered]
    assert len({sequence for sequence, _ in numbered}) == 10
    assert last.events == 10


# --- pause, go on, heal ---------------------------------------------------------------------------


class Ordering(ListedControl):
    """Gives a command when its phase is reached; stops when all are given and `stop` says so."""

    def __init__(self, stop: Callable[[], bool], orders: list[tuple[str, Command]]) -> None:
        super().__init__(stop)
        self.orders = orders

    def commands(self) -> Sequence[Command]:
        if self.orders and self.phases[-1:] == [self.orders[0][0]]:
            return [self.orders.pop(0)[1]]
        return ()


def test_a_paused_source_commits_closes_and_goes_on_where_it_was() -> None:
    setting = Setting()
    setting.insert(*range(5))
    control = Ordering(lambda: "end" in control.marks, [("streaming", Pause()), ("paused", GoOn())])
    control.orders.append(("streaming", MarkCurrent("end")))
    setting.control = control

    reports = setting.run()

    assert control.phases[2:6] == ["streaming", "paused", "starting", "streaming"]
    assert control.phases[-1] == "stopped"
    assert reports[-1].events == 5
    assert setting.database.lease is None


def test_a_paused_source_can_be_stopped() -> None:
    setting = Setting()
    control = Ordering(lambda: control.phases[-1:] == ["paused"], [("streaming", Pause())])
    setting.control = control

    setting.run()

    assert control.phases[-3:] == ["paused", "stopping", "stopped"]


def test_a_limit_pauses_the_source_until_a_person_says_to_go_on() -> None:
    setting = Setting()
    setting.insert(1)
    commands: list[object] = []

    class Guarded(MemorySource):
        def keepalive(self) -> None:
            super().keepalive()
            if IgnoreLimits() not in commands:
                raise SourcePaused("too much is kept", hint="Look.")

        def command(self, command: SourceCommand) -> None:
            commands.append(command)
            super().command(command)

    setting.make_source = lambda: Guarded(setting.database)
    control = Ordering(lambda: "end" in control.marks, [("paused", GoOn())])
    control.orders.append(("streaming", MarkCurrent("end")))
    setting.control = control

    reports = setting.run()

    assert control.phases[:4] == ["starting", "paused", "starting", "snapshot"]
    assert reports[-1].events == 1
    paused = next(one for one in reports if one.phase == SourcePhase.PAUSED)
    assert paused.last_error is not None
    assert paused.last_error.message == "too much is kept"


@pytest.mark.parametrize("exactly_once", [True, False])
def test_a_heal_is_asked_for_until_it_is_durable_and_not_again(exactly_once: bool) -> None:
    setting = Setting(exactly_once=exactly_once)
    setting.insert(1)
    asked: list[bool] = []

    class Healed(MemorySource):
        def start(self, checkpoint: Checkpoint | None) -> None:
            asked.append(checkpoint is not None and HEAL in checkpoint.parts)
            if len(asked) == 1:
                raise TransientError("the first start fails")
            super().start(None if asked[-1] else checkpoint)

    setting.make_source = lambda: Healed(setting.database)
    control = Ordering(lambda: "end" in control.marks, [("streaming", Pause()), ("paused", GoOn())])
    control.orders.append(("streaming", MarkCurrent("end")))
    setting.control = control

    setting.run(heal=True)

    assert asked == [True, True, False]
