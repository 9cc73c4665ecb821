"""The deliver loop, case by case; tests/fault kills it at every step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

import pytest

from cdc.checkpoint import Checkpoint
from cdc.deliver import LAG_S, Deliver, DeliverOptions
from cdc.errors import (
    CdcError,
    ConfigError,
    DecodeError,
    SchemaError,
    SinkRefused,
    StorageFull,
    TransientError,
)
from cdc.event import ChangeEvent, Stored, Transaction
from cdc.lifecycle import DeliverUntil, SinkPhase
from cdc.logs.memory import MemoryLog, MemoryLogReader
from cdc.progress import DeliverProgress
from cdc.projection import Mapping as Rules
from cdc.projection import Projection
from cdc.protocols import LogReader, MarkCurrent, Mutation, Partition, Rejected, Sink, Upsert
from cdc.retry import Backoff
from cdc.schema import Column, Int64, String, TableSchema
from cdc.testing.clock import ManualClock
from cdc.testing.control import ListedControl
from cdc.testing.memory_sink import MemoryDeadLetters, MemorySink, MemoryStore
from cdc.testing.plain_serializer import PlainSerializer, StoredSchemas

TABLE = TableSchema(
    "d", "public", "t", (Column("id", Int64(), nullable=False), Column("name", String())), key=(0,)
)
OTHER = replace(TABLE, table="other")


class Setting:
    """A log with records of two tables, a store, and a delivery between them."""

    def __init__(self, options: DeliverOptions | None = None) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock, partitions=1)
        self.serializer = PlainSerializer("shop", StoredSchemas(self.log.stored))
        self.decode: Callable[[Stored], ChangeEvent | None] = self.serializer.decode
        self.store = MemoryStore()
        self.letters = MemoryDeadLetters()
        self.control = ListedControl(lambda: "all" in self.control.marks, [DeliverUntil("all")])
        self.options = options or DeliverOptions()
        self.make_sink: Callable[[], Sink] = lambda: MemorySink(self.store)
        self.make_reader: Callable[[], LogReader] = self.reader
        self.rules = Rules()
        self.sequence = 0

    def reader(self) -> MemoryLogReader:
        return self.log.reader(["shop.*"], "search")

    def write(self, *ids: int, table: TableSchema = TABLE) -> None:
        writer = self.log.writer("shop")
        writer.open()
        for number in ids:
            change = ChangeEvent("c", table, None, (number, f"n{number}"), Transaction("1", 0))
            records = self.serializer.encode([change])
            for record in records:
                self.sequence += 1
                record.sequence = self.sequence
            writer.append(records, 0.5)
        writer.commit(Checkpoint(), 0.5)

    def run(self) -> DeliverProgress:
        Deliver(
            make_reader=self.make_reader,
            make_sink=self.make_sink,
            decode=self.decode,
            projection=Projection(self.rules),
            dead_letters=self.letters,
            clock=self.clock,
            control=self.control,
            backoff=Backoff(Random(1), first_s=1.0),
            options=self.options,
        ).run()
        return self.reports[-1]

    @property
    def reports(self) -> list[DeliverProgress]:
        return [one for one in self.control.reports if isinstance(one, DeliverProgress)]

    @property
    def ids(self) -> list[str]:
        return sorted(id_ for _, id_ in self.store.documents)

    @property
    def offset(self) -> int:
        return self.log.offsets.get("search", {}).get(Partition("shop.public.t", 0), 0)


class FailingSink(MemorySink):
    """Raises the next of `errors` at `method` until they are used up."""

    def __init__(self, store: MemoryStore, method: str, errors: list[CdcError]) -> None:
        super().__init__(store)
        self._method = method
        self._errors = errors

    def apply_schema(self, table: TableSchema) -> None:
        if self._method == "apply_schema" and self._errors:
            raise self._errors.pop(0)
        super().apply_schema(table)

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        if self._method == "write" and self._errors:
            raise self._errors.pop(0)
        return super().write(mutations)


def test_everything_up_to_the_mark_is_delivered_and_committed() -> None:
    setting = Setting(DeliverOptions(records_max=4))
    setting.write(*range(10))

    last = setting.run()

    assert setting.ids == [str(n) for n in range(10)]
    assert setting.offset == 10
    assert setting.control.phases == ["starting", "delivering", "stopping", "stopped"]
    assert (last.read, last.applied, last.rejected, last.dead_letters) == (10, 10, 0, 0)
    assert last.commits == 1
    assert last.size_bytes > 100


def test_a_mark_does_not_wait_for_what_comes_later() -> None:
    setting = Setting()
    setting.write(1)
    setting.clock.ticks.append(lambda: setting.write(100 + setting.sequence))

    setting.run()

    assert setting.control.marks == ("all",)


def test_a_mark_on_an_empty_log_is_reached_at_once() -> None:
    setting = Setting()

    setting.run()

    assert setting.control.marks == ("all",)


def test_offsets_are_committed_while_records_keep_coming() -> None:
    setting = Setting(DeliverOptions(records_max=1, commit_age_max_s=0.2))
    setting.write(*range(10))
    offsets: list[int] = []

    class Slow(MemorySink):
        def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
            setting.clock.pass_s(0.15)
            offsets.append(setting.offset)
            return super().write(mutations)

    setting.make_sink = lambda: Slow(setting.store)

    setting.run()

    assert sorted(set(offsets)) == [0, 3, 6, 9]
    assert setting.offset == 10


def test_a_store_that_is_away_gets_the_same_again_in_order() -> None:
    setting = Setting(DeliverOptions(records_max=3))
    setting.write(*range(6))
    errors: list[CdcError] = [TransientError("away"), TransientError("away", retry_after_s=40.0)]
    made = []

    def make() -> Sink:
        made.append(1)
        return FailingSink(setting.store, "write", errors)

    setting.make_sink = make

    last = setting.run()

    assert [len(write) for write in setting.store.writes] == [3, 3]
    assert setting.control.phases[:4] == ["starting", "delivering", "retrying", "delivering"]
    assert setting.clock.slept_s > 40
    assert len(made) == 1
    assert last.last_error is not None
    assert last.last_error.message == "away"


def test_full_storage_is_shown_as_failed_and_goes_on_by_itself() -> None:
    setting = Setting()
    setting.write(1)
    errors: list[CdcError] = [StorageFull("the index is read-only"), TransientError("away")]
    setting.make_sink = lambda: FailingSink(setting.store, "write", errors)

    setting.run()

    assert setting.control.phases[1:5] == ["delivering", "failed", "retrying", "delivering"]
    assert setting.ids == ["1"]


@pytest.mark.parametrize("method", ["write", "apply_schema"])
def test_a_store_that_refuses_everything_ends_the_loop(method: str) -> None:
    setting = Setting()
    setting.write(1)
    setting.make_sink = lambda: FailingSink(setting.store, method, [SinkRefused("wrong password")])

    with pytest.raises(SinkRefused):
        setting.run()

    assert setting.reports[-1].phase == SinkPhase.FAILED
    assert setting.offset == 0


def test_rejected_documents_become_dead_letters_and_the_rest_goes_on() -> None:
    setting = Setting()
    setting.write(1, 2, 3)
    setting.store.rejects = lambda one: "too long" if one.id == "2" else None

    last = setting.run()

    letters = list(setting.letters.letters.values())
    assert setting.ids == ["1", "3"]
    assert [(one.stored.offset, one.reason) for one in letters] == [(1, "too long")]
    assert letters[0].failed_at_us >= letters[0].stored.timestamp_us
    assert (last.applied, last.rejected, last.dead_letters) == (2, 1, 1)
    assert last.dead_letters_kept == 1
    assert setting.offset == 3


def test_a_record_of_two_rejected_mutations_is_put_away_once() -> None:
    setting = Setting()
    setting.write(1)
    setting.rules = Rules(id="{name}")
    setting.store.rejects = lambda _one: "no"

    def decode(stored: Stored) -> ChangeEvent:
        return ChangeEvent("u", TABLE, (1, "old"), (1, "new"), None, sequence=5)

    setting.decode = decode

    last = setting.run()

    assert (last.rejected, last.dead_letters, setting.letters.count()) == (2, 1, 1)


def test_dead_letters_that_cannot_be_kept_hold_everything_up() -> None:
    setting = Setting()
    setting.write(1)
    setting.store.rejects = lambda _one: "no"
    errors: list[CdcError] = [StorageFull("full"), TransientError("locked")]

    class Full(MemoryDeadLetters):
        def put(self, letters: Sequence[object]) -> None:
            assert setting.offset == 0
            if errors:
                raise errors.pop(0)
            super().put(letters)  # type: ignore[arg-type]

    setting.letters = Full()

    setting.run()

    assert setting.letters.count() == 1
    assert setting.offset == 1


# --- what cannot be decoded -----------------------------------------------------------------------


def undecodable(error: CdcError) -> Callable[[Stored], ChangeEvent | None]:
    def decode(stored: Stored) -> ChangeEvent | None:
        raise error

    return decode


@pytest.mark.parametrize("error", [DecodeError("bad bytes", kind="k"), SchemaError("unknown")])
def test_an_undecodable_record_stops_with_its_place(error: CdcError) -> None:
    setting = Setting()
    setting.write(1)
    setting.decode = undecodable(error)

    with pytest.raises(type(error), match=r"record 0 of shop.public.t\[0\]: ") as raised:
        setting.run()

    assert raised.value.hint == error.hint
    assert setting.offset == 0
    assert setting.reports[-1].phase == SinkPhase.FAILED


def test_an_undecodable_record_goes_to_the_dead_letters_by_policy() -> None:
    setting = Setting(DeliverOptions(on_undecodable="dead_letter"))
    setting.write(1, 2)
    decode = setting.decode

    def first_is_bad(stored: Stored) -> ChangeEvent | None:
        if stored.offset == 0:
            raise DecodeError("bad bytes", kind="k")
        return decode(stored)

    setting.decode = first_is_bad

    last = setting.run()

    assert setting.ids == ["2"]
    assert "bad bytes" in next(iter(setting.letters.letters.values())).reason
    assert (last.rejected, last.dead_letters) == (0, 1)


def test_a_structure_that_the_store_refuses_stops() -> None:
    setting = Setting()
    setting.write(1)
    setting.store.refuses_schema = frozenset({"public.t"})

    with pytest.raises(SchemaError, match="refuses the structure"):
        setting.run()


def test_rows_of_a_refused_structure_go_to_the_dead_letters_by_policy() -> None:
    setting = Setting(DeliverOptions(on_undecodable="dead_letter"))
    setting.write(1, 2)
    setting.write(7, table=OTHER)
    setting.store.refuses_schema = frozenset({"public.t"})

    setting.run()

    assert list(setting.store.documents) == [("public.other", "7")]
    assert setting.letters.count() == 2


def test_a_mapping_that_does_not_fit_ends_the_loop_whatever_the_policy() -> None:
    setting = Setting(DeliverOptions(on_undecodable="dead_letter"))
    setting.write(1)
    setting.rules = Rules(id="{nmae}")

    with pytest.raises(ConfigError, match="nmae"):
        setting.run()


def test_decoding_that_must_wait_is_tried_again() -> None:
    setting = Setting()
    setting.write(1)
    decode, errors = setting.decode, [TransientError("the registry is away")]

    def late(stored: Stored) -> ChangeEvent | None:
        if errors:
            raise errors.pop()
        return decode(stored)

    setting.decode = late

    setting.run()

    assert setting.ids == ["1"]


def test_records_that_are_no_changes_are_passed() -> None:
    setting = Setting()
    setting.write(1, 2)
    setting.decode = lambda _stored: None

    last = setting.run()

    assert setting.offset == 2
    assert (last.read, last.applied) == (2, 0)


def test_a_record_without_a_sequence_has_its_offset_for_a_version() -> None:
    setting = Setting()
    setting.write(1, 2)
    setting.decode = lambda stored: ChangeEvent("c", TABLE, None, (stored.offset, "x"), None)

    setting.run()

    assert setting.store.versions == {("public.t", "0"): 1, ("public.t", "1"): 2}


# --- the log and orders ---------------------------------------------------------------------------


class FailingReader(MemoryLogReader):
    """Raises the next of `errors` at `method` until they are used up."""

    def __init__(self, log: MemoryLog, method: str, errors: list[CdcError]) -> None:
        super().__init__(log, ["shop.*"], "search")
        self._method = method
        self._errors = errors

    def _fail(self, method: str) -> None:
        if self._method == method and self._errors:
            raise self._errors.pop(0)

    def poll(self, records_max: int, timeout_s: float) -> Sequence[Stored]:
        self._fail("poll")
        return super().poll(records_max, timeout_s)

    def commit(self, stored: Sequence[Stored]) -> None:
        self._fail("commit")
        super().commit(stored)

    def ends(self) -> Mapping[Partition, int]:
        self._fail("ends")
        return super().ends()

    def positions(self) -> Mapping[Partition, int]:
        self._fail("positions")
        return super().positions()


@pytest.mark.parametrize("method", ["poll", "commit", "ends", "positions"])
def test_a_log_that_is_away_means_a_new_reader_and_the_mark_still_counts(method: str) -> None:
    setting = Setting()
    setting.write(1, 2)
    errors: list[CdcError] = [TransientError("away"), StorageFull("full")]
    made = []

    def make() -> LogReader:
        made.append(1)
        return FailingReader(setting.log, method, errors)

    setting.make_reader = make

    setting.run()

    assert len(made) == 3
    assert {"retrying", "failed"} < set(setting.control.phases)
    assert setting.ids == ["1", "2"]
    assert setting.offset == 2


class MarkerReader(MemoryLogReader):
    """As Kafka's: the end of a transaction has an offset of its own, noticed some polls later."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log, ["shop.*"], "search")
        self._asked = 0

    def ends(self) -> Mapping[Partition, int]:
        return {partition: end + 1 for partition, end in super().ends().items()}

    def positions(self) -> Mapping[Partition, int]:
        self._asked += 1
        noticed = 1 if self._asked > 6 else 0
        return {partition: at + noticed for partition, at in super().positions().items()}


