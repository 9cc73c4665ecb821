"""A whole pipeline in memory under a seeded schedule of faults, and the judge of what it wrote.

One world is one database with a workload, one log, one store. `run` drives a capture until a mark
set behind the last transaction is durable, then a delivery until the log's end is passed, and
starts each again whenever it is killed. The judge reads the database's history and the log's
records, never the loops' own counters.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from random import Random
from typing import Final

from cdc.batching import Limits
from cdc.capture import Capture
from cdc.checkpoint import decode_part
from cdc.deliver import Deliver, DeliverOptions
from cdc.lifecycle import Command, DeliverUntil
from cdc.logs.memory import MemoryLog, Outcome, Script
from cdc.projection import Mapping, Projection, TableMapping
from cdc.protocols import LogWriter, MarkCurrent, Mutation, Upsert
from cdc.retry import Backoff
from cdc.schema import Column, Int64, String, TableSchema
from cdc.testing.clock import ManualClock
from cdc.testing.control import ListedControl
from cdc.testing.faults import Action, Crash, Faults
from cdc.testing.memory_database import MemoryDatabase, MemoryTransaction
from cdc.testing.memory_sink import MemoryDeadLetters, MemorySink, MemoryStore
from cdc.testing.memory_source import MemorySource
from cdc.testing.plain_serializer import PlainSerializer, StoredSchemas

STEPS_MAX: Final = 30_000
"""A schedule that takes more steps does not end."""

ITEMS: Final = TableSchema(
    "shop",
    "public",
    "items",
    (
        Column("id", Int64(), nullable=False),
        Column("name", String()),
        Column("body", String()),
    ),
    key=(0,),
    partial=True,
)
ITEMS_ALTERED: Final = TableSchema(
    "shop", "public", "items", (*ITEMS.columns, Column("color", String())), key=(0,), partial=True
)
LINES: Final = TableSchema(
    "shop",
    "public",
    "lines",
    (
        Column("order", Int64(), nullable=False),
        Column("line", Int64(), nullable=False),
        Column("text", String()),
    ),
    key=(0, 1),
)
NOTES: Final = TableSchema("shop", "public", "notes", (Column("text", String()),))
POISON: Final = "poison"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schedule is made of; everything follows from it."""

    seed: int
    transactions: int = 8
    exactly_once: bool = True
    faults: bool = True
    stall: bool = False
    crash_at: int | None = None
    crash_every: int | None = None
    clock_back: bool = False
    standby: bool = False
    lease_lost_at: int | None = None
    fenced_at: int | None = None


