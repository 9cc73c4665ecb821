"""Both loops under seeded schedules, killed at every step of them.

Each schedule has its own mix of refused calls, calls that fail after they worked, slow and partial
appends, commits without an answer, snapshots under writes, large transactions, key changes,
truncates, unsent columns, a changed structure, and documents that the store rejects.
"""

from collections import Counter

import pytest

from cdc.errors import Fenced
from cdc.protocols import Patch
from tests.fault.judge import judge
from tests.fault.world import Plan, World


def lived(plan: Plan) -> World:
    """A world after its whole schedule, judged."""
    world = World(plan)
    world.run()
    judge(world)
    return world


@pytest.mark.parametrize(
    ("seed", "exactly_once"),
    [(1, True), (2, True), (3, False)],
    ids=["exactly once, seed 1", "exactly once, seed 2", "at least once, seed 3"],
)
def test_a_crash_at_any_step_loses_nothing(seed: int, exactly_once: bool) -> None:
    steps = lived(Plan(seed, transactions=6, exactly_once=exactly_once)).faults.steps

    for step in range(1, steps + 1):
        world = lived(Plan(seed, transactions=6, exactly_once=exactly_once, crash_at=step))
        assert world.crashes == 1


@pytest.mark.longer
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("exactly_once", [True, False], ids=["exactly once", "at least once"])
@pytest.mark.parametrize("seed", range(10, 14))
def test_a_crash_at_any_step_of_more_schedules_loses_nothing(seed: int, exactly_once: bool) -> None:
    steps = lived(Plan(seed, exactly_once=exactly_once)).faults.steps

    for step in range(1, steps + 1):
        assert lived(Plan(seed, exactly_once=exactly_once, crash_at=step)).crashes == 1


@pytest.mark.longer
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("exactly_once", [True, False], ids=["exactly once", "at least once"])
def test_a_thousand_schedules_lose_nothing(exactly_once: bool) -> None:
    for seed in range(1000, 1500):
        lived(
            Plan(
                seed,
                exactly_once=exactly_once,
                crash_at=10 + seed % 300,
                # A life must be long enough for one batch, or the schedule never ends.
                crash_every=120 + seed % 170,
                clock_back=seed % 2 == 0,
                stall=seed % 5 == 0,
            )
        )


@pytest.mark.parametrize("exactly_once", [True, False], ids=["exactly once", "at least once"])
def test_crashes_again_and_again_lose_nothing(exactly_once: bool) -> None:
    crashes = 0

    for seed in range(100, 160):
        plan = Plan(
            seed,
            exactly_once=exactly_once,
            crash_at=20 + seed,
            crash_every=120 + seed,
            clock_back=seed % 2 == 0,
            stall=seed % 5 == 0,
        )
        crashes += lived(plan).crashes

    assert crashes > 100


def test_without_faults_nothing_is_written_twice_even_at_least_once() -> None:
    for seed in range(200, 220):
        world = lived(Plan(seed, exactly_once=False, faults=False))

        written = [
            (topic, stored.partition, dict(stored.headers)["at"])
            for topic in ("items", "lines", "notes")
            for stored in world.log.stored(f"shop.public.{topic}")
        ]
        assert len(set(written)) == len(written)


def test_a_log_that_stalls_does_not_cost_the_connection() -> None:
    for seed in range(300, 320):
        world = lived(Plan(seed, stall=True))

        assert world.clock.slept_s > world.database.silence_max_s
        assert world.database.disconnects == 0


def test_a_second_daemon_waits_for_the_lease_and_fences_nobody() -> None:
    for seed in range(400, 420):
        world = lived(Plan(seed, faults=False, standby=True))

        assert {"starting", "waiting", "stopping", "stopped"} == set(world.standby_phases)
        assert world.log.writers == {"shop": 1}


def test_a_second_daemon_may_take_over_at_any_back_off() -> None:
    for seed in range(420, 440):
        world = lived(Plan(seed, standby=True))

        assert world.opened > 1


def test_a_lost_lease_ends_the_session_before_anything_more_is_committed() -> None:
    for seed in range(500, 520):
        world = lived(Plan(seed, 30, faults=False, lease_lost_at=60 + seed % 40))

        assert world.opened == 2


def test_a_fenced_daemon_stays_down() -> None:
    world = World(Plan(600, faults=False, fenced_at=70))

    with pytest.raises(Fenced):
        world.run()

    assert world.opened == 1


def test_the_schedules_hold_what_makes_them_hard() -> None:
    calls: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    patches = letters = 0

    for seed in range(1, 21):
        world = lived(Plan(seed))
        calls.update(world.faults.calls)
        operations.update(change.op for one in world.database.history for change in one.changes)
        patches += sum(isinstance(m.action, Patch) for write in world.store.writes for m in write)
        letters += world.letters.count()

    assert {"c", "u", "d", "t"} == set(operations)
    assert min(operations.values()) > 10
    assert patches > 20
    assert letters > 20
    assert calls["writer.open"] > 40
    assert calls["source.keepalive"] > 100
