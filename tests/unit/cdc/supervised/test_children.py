"""The supervisor's side of one worker, with real processes and a clock that is told."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from cdc.channel import Channel, pair
from cdc.children import FIRST_S, SILENT_S, WELL_S, Child
from cdc.status import overall
from cdc.testing.clock import ManualClock
from cdc.worker import Order
from tests.unit.cdc import supervised

PATIENCE_S = 60.0
TOLD = {
    "kind": "SourceRefused",
    "message": "the slot is gone",
    "hint": "",
    "retriable": True,
    "at_us": 1,
}


def child(folder: Path, clock: ManualClock, behave: str = "well") -> Child:
    text = f"name: shop\nsources:\n  shop: {{type: {supervised.__name__}, behave: {behave}}}\n"
    order = Order("source", "shop", str(folder / "cdc.yaml"), text, "json")
    return Child(order, "test", (), clock, random.Random(1), structlog.get_logger())


def tick_until(one: Child, true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until_s, one.status()
        time.sleep(0.01)
        one.tick()


def end(one: Child) -> None:
    one.kill()
    tick_until(one, lambda: one.ended)


def test_a_killed_worker_waits_and_is_started_again(tmp_path: Path) -> None:
    clock = ManualClock()
    one = child(tmp_path, clock)
    one.start()
    tick_until(one, lambda: one.status().phase == "streaming")
    assert one.pid is not None
    first = one.pid

    os.kill(first, signal.SIGKILL)
    tick_until(one, lambda: one.pid is None)
    waiting = one.status()
    clock.pass_s(2 * FIRST_S)
    one.tick()

    assert waiting.last_error is not None
    assert waiting.last_error.message == 'the source "shop" ended with signal SIGKILL'
    assert (waiting.phase, waiting.restarts) == ("retrying", 0)
    assert one.status().restarts == 1
    assert one.pid not in {None, first}
    end(one)


def test_a_worker_that_says_nothing_does_not_look_well(tmp_path: Path) -> None:
    clock = ManualClock()
    one = child(tmp_path, clock)
    one.start()
    tick_until(one, lambda: one.status().phase == "streaming")
    assert one.pid is not None

    os.kill(one.pid, signal.SIGSTOP)
    while one.channel is not None and one.channel.receive():
        one.tick()
    clock.pass_s(SILENT_S + 1)
    one.tick()
    silent = one.status()
    os.kill(one.pid, signal.SIGCONT)
    tick_until(one, lambda: one.status().phase == "streaming")

    assert (silent.phase, overall([silent])) == ("retrying", "degraded")
    assert silent.last_error is not None
    assert silent.last_error.message == 'the source "shop" has said nothing for 31 s'
    end(one)


def test_a_worker_that_lived_well_is_started_again_soon(tmp_path: Path) -> None:
    clock = ManualClock()
    one = child(tmp_path, clock)
    for _ in range(8):
        one.start()
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
        tick_until(one, lambda: one.pid is None)
    one.start()
    assert one.pid is not None
    clock.pass_s(WELL_S)

    os.kill(one.pid, signal.SIGKILL)
    tick_until(one, lambda: one.pid is None)
    clock.pass_s(FIRST_S)
    one.tick()

    assert one.pid is not None
    end(one)


def test_a_worker_that_waits_for_its_start_can_be_stopped(tmp_path: Path) -> None:
    clock = ManualClock()
    one = child(tmp_path, clock)
    one.start()
    assert one.pid is not None
    os.kill(one.pid, signal.SIGKILL)
    tick_until(one, lambda: one.pid is None)

    one.stop()
    clock.pass_s(1000.0)
    one.tick()

    stopped = one.status()
    assert (stopped.phase, stopped.pid, one.ended) == ("stopped", None, True)


def test_a_worker_that_failed_for_good_stays_failed_when_it_is_stopped(tmp_path: Path) -> None:
    one = child(tmp_path, ManualClock(), "refused")
    one.start()
    tick_until(one, lambda: one.ended)

    one.stop()

    assert (one.terminal, one.status().phase) == (True, "failed")


def test_a_command_for_a_worker_that_does_not_run_goes_nowhere(tmp_path: Path) -> None:
    one = child(tmp_path, ManualClock())

    one.send({"mark_current": "m"})

    assert (one.pid, one.channel) == (None, None)


@pytest.mark.parametrize(
    ("code", "message"),
    [(75, "the slot is gone"), (3, 'the source "shop" ended with exit code 3')],
)
def test_what_a_worker_said_with_its_last_breath_is_heard(
    tmp_path: Path, code: int, message: str
) -> None:
    one = child(tmp_path, ManualClock())
    one.channel, theirs = pair()
    last_words = Channel(theirs)
    last_words.send({"ended": TOLD})
    one._process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])
    one._process.wait()

    one._bury(code)
    last_words.close()

    problem = one.problem
    assert problem is not None
    assert problem.message == message
    assert one.status().phase == "retrying"
