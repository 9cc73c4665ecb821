"""Phases as tables, and waiting that can be ended."""

import ast
import inspect
import json
import time
from collections.abc import Mapping
from enum import StrEnum

import pytest

from cdc import lifecycle
from cdc.clock import SystemClock
from cdc.errors import Fenced, StorageFull
from cdc.lifecycle import (
    SINK_TRANSITIONS,
    SOURCE_TRANSITIONS,
    Problem,
    SinkPhase,
    SourcePhase,
    advance,
    wait,
)
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.protocols import TableProgress
from cdc.testing.clock import ManualClock
from cdc.testing.control import ListedControl

TABLES = [SOURCE_TRANSITIONS, SINK_TRANSITIONS]


@pytest.mark.parametrize("table", TABLES, ids=["source", "sink"])
def test_every_phase_is_in_the_table_and_can_be_reached(
    table: Mapping[StrEnum, frozenset[StrEnum]],
) -> None:
    kind = type(next(iter(table)))
    reached = {kind("starting")}
    while following := {phase for one in reached for phase in table[one]} - reached:
        reached |= following

    assert set(kind) == set(table) == reached


@pytest.mark.parametrize("table", TABLES, ids=["source", "sink"])
def test_every_phase_but_the_last_can_stop_or_fail(
    table: Mapping[StrEnum, frozenset[StrEnum]],
) -> None:
    for phase, following in table.items():
        assert phase == "stopped" or {"stopping", "stopped"} & set(following)
    assert table[type(next(iter(table)))("stopped")] == frozenset()


def test_every_phase_says_what_it_means() -> None:
    tree = ast.parse(inspect.getsource(lifecycle))
    for kind in (one for one in tree.body if isinstance(one, ast.ClassDef)):
        if kind.name not in {"SourcePhase", "SinkPhase"}:
            continue
        for member, doc in zip(kind.body[1::2], kind.body[2::2], strict=True):
            assert isinstance(member, ast.Assign)
            assert isinstance(doc, ast.Expr)


def test_a_phase_that_does_not_follow_is_our_own_mistake() -> None:
    assert advance(SOURCE_TRANSITIONS, SourcePhase.WAITING, SourcePhase.WAITING) == "waiting"
    assert advance(SINK_TRANSITIONS, SinkPhase.STARTING, SinkPhase.DELIVERING) == "delivering"
    with pytest.raises(AssertionError, match="stopped -> starting"):
        advance(SOURCE_TRANSITIONS, SourcePhase.STOPPED, SourcePhase.STARTING)


def test_waiting_ends_after_its_time() -> None:
    clock = ManualClock()

    wait(clock, ListedControl(lambda: False), 1.1)

    assert round(clock.slept_s, 6) == 1.1


def test_waiting_ends_within_a_slice_of_being_told_to_stop() -> None:
    clock = ManualClock()

    wait(clock, ListedControl(lambda: clock.slept_s > 0.3), 60.0)

    assert clock.slept_s == 0.5


def test_a_problem_carries_the_remedy() -> None:
    problem = Problem.of(Fenced("another writer has opened"), 17)

    assert problem == Problem(
        "Fenced", "another writer has opened", Fenced.default_hint, retriable=False, at_us=17
    )
    assert Problem.of(StorageFull("full", hint="delete something"), 1).retriable


def test_progress_is_json() -> None:
    problem = Problem.of(Fenced("another writer"), 17)
    capture = CaptureProgress(
        SourcePhase.SNAPSHOT,
        1,
        last_error=problem,
        tables=(TableProgress("public.t", 1, 2, done=False),),
        marks=("a",),
    )
    deliver = DeliverProgress(SinkPhase.DELIVERING, 1, last_error=problem)

    content = json.loads(json.dumps(capture.content()))

    assert content["phase"] == "snapshot"
    table = {"table": "public.t", "rows_done": 1, "rows_estimated": 2, "done": False}
    assert content["tables"] == [{**table, "bytes_done": 0, "bytes_estimated": None}]
    assert content["last_error"]["hint"] == Fenced.default_hint
    assert json.loads(json.dumps(deliver.content()))["phase"] == "delivering"


def test_the_machines_clock_moves_as_it_says() -> None:
    clock = SystemClock()
    began_s, wall_us = clock.monotonic_s(), clock.wall_us()

    clock.sleep_s(0.002)

    assert clock.monotonic_s() - began_s >= 0.002
    assert abs(wall_us / 1e6 - time.time()) < 60
