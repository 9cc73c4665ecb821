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
        self.commits = 0
        self.marks: tuple[str, ...] = ()
        self.sent: list[Message] = []
        self.problem: Problem | None = None

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def status(self) -> WorkerStatus:
        progress: CaptureProgress | DeliverProgress
        if self.kind == "source":
            progress = CaptureProgress(
                SourcePhase.STREAMING, 0, commits=self.commits, marks=self.marks
            )
        else:
            progress = DeliverProgress(
                SinkPhase.DELIVERING, 0, commits=self.commits, marks=self.marks
            )
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

    first = until.step([source, other, sink], 0.0)
    source.marks = (MARK,)
    second = until.step([source, other, sink], 0.0)
    asked_early = list(sink.sent)
    other.marks = (MARK,)
    third = until.step([source, other, sink], 0.0)

    assert (first, second, third) == (None, None, None)
    assert source.sent == other.sent == [{"mark_current": MARK}]
    assert asked_early == []
    assert sink.sent == [{"deliver_until": MARK}]


def test_it_is_done_when_every_sink_has_passed_its_mark(source: Worker, sink: Worker) -> None:
    until = UntilCurrent()
    source.marks = (MARK,)
    until.step([source, sink], 0.0)
    until.step([source, sink], 0.0)

    sink.marks = (MARK,)

    assert until.step([source, sink], 0.0) == ()


def test_a_process_that_was_started_again_is_asked_again(source: Worker, sink: Worker) -> None:
    until = UntilCurrent()
    until.step([source, sink], 0.0)

    source.pid = None
    until.step([source, sink], 0.0)
    source.pid = 2
    until.step([source, sink], 0.0)

    assert source.sent == [{"mark_current": MARK}] * 2


def test_what_was_reached_stays_reached_after_a_restart(source: Worker, sink: Worker) -> None:
    until = UntilCurrent()
    until.step([source, sink], 0.0)
    source.marks = (MARK,)
    until.step([source, sink], 0.0)

    source.pid, source.marks = 2, ()
    until.step([source, sink], 0.0)

    assert len(source.sent) == 1
    assert sink.sent == [{"deliver_until": MARK}]


def test_a_failed_worker_ends_it_with_name_and_remedy(source: Worker, sink: Worker) -> None:
    sink.phase = "failed"
    sink.problem = Problem("SinkRefused", "no such index", "Make it.", retriable=False, at_us=0)

    assert UntilCurrent().step([source, sink], 0.0) == (
        'sink "cache" failed: no such index. Make it.',
    )


def test_a_worker_that_stopped_early_ends_it(source: Worker, sink: Worker) -> None:
    source.phase = "stopped"

    assert UntilCurrent().step([source, sink], 0.0) == (
        'source "shop" ended before everything was current',
    )


def test_a_retrying_worker_is_waited_for(source: Worker, sink: Worker) -> None:
    sink.phase = "retrying"

    assert UntilCurrent().step([source, sink], 0.0) is None


def test_a_worker_that_only_retries_ends_it_when_patience_is_over(
    source: Worker, sink: Worker
) -> None:
    until = UntilCurrent(patience_s=60.0)
    source.phase = "retrying"
    source.problem = Problem(
        "TransientError", "no connection", "Start it.", retriable=True, at_us=0
    )

    verdicts = [until.step([source, sink], now_s) for now_s in (100.0, 159.9, 160.0)]

    assert verdicts == [
        None,
        None,
        (
            (
                'source "shop" made no progress for 60 s (--patience-s gives it longer): '
                "no connection. Start it."
            ),
        ),
    ]


def test_a_source_that_another_instance_has_is_given_up_with_that_reason(source: Worker) -> None:
    until = UntilCurrent(patience_s=60.0)
    source.phase = "waiting"
    until.step([source], 0.0)

    verdict = until.step([source], 60.0)

    assert verdict is not None
    assert verdict[0].endswith(": another instance works on it")


def test_patience_begins_anew_with_each_commit(source: Worker, sink: Worker) -> None:
    until = UntilCurrent(patience_s=60.0)

    verdicts = []
    for now_s in (0.0, 59.0, 118.0, 177.0):
        source.commits += 1
        verdicts.append(until.step([source, sink], now_s))

    assert verdicts == [None] * 4
    assert until.step([source, sink], 237.0) is not None


def test_patience_with_a_sink_begins_when_it_is_waited_for(source: Worker, sink: Worker) -> None:
    until = UntilCurrent(patience_s=60.0)
    sink.phase = "retrying"
    for now_s in (0.0, 59.0, 118.0):
        source.commits += 1
        until.step([source, sink], now_s)
    source.marks = (MARK,)

    begun = until.step([source, sink], 170.0)
    over = until.step([source, sink], 230.0)

    assert begun is None
    assert over == (
        (
            'sink "cache" made no progress for 60 s (--patience-s gives it longer): '
            "it is in the phase retrying"
        ),
    )


def test_a_worker_that_is_done_may_be_quiet(source: Worker, sink: Worker) -> None:
    until = UntilCurrent(patience_s=60.0)
    until.step([source, sink], 0.0)
    source.marks = (MARK,)
    until.step([source, sink], 1.0)

    for now_s in (50.0, 100.0, 150.0):
        sink.commits += 1

        assert until.step([source, sink], now_s) is None


def test_without_sources_the_sinks_are_asked_at_once(sink: Worker) -> None:
    UntilCurrent().step([sink], 0.0)

    assert sink.sent == [{"deliver_until": MARK}]


def test_a_paused_source_ends_it_with_its_reason(source: Worker, sink: Worker) -> None:
    source.phase = "paused"
    until = UntilCurrent()

    (bare,) = until.step([source, sink], 0.0) or ()
    source.problem = Problem("SourcePaused", "too much is kept", "", retriable=False, at_us=1)
    (reasoned,) = until.step([source, sink], 0.0) or ()

    assert bare == 'source "shop" is paused. Run `cdc resume shop`.'
    assert reasoned == 'source "shop" is paused: too much is kept. Run `cdc resume shop`.'
