"""When everything that was committed before the start is in every sink."""

from typing import Literal

import pytest

from cdc.channel import Message
from cdc.lifecycle import Problem, SinkPhase, SourcePhase
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.status import WorkerStatus
from cdc.until_current import MARK, UntilCurrent


class Worker:
    """A worker that says what the test wants and remembers what it was sent."""

    def __init__(self, name: str, kind: Literal["source", "sink"]) -> None:
        self.name = name
        self.kind: Literal["source", "sink"] = kind
        self.phase = "streaming" if kind == "source" else "delivering"
        self.pid: int | None = 1
        self.marks: tuple[str, ...] = ()
        self.sent: list[Message] = []
        self.problem: Problem | None = None

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def status(self) -> WorkerStatus:
        progress: CaptureProgress | DeliverProgress
        if self.kind == "source":
            progress = CaptureProgress(SourcePhase.STREAMING, 0, marks=self.marks)
        else:
            progress = DeliverProgress(SinkPhase.DELIVERING, 0, marks=self.marks)
        return WorkerStatus(
            name=self.name,
            kind=self.kind,
            type="memory",
            phase=self.phase,
            since_us=0,
            pid=self.pid,
            restarts=0,
            rate_per_s=0.0,
            progress=progress,
            last_error=self.problem,
        )


@pytest.fixture
def source() -> Worker:
    return Worker("shop", "source")


@pytest.fixture
def sink() -> Worker:
    return Worker("cache", "sink")


def test_sinks_are_asked_only_when_every_source_is_durable(source: Worker, sink: Worker) -> None:
    other = Worker("other", "source")
    until = UntilCurrent()

    first = until.step([source, other, sink])
    source.marks = (MARK,)
    second = until.step([source, other, sink])
    asked_early = list(sink.sent)
    other.marks = (MARK,)
    third = until.step([source, other, sink])

    assert (first, second, third) == (None, None, None)
    assert source.sent == other.sent == [{"mark_current": MARK}]
    assert asked_early == []
    assert sink.sent == [{"deliver_until": MARK}]


def test_it_is_done_when_every_sink_has_passed_its_mark(source: Worker, sink: Worker) -> None:
    until = UntilCurrent()
    source.marks = (MARK,)
    until.step([source, sink])
    until.step([source, sink])

    sink.marks = (MARK,)

    assert until.step([source, sink]) == ()


def test_a_process_that_was_started_again_is_asked_again(source: Worker, sink: Worker) -> None:
    until = UntilCurrent()
    until.step([source, sink])

    source.pid = None
    until.step([source, sink])
    source.pid = 2
    until.step([source, sink])

    assert source.sent == [{"mark_current": MARK}] * 2


def test_what_was_reached_stays_reached_after_a_restart(source: Worker, sink: Worker) -> None:
    until = UntilCurrent()
    until.step([source, sink])
    source.marks = (MARK,)
    until.step([source, sink])

    source.pid, source.marks = 2, ()
    until.step([source, sink])

    assert len(source.sent) == 1
    assert sink.sent == [{"deliver_until": MARK}]


def test_a_failed_worker_ends_it_with_name_and_remedy(source: Worker, sink: Worker) -> None:
    sink.phase = "failed"
    sink.problem = Problem("SinkRefused", "no such index", "Make it.", retriable=False, at_us=0)

    assert UntilCurrent().step([source, sink]) == ('sink "cache" failed: no such index. Make it.',)


def test_a_worker_that_stopped_early_ends_it(source: Worker, sink: Worker) -> None:
    source.phase = "stopped"

    assert UntilCurrent().step([source, sink]) == (
        'source "shop" ended before everything was current',
    )


def test_a_retrying_worker_is_waited_for(source: Worker, sink: Worker) -> None:
    sink.phase = "retrying"

    assert UntilCurrent().step([source, sink]) is None


def test_without_sources_the_sinks_are_asked_at_once(sink: Worker) -> None:
    UntilCurrent().step([sink])

    assert sink.sent == [{"deliver_until": MARK}]
