"""The memory parts are as unforgiving as they say."""

from dataclasses import replace

import pytest

from cdc.checkpoint import Checkpoint
from cdc.errors import DecodeError, PositionLost, SchemaError, SinkRefused, TransientError
from cdc.event import ChangeEvent, Stored, Transaction
from cdc.protocols import Delete, Mutation, Patch, Rejected, Truncate, Upsert
from cdc.schema import Column, Int64, TableSchema
from cdc.testing.clock import ManualClock
from cdc.testing.control import ListedControl
from cdc.testing.faults import Crash, Faults
from cdc.testing.memory_database import MemoryDatabase
from cdc.testing.memory_sink import MemoryDeadLetters, MemorySink, MemoryStore
from cdc.testing.memory_source import MemorySource
from cdc.testing.plain_serializer import PlainSerializer, StoredSchemas

TABLE = TableSchema("d", "public", "t", (Column("id", Int64(), nullable=False),), key=(0,))


def database(clock: ManualClock | None = None) -> MemoryDatabase:
    return MemoryDatabase(clock or ManualClock(), {"public.t": TABLE})


def test_what_was_acknowledged_cannot_be_read_again() -> None:
    one = database()
    began = one.create_slot()
    one.begin().insert("public.t", 1).commit()

    one.confirm(one.end)

    assert one.wal == []
    with pytest.raises(PositionLost, match="pruned"):
        one.resume(began)
    with pytest.raises(PositionLost, match="ahead"):
        one.resume(one.end + 1)


def test_an_acknowledgement_that_goes_back_is_refused() -> None:
    one = database()
    began = one.create_slot()
    one.begin().insert("public.t", 1).commit()
    one.confirm(one.end)

    with pytest.raises(AssertionError, match="went back"):
        one.confirm(began)


def test_a_silent_client_is_hung_up_on() -> None:
    clock = ManualClock()
    one = database(clock)
    source = MemorySource(one)
    source.acquire(0.1)

    clock.sleep_s(one.silence_max_s + 1)

    with pytest.raises(TransientError, match="heard nothing"):
        source.keepalive()
    assert one.disconnects == 1


def test_a_checkpoint_without_its_position_is_refused() -> None:
    source = MemorySource(database())
    source.acquire(0.1)

    with pytest.raises(DecodeError, match="no position"):
        source.start(Checkpoint({"other": b"x"}))


def test_a_transaction_that_cannot_be_verified_is_refused() -> None:
    one = database()
    source = MemorySource(one, batch_changes_max=2)
    source.acquire(0.1)
    source.start(None)
    while source.poll(0.0) is not None:
        pass
    one.begin().insert("public.t", 1).insert("public.t", 2).insert("public.t", 3).commit()
    batch = source.poll(0.0)
    assert batch is not None
    one.wal.clear()

    with pytest.raises(PositionLost, match="cannot be read again"):
        source.start(batch.checkpoint)


def test_the_memory_parts_have_nothing_to_complain_about() -> None:
    findings = [*MemorySource(database()).check(), *MemorySink(MemoryStore()).check()]

    assert [finding.severity for finding in findings] == ["ok", "ok"]


def test_the_contents_are_in_key_order() -> None:
    one = database()
    one.begin().insert("public.t", 2).insert("public.t", 1).commit()

    assert one.contents() == {"public.t": [(1,), (2,)]}


def test_an_older_mutation_changes_nothing_and_a_truncate_remembers() -> None:
    store = MemoryStore()
    sink = MemorySink(store)
    sink.apply_schema(TABLE)

    rejected = sink.write(
        [
            Mutation("public.t", "1", 5, Upsert({"id": 1})),
            Mutation("public.t", "1", 4, Upsert({"id": 99})),
            Mutation("public.t", "2", 3, Upsert({"id": 2})),
            Mutation("public.t", "", 4, Truncate()),
            Mutation("public.t", "2", 4, Upsert({"id": 2})),
            Mutation("public.t", "1", 6, Patch({"id": 7})),
            Mutation("public.t", "3", 7, Patch({"id": 3})),
            Mutation("public.t", "1", 8, Delete()),
            Mutation("public.t", "1", 7, Upsert({"id": 1})),
        ]
    )

    assert rejected == [Rejected(6, "there is no document to change")]
    assert store.documents == {}


