"""The parts for tests, put together: every kind of change goes through a log and comes back."""

from random import Random
from types import SimpleNamespace

import pytest

from cdc.capture import Capture
from cdc.errors import TransientError
from cdc.event import EVERY_PARTITION, Batch, Record, Topic
from cdc.expansion import expand
from cdc.logs.memory import MemoryLog
from cdc.protocols import LogWriter, MarkCurrent
from cdc.retry import Backoff
from cdc.schema import Column, Int64, String, TableSchema
from cdc.testing.clock import ManualClock
from cdc.testing.control import ListedControl
from cdc.testing.faults import Faults
from cdc.testing.log_contract import LogContract
from cdc.testing.log_harness import append, commit
from cdc.testing.memory_database import MemoryDatabase
from cdc.testing.memory_source import MemorySource
from cdc.testing.plain_serializer import PlainSerializer, StoredSchemas
from cdc.testing.sink_contract import SinkContract
from cdc.testing.source_contract import SourceContract

ID = Column("id", Int64(), nullable=False)
NAME = Column("name", String("text"), nullable=True)
TABLE = TableSchema("d", "public", "t", (ID, NAME), key=(0,))
WIDER = TableSchema("d", "public", "t", (ID, NAME, Column("n", Int64(), nullable=True)), key=(0,))
TOPIC = "shop.public.t"


class Partitioned:
    """A LogWriter of which only the number of partitions matters."""

    def __init__(self, count: int) -> None:
        self._count = count

    def partitions(self, topic: Topic) -> int:
        return self._count


def test_the_database_has_what_its_changes_say() -> None:
    database = MemoryDatabase(ManualClock(), {"public.t": TABLE})
    began = database.create_slot()
    change = database.begin().insert("public.t", 1, "one").insert("public.t", 2, "two")
    change.update("public.t", (1,), {"name": "uno"}).update("public.t", (2,), {"id": 3})
    change.delete("public.t", (1,)).alter(WIDER, 7).insert("public.t", 4, None, 8).commit()

    contents = database.contents()
    database.begin().truncate("public.t").commit()

    assert contents == {"public.t": [(3, "two", 7), (4, None, 8)]}
    assert database.contents() == {"public.t": []}
    assert len(database.wal) == 2
    assert began < database.end


def test_changes_of_keys_and_tables_are_plain_records_that_can_be_read_back() -> None:
    clock = ManualClock()
    database = MemoryDatabase(clock, {"public.t": TABLE})
    log = MemoryLog(clock)
    control = ListedControl(lambda: "end" in control.marks, [])
    schemas = StoredSchemas(log.stored)

    class Late(MemorySource):
        """Changes happen when the stream has begun."""

        changed = False

        def poll(self, timeout_s: float) -> Batch | None:
            batch = super().poll(timeout_s)
            if self.progress().phase == "streaming" and not self.changed:
                Late.changed = True
                change = database.begin().insert("public.t", 1, "one")
                change.update("public.t", (1,), {"id": 2}).delete("public.t", (2,))
                change.truncate("public.t").commit()
                self.command(MarkCurrent("end"))
            return batch

    Capture(
        make_source=lambda: Late(database),
        make_writer=lambda: log.writer("shop"),
        make_serializer=lambda: PlainSerializer("shop", schemas),
        transforms=(),
        clock=clock,
        control=control,
        backoff=Backoff(Random(1)),
    ).run()

    decoder = PlainSerializer("shop", schemas)
    found = [decoder.decode(stored) for stored in log.stored(TOPIC)]
    events = sorted((event for event in found if event), key=lambda event: event.sequence)
    # A new key is a delete, its tombstone and a create; a delete has a tombstone too.
    changes = [event for event in events if event.op != "t"]
    assert [event.op for event in changes] == ["c", "d", "d", "c", "d", "d"]
    assert [event.before[0] for event in changes if event.before is not None] == [1, 1, 2, 2]
    # Every partition is told of a truncate, behind all changes before it.
    assert {"t"} == {event.op for event in events[len(changes) :]}
    assert len(events) > len(changes)


def test_a_record_for_every_partition_becomes_one_for_each_in_its_place() -> None:
    topic = Topic(TOPIC, compacted=True)
    writer: LogWriter = Partitioned(3)  # type: ignore[assignment]
    one, every = Record(topic, b"1", b"v"), Record(topic, None, b"t", partition=EVERY_PARTITION)

    expanded = expand([one, every, one], writer)

    assert [(record.value, record.partition) for record in expanded] == [
        (b"v", None),
        (b"t", 0),
        (b"t", 1),
        (b"t", 2),
        (b"v", None),
    ]
    assert expand([one], writer) == [one]


def test_the_lease_of_a_killed_client_is_free() -> None:
    database = MemoryDatabase(ManualClock(), {"public.t": TABLE})
    first, second = MemorySource(database), MemorySource(database)
    assert first.acquire(0.1)
    assert not second.acquire(0.1)

    database.kill_connections()

    assert second.acquire(0.1)


def test_a_wall_clock_that_jumps_leaves_the_monotonic_one_alone() -> None:
    clock = ManualClock(wall_us=1_000_000)
    before_s = clock.monotonic_s()

    clock.jump_wall_us(-400_000)

    assert (clock.wall_us(), clock.monotonic_s()) == (600_000, before_s)


def test_what_is_not_a_call_passes_by_the_faults() -> None:
    log = MemoryLog(ManualClock())
    faults = Faults(ManualClock())

    watched = faults.watch("log", log.writer("shop"))

    assert watched.exactly_once is True
    assert faults.calls == []


def test_a_log_that_never_takes_anything_fails_its_contract_in_time() -> None:
    class Slow:
        def append(self, records: list[Record], timeout_s: float) -> bool:
            return False

        def commit(self, checkpoint: object, timeout_s: float) -> bool:
            return False

    slow: LogWriter = Slow()  # type: ignore[assignment]

    with pytest.raises(AssertionError, match="append is not done"):
        append(slow, [], 0.0)
    with pytest.raises(AssertionError, match="commit is not done"):
        commit(slow, {}, 0.0)


@pytest.mark.parametrize("contract", [LogContract, SinkContract, SourceContract])
def test_a_contract_without_a_harness_says_what_is_missing(contract: type) -> None:
    fixture = contract.harness._get_wrapped_function()  # type: ignore[attr-defined]

    with pytest.raises(NotImplementedError, match="give the class a fixture"):
        fixture(contract())


def test_a_waived_claim_of_a_source_is_skipped_with_its_reason() -> None:
    harness = SimpleNamespace(waivers={"test_it": "it has no lease"})
    request = SimpleNamespace(node=SimpleNamespace(originalname="test_it"))
    fixture = SourceContract.database._get_wrapped_function()

    with pytest.raises(pytest.skip.Exception, match="waived: it has no lease"):
        fixture(SourceContract(), harness, request)


def test_a_silent_client_is_told_so_at_once() -> None:
    clock = ManualClock()
    database = MemoryDatabase(clock, {"public.t": TABLE})

    with pytest.raises(TransientError, match="heard nothing"):
        database.hear(clock.monotonic_s() - database.silence_max_s - 1)