@dataclass(slots=True)
class World:
    """See the module."""

    plan: Plan
    rng: Random = field(init=False)
    clock: ManualClock = field(default_factory=ManualClock)
    database: MemoryDatabase = field(init=False)
    log: MemoryLog = field(init=False)
    store: MemoryStore = field(init=False)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    faults: Faults = field(init=False)
    committed: int = 0
    streamed: bool = False
    captured: bool = False
    capture_steps: int = 0
    crashes: int = 0
    opened: int = 0
    standby_phases: list[str] = field(default_factory=list)
    poisoned: set[object] = field(default_factory=set)

    def __post_init__(self) -> None:
        plan = self.plan
        self.rng = Random(plan.seed)
        tables = {table.qualified_name: table for table in (ITEMS, LINES, NOTES)}
        self.database = MemoryDatabase(self.clock, tables, on_confirm=self._judge_ack)
        script = self._log_script() if plan.faults else Script()
        self.log = MemoryLog(self.clock, exactly_once=plan.exactly_once, script=script)
        self.store = MemoryStore(rejects=_rejects)
        self.faults = Faults(
            self.clock,
            crash_at=plan.crash_at,
            actions=self._actions() if plan.faults else {},
            on_step=self._step,
        )
        seeding = self.database.begin()
        for number in range(5):
            seeding.insert("public.items", number, f"item {number}", "b" * 5)
        seeding.insert("public.lines", 1, 1, "first").insert("public.notes", "a note")
        seeding.commit()

    # --- the schedule -----------------------------------------------------------------------------

    def run(self) -> None:
        """Capture everything, then deliver everything; die and come back as planned."""
        self._live(self._capture)
        self.captured = True
        self.capture_steps = self.faults.steps
        self._live(self._deliver)

    def _live(self, work: Callable[[], None]) -> None:
        while True:
            try:
                work()
            except Crash:
                self._die()
            else:
                return

    def _die(self) -> None:
        self.crashes += 1
        self.database.kill_connections()
        if self.plan.clock_back:
            self.clock.jump_wall_us(-3_600_000_000)
        self.faults.restart()
        if self.plan.crash_every is not None:
            self.faults.crash_at = self.faults.steps + self.plan.crash_every

    def _capture(self) -> None:
        # The mark is set behind the last transaction, in whatever life that is.
        control = WorldControl(lambda: MarkCurrent("end") if self._workload_is_over() else None)
        # Time passes when somebody waits; then the workload goes on.
        self.clock.ticks = [self._transact]
        Capture(
            make_source=lambda: self.faults.watch("source", MemorySource(self.database)),
            make_writer=self._writer,
            make_serializer=self._serializer,
            transforms=(),
            clock=self.clock,
            control=control,
            backoff=Backoff(Random(1)),
            limits=Limits(bytes_max=400),
        ).run()

    def _deliver(self) -> None:
        control = WorldControl(lambda: DeliverUntil("all"))
        self.clock.ticks = []
        topics = [f"shop.public.{name}" for name in ("items", "lines", "notes")]
        Deliver(
            make_reader=lambda: self.faults.watch("reader", self.log.reader(topics, "search")),
            make_sink=lambda: self.faults.watch("sink", MemorySink(self.store, self.faults.step)),
            decode=self._serializer().decode,
            projection=Projection(
                Mapping(mappings={"public.notes": TableMapping(id="note:{text}")})
            ),
            dead_letters=self.faults.watch("letters", self.letters),
            clock=self.clock,
            control=control,
            backoff=Backoff(Random(2)),
            options=DeliverOptions(records_max=5),
        ).run()

    def _writer(self) -> LogWriter:
        self.opened += 1
        return self.faults.watch("writer", self.log.writer("shop"))

    def _serializer(self) -> PlainSerializer:
        return PlainSerializer("shop", StoredSchemas(self.log.stored))

    def _step(self) -> None:
        assert self.faults.steps < STEPS_MAX, "the schedule does not end"
        self.clock.pass_s(0.005)
        if self.rng.random() < 0.1:
            self._transact()
        if self.faults.steps == self.plan.lease_lost_at:
            self.database.lease = None
        if self.faults.steps == self.plan.fenced_at:
            self.log.writer("shop").open()
        # Without faults nobody gives the lease up before the end, and then nobody shall take it.
        open_to_others = self.plan.faults or self.database.lease is not None
        due = open_to_others and self.faults.steps % 50 == 0
        if self.plan.standby and not self.captured and due:
            self._stand_by()

    def _stand_by(self) -> None:
        # A second daemon of the same name looks whether it may work, and goes again.
        control = ListedControl(lambda: len(control.phases) > 1)
        Capture(
            make_source=lambda: MemorySource(self.database),
            make_writer=self._writer,
            make_serializer=self._serializer,
            transforms=(),
            clock=ManualClock(),
            control=control,
            backoff=Backoff(Random(3)),
        ).run()
        self.standby_phases += control.phases

    def _streams(self) -> bool:
        if not self.streamed and (stored := self.log.checkpoints.get("shop")) is not None:
            part = stored.parts.get("position")
            self.streamed = (
                part is not None and decode_part("position", part)["phase"] == "streaming"
            )
        return self.streamed

    def _workload_is_over(self) -> bool:
        return self.committed >= self.plan.transactions

    def _judge_ack(self, position: int) -> None:
        part = self.log.checkpoints["shop"].parts["position"]
        assert part is not None
        stored = decode_part("position", part)["position"]
        assert isinstance(stored, int)
        assert position <= stored, "the database was told to forget what is not durable"

    # --- faults -----------------------------------------------------------------------------------

    def _log_script(self) -> Script:
        rng = Random(self.plan.seed + 1)
        takes: Iterator[int | None] = iter([rng.choice([None, None, 0, 1, 2]) for _ in range(60)])
        outcomes: list[Outcome] = []
        for _ in range(12):
            outcomes += rng.choice(
                [
                    ["done"],
                    ["done"],
                    ["later", "later", "done"],
                    ["done unanswered"],
                    ["undone unanswered"],
                ]
            )
        if self.plan.stall:
            # Longer than the database waits to hear from us.
            takes = chain(takes, repeat(0, 60))
            outcomes[3:3] = ["later"] * 60
        return Script(takes, iter(outcomes))

    def _actions(self) -> dict[str, Iterator[Action]]:
        rng = Random(self.plan.seed + 2)

        def some(count: int, *choices: Action) -> Iterator[Action]:
            return iter(
                [rng.choice([*choices, "work", "work", "work", "work"]) for _ in range(count)]
            )

        return {
            "source.acquire": some(3, "hold"),
            "source.start": some(2, "reject", "fail after"),
            "source.poll": some(20, "reject", "fail after", "slow"),
            "source.ack": some(10, "reject", "fail after"),
            "writer.open": some(3, "reject", "fail after", "slow"),
            "reader.poll": some(10, "reject", "fail after"),
            "reader.commit": some(6, "reject", "fail after"),
            "reader.ends": some(2, "reject"),
            "sink.apply_schema": some(4, "reject", "fail after"),
            "sink.write": some(10, "reject", "fail after", "slow"),
            "letters.put": some(4, "reject", "fail after"),
        }

    # --- the workload -----------------------------------------------------------------------------

    def _transact(self) -> None:
        # Two transactions may fall into the snapshot; the others are there to be streamed.
        if self._workload_is_over() or (self.committed >= 2 and not self._streams()):
            return
        self.committed += 1
        rng, number, transaction = self.rng, self.committed, self.database.begin()
        if number == 4:
            transaction.alter(ITEMS_ALTERED, None)
        ids = [key[0] for key in self.database.rows["public.items"]]
        for place in range(rng.choice([1, 1, 2, 3, 9])):
            self._change(transaction, ids, number * 100 + place)
        if rng.random() < 0.15:
            transaction.truncate("public.lines")
        transaction.insert("public.lines", number + 10, 1, f"line {number}")
        transaction.insert("public.notes", f"note {number}")
        transaction.commit()

    def _change(self, work: MemoryTransaction, ids: list[object], new: int) -> None:
        rng = self.rng
        kind = rng.choice(["insert", "name", "name", "body", "key", "delete", "poison"])
        colors = () if self.committed < 4 else ("red",)
        if kind in {"insert", "poison"} or not ids:
            name = POISON if kind == "poison" else f"item {new}"
            work.insert("public.items", new, name, "b" * rng.randrange(9), *colors)
            ids.append(new)
            if kind == "poison":
                self.poisoned.add(new)
            return
        key = (chosen := rng.choice(ids),)
        if kind == "name":
            work.update("public.items", key, {"name": f"name {new}"}, unsent=("body",))
        elif kind == "body":
            work.update("public.items", key, {"name": f"both {new}", "body": f"body {new}"})
        elif kind == "key":
            work.update("public.items", key, {"id": new})
            ids[ids.index(chosen)] = new
            if chosen in self.poisoned:
                self.poisoned.add(new)
        else:
            work.delete("public.items", key)
            ids.remove(chosen)


class WorldControl(ListedControl):
    """Stops when its one mark is reached; gives the mark's command as soon as there is one."""

    def __init__(self, command: Callable[[], MarkCurrent | DeliverUntil | None]) -> None:
        super().__init__(lambda: bool(self.marks))
        self._command = command
        self._given = False

    def commands(self) -> Sequence[Command]:
        command = None if self._given else self._command()
        self._given = self._given or command is not None
        return [] if command is None else [command]


def _rejects(mutation: Mutation) -> str | None:
    document = mutation.action.document if isinstance(mutation.action, Upsert) else {}
    return "the store does not like it" if document.get("name") == POISON else None