def test_a_store_refuses_fields_and_structures_it_does_not_know() -> None:
    sink = MemorySink(MemoryStore(refuses_schema=frozenset({"public.t"})))

    with pytest.raises(SchemaError):
        sink.apply_schema(TABLE)
    with pytest.raises(SinkRefused, match="no structure was applied"):
        sink.write([Mutation("public.t", "1", 1, Upsert({"id": 1}))])
    sink.close()


def test_dead_letters_are_closed_without_a_word() -> None:
    letters = MemoryDeadLetters()

    letters.close()

    assert letters.count() == 0


def test_a_crash_happens_at_its_step_and_nothing_works_behind_it() -> None:
    steps: list[int] = []
    faults = Faults(ManualClock(), crash_at=3, on_step=lambda: steps.append(1))
    letters = faults.watch("letters", MemoryDeadLetters())

    letters.count()
    with pytest.raises(Crash):
        letters.count()
    with pytest.raises(Crash):
        letters.close()

    assert len(steps) == 2
    faults.restart()
    assert letters.count() == 0
    assert faults.calls == ["letters.count", "letters.count"]


def test_steps_need_no_company() -> None:
    faults = Faults(ManualClock())

    faults.step()

    assert faults.steps == 1


def test_the_script_refuses_holds_slows_and_fails_behind() -> None:
    clock = ManualClock()
    faults = Faults(
        clock,
        actions={
            "source.acquire": iter(["reject", "hold", "slow", "fail after"]),
        },
        slow_s=3.0,
    )
    one = database(clock)
    source = faults.watch("source", MemorySource(one))

    with pytest.raises(TransientError, match="refused"):
        source.acquire(0.5)
    held = source.acquire(0.5)
    slow = source.acquire(0.5)
    with pytest.raises(TransientError, match="after it worked"):
        source.acquire(0.5)

    assert (held, slow, clock.slept_s) == (False, True, 3.5)


def test_a_control_that_heard_nothing_has_no_marks() -> None:
    assert ListedControl(lambda: False).marks == ()


def test_records_that_are_no_plain_changes_are_refused() -> None:
    serializer = PlainSerializer("shop", StoredSchemas(lambda _topic: []))
    headers = (("cdc", b"1." + TABLE.id.encode()), ("at", b"1:0:0"))

    with pytest.raises(SchemaError, match="not known"):
        serializer.decode(Stored("t", 0, 0, b"[1]", b"{}", headers, 0))
    assert serializer.decode(Stored("t", 0, 0, b"[1]", b"{}", (), 0)) is None


def test_a_delete_without_a_key_has_no_tombstone() -> None:
    keyless = replace(TABLE, key=())
    serializer = PlainSerializer("shop", StoredSchemas(lambda _topic: []))

    records = serializer.encode([ChangeEvent("d", keyless, (1,), None, Transaction("7", 0))])

    assert [(record.key, record.value is None) for record in records[1:]] == [(None, False)]


def test_a_damaged_plain_record_is_refused() -> None:
    known = Stored("__schemas", 0, 0, TABLE.id.encode(), TABLE.canonical().encode(), (), 0)
    serializer = PlainSerializer("shop", StoredSchemas(lambda _topic: [known]))
    headers = (("cdc", b"1." + TABLE.id.encode()), ("at", b"1:0:0"))

    with pytest.raises(DecodeError, match="no plain change"):
        serializer.decode(Stored("t", 0, 0, b"[1]", b"{}", headers, 0))