def test_a_mark_behind_the_last_record_is_reached_without_another_one() -> None:
    setting = Setting()
    setting.write(1, 2)
    setting.make_reader = lambda: MarkerReader(setting.log)

    setting.run()

    assert setting.control.marks == ("all",)


def test_a_sink_that_cannot_be_made_leaves_no_reader_behind() -> None:
    setting = Setting()
    closed = []

    class Reader(MemoryLogReader):
        def close(self) -> None:
            closed.append(1)

    def make_sink() -> Sink:
        raise SinkRefused("wrong password")

    setting.make_reader = lambda: Reader(setting.log, ["shop.*"], "search")
    setting.make_sink = make_sink

    with pytest.raises(SinkRefused):
        setting.run()

    assert closed == [1]


def test_a_stop_while_the_store_is_away_commits_what_was_done_before() -> None:
    setting = Setting(DeliverOptions(records_max=1, commit_age_max_s=1e9))
    setting.write(1, 2)
    setting.control.stop = lambda: setting.clock.slept_s > 20

    class Once(MemorySink):
        def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
            if mutations[0].id == "2":
                raise TransientError("away")
            return super().write(mutations)

    setting.make_sink = lambda: Once(setting.store)

    last = setting.run()

    assert setting.offset == 1
    assert last.phase == SinkPhase.STOPPED


