"""Places in transactions, however often the capture is killed inside them."""

import json
from collections.abc import Callable
from random import Random

import pytest

from cdc.batching import Limits
from cdc.capture import Capture
from cdc.checkpoint import decode_part
from cdc.event import ChangeEvent
from cdc.logs.memory import MemoryLog
from cdc.protocols import MarkCurrent
from cdc.retry import Backoff
from cdc.schema import Column, Int64, TableSchema
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from cdc.testing.clock import ManualClock
from cdc.testing.control import ListedControl
from cdc.testing.faults import Crash, Faults
from cdc.testing.memory_database import MemoryDatabase
from cdc.testing.memory_source import MemorySource

COLUMNS = (Column("id", Int64(), nullable=False), Column("n", Int64()))
TABLES = [TableSchema("shop", "public", name, COLUMNS, (0,)) for name in ("a", "b", "hidden")]
TOPICS = ("shop.public.a", "shop.public.b", "shop.transaction")


class Hide:
    """A transform that drops every change of the table `hidden`, and odd ones of `b`."""

    def bind(self, table: TableSchema) -> Callable[[ChangeEvent], ChangeEvent | None] | None:
        if table.table == "hidden":
            return lambda _: None
        return None if table.table == "a" else lambda one: None if one.ordinal % 4 == 1 else one


def captured(crash_at: int | None, *, exactly_once: bool) -> tuple[dict[str, list[str]], int]:
    """What each topic holds after a capture that died once, without what the clock decides.

    Also how many steps it took.
    """
    clock = ManualClock()
    database = MemoryDatabase(clock, {table.qualified_name: table for table in TABLES})
    log = MemoryLog(clock, partitions=1, exactly_once=exactly_once)
    faults = Faults(clock, crash_at=crash_at)
    control = ListedControl(lambda: "end" in control.marks)

    def workload() -> None:
        if not streams(log) or database.history:
            return
        rng = Random(5)
        for number in range(3):
            work = database.begin()
            for step in range(rng.choice((7, 16))):
                table = rng.choice(("public.a", "public.b", "public.b", "public.hidden"))
                work.insert(table, 100 * number + step, step)
            work.insert("public.a", 1000 + number, 0)
            work.update("public.a", (1000 + number,), {"id": 2000 + number}).commit()
        database.begin().commit()
        control.pending = [MarkCurrent("end")]

    clock.ticks = [workload]
    while True:
        if database.history and "end" not in control.marks:
            control.pending = [MarkCurrent("end")]
        try:
            Capture(
                make_source=lambda: faults.watch(
                    "source", MemorySource(database, transaction_metadata=True)
                ),
                make_writer=lambda: faults.watch("writer", log.writer("shop")),
                make_serializer=lambda: serializer(clock),
                transforms=[Hide()],
                clock=clock,
                control=control,
                backoff=Backoff(Random(1)),
                limits=Limits(bytes_max=400, rows_max=4),
            ).run()
        except Crash:
            database.kill_connections()
            faults.restart()
        else:
            break
    return {topic: [told(one.value) for one in log.stored(topic)] for topic in TOPICS}, faults.steps


def streams(log: MemoryLog) -> bool:
    """Whether it is durable that the snapshot is behind us."""
    stored = log.checkpoints.get("shop")
    part = None if stored is None else stored.parts.get("position")
    return part is not None and decode_part("position", part)["phase"] == "streaming"


def serializer(clock: ManualClock) -> DebeziumJson:
    return DebeziumJson(
        SourceIdentity("postgresql", "shop", "1"),
        Options(),
        None,
        compacts=False,
        pipeline="p",
        clock_us=clock.wall_us,
    )


def told(value: bytes | None) -> str:
    if value is None:
        return "tombstone"
    content = json.loads(value)
    for name in ("ts_ms", "ts_us", "ts_ns"):
        content.pop(name, None)
        content.get("source", {}).pop(name, None)
    return json.dumps(content)


def test_places_are_the_same_exactly_once_after_a_crash_at_any_step() -> None:
    whole, steps = captured(None, exactly_once=True)

    ends = [json.loads(each) for each in whole["shop.transaction"] if '"END"' in each]
    assert len(ends) == 4
    assert ends[-1]["event_count"] == 0
    assert all(end["event_count"] > 3 for end in ends[:-1])
    for step in range(1, steps + 1):
        assert whole == captured(step, exactly_once=True)[0], step


@pytest.mark.parametrize("topic", TOPICS)
def test_places_of_what_is_repeated_at_least_once_are_those_it_had(topic: str) -> None:
    whole, steps = captured(None, exactly_once=False)

    repeated = 0
    for step in range(1, steps + 1):
        found = captured(step, exactly_once=False)[0][topic]
        assert set(whole[topic]) == set(found), step
        repeated += len(found) - len(whole[topic])
    assert repeated > 0
