"""What a person can do to one worker: pause it, let it go on, let it begin anew."""

import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from cdc.children import Child
from cdc.errors import CdcError
from cdc.status import Action
from cdc.testing.clock import ManualClock
from cdc.worker import Order
from tests.unit.cdc.supervised.test_children import child, end, tick_until


def test_a_paused_worker_stands_still_in_its_process_until_it_is_resumed(tmp_path: Path) -> None:
    one = child(tmp_path, ManualClock())
    one.start()
    tick_until(one, lambda: one.status().phase == "streaming")
    pid = one.pid

    assert "stands still" in one.act("pause")
    tick_until(one, lambda: one.status().phase == "paused")
    assert "goes on" in one.act("resume")
    tick_until(one, lambda: one.status().phase == "streaming")

    assert one.pid == pid
    end(one)


def test_a_pause_outlives_the_process(tmp_path: Path) -> None:
    clock = ManualClock()
    one = child(tmp_path, clock)
    one.start()
    tick_until(one, lambda: one.status().phase == "streaming")
    one.act("pause")
    tick_until(one, lambda: one.status().phase == "paused")
    assert one.pid is not None

    os.kill(one.pid, signal.SIGKILL)
    tick_until(one, lambda: one.pid is None)
    clock.sleep_s(60.0)
    tick_until(one, lambda: one.pid is not None and one.status().phase == "paused")

    end(one)


def test_a_paused_source_can_begin_anew(tmp_path: Path) -> None:
    one = child(tmp_path, ManualClock())
    one.start()
    tick_until(one, lambda: one.status().phase == "streaming")
    one.act("pause")
    tick_until(one, lambda: one.status().phase == "paused")

    assert "begins anew" in one.act("heal")

    tick_until(one, lambda: one.status().phase == "streaming")
    end(one)


def test_a_failed_source_begins_anew_in_a_new_process(tmp_path: Path) -> None:
    one = child(tmp_path, ManualClock(), "refused")
    one.start()
    tick_until(one, lambda: one.terminal)

    assert "begins anew" in one.act("heal")

    assert one.order.heal
    assert not one.ended
    tick_until(one, lambda: one.terminal)


def test_a_new_beginning_that_is_durable_is_not_made_once_more(tmp_path: Path) -> None:
    one = child(tmp_path, ManualClock())
    one.order = replace(one.order, heal=True)
    one.start()
    tick_until(one, lambda: one.status().phase == "streaming")
    assert one.order.heal

    one.send({"mark_current": "m"})

    tick_until(one, lambda: not one.order.heal)
    end(one)


def test_what_cannot_be_done_now_is_refused_with_the_reason(tmp_path: Path) -> None:
    one = child(tmp_path, ManualClock())
    with pytest.raises(CdcError, match="does not run"):
        one.act("pause")

    one.start()
    tick_until(one, lambda: one.status().phase == "streaming")

    with pytest.raises(CdcError, match="is not paused"):
        one.act("resume")
    with pytest.raises(CdcError, match="is streaming, and may not have lost anything"):
        one.act("heal")
    end(one)


@pytest.mark.parametrize("action", ["pause", "resume", "heal"])
def test_nothing_of_it_can_be_done_to_a_sink(tmp_path: Path, action: Action) -> None:
    order = Order("sink", "search", str(tmp_path / "cdc.yaml"), "", "json")
    one = Child(order, "test", (), ManualClock(), random.Random(1), structlog.get_logger())

    with pytest.raises(CdcError, match=f"only sources can {action}"):
        one.act(action)