def test_a_stop_while_decoding_must_wait_is_heard() -> None:
    setting = Setting()
    setting.write(1)
    setting.decode = undecodable(TransientError("away"))
    setting.control.stop = lambda: setting.clock.slept_s > 20

    assert setting.run().phase == SinkPhase.STOPPED
    assert setting.offset == 0


def test_a_stop_while_the_log_is_away_is_heard() -> None:
    setting = Setting()
    setting.make_reader = lambda: FailingReader(
        setting.log, "poll", [TransientError("away", retry_after_s=1000.0)]
    )
    setting.control.stop = lambda: setting.clock.slept_s > 20

    assert setting.run().phase == SinkPhase.STOPPED
    assert setting.clock.slept_s < 21


def test_an_error_of_the_last_commit_does_not_undo_the_stop() -> None:
    setting = Setting(DeliverOptions(commit_age_max_s=1e9))
    setting.write(1)
    setting.control.stop = lambda: bool(setting.store.documents)
    setting.make_reader = lambda: FailingReader(setting.log, "commit", [TransientError("away")])

    last = setting.run()

    assert setting.control.phases[-2:] == ["stopping", "stopped"]
    assert last.last_error is not None


def test_a_command_for_sources_is_our_own_mistake() -> None:
    setting = Setting()
    setting.control.pending = [MarkCurrent("end")]

    with pytest.raises(AssertionError, match="no source commands"):
        setting.run()


def test_lag_is_not_zero_while_behind() -> None:
    setting = Setting(DeliverOptions(records_max=1))
    setting.write(1, 2, 3)
    setting.clock.pass_s(60.0)
    setting.control.stop = lambda: setting.clock.slept_s > 30

    class Slow(MemorySink):
        def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
            setting.clock.pass_s(LAG_S)
            return super().write(mutations)

    setting.make_sink = lambda: Slow(setting.store)

    setting.run()

    behind = [one for one in setting.reports if 0 < one.read < 3]
    assert behind
    assert all(one.lag_s is not None and one.lag_s > 60 for one in behind)
    caught_up = setting.reports[-3]
    assert (caught_up.lag_records, caught_up.lag_s) == (0, 0.0)


def test_lag_that_nobody_here_can_read_is_still_lag() -> None:
    setting = Setting()
    setting.write(1)
    setting.control.stop = lambda: setting.clock.slept_s > 10

    class Blind(MemoryLogReader):
        def poll(self, records_max: int, timeout_s: float) -> Sequence[Stored]:
            setting.clock.sleep_s(timeout_s)
            return []

    setting.make_reader = lambda: Blind(setting.log, ["shop.*"], "search")

    setting.run()

    assert setting.reports[-3].lag_records == 1
    assert (setting.reports[-3].lag_s or 0) > 5


def test_upserts_of_one_document_in_one_batch_keep_their_order() -> None:
    setting = Setting()
    setting.write(1, 1, 1)
    setting.decode = lambda stored: ChangeEvent(
        "u", TABLE, None, (1, f"v{stored.offset}"), None, sequence=stored.offset + 1
    )

    setting.run()

    assert [one.version for one in setting.store.writes[0]] == [1, 2, 3]
    assert setting.store.documents["public.t", "1"] == {"id": 1, "name": "v2"}
    assert isinstance(setting.store.writes[0][0].action, Upsert)
