"""Real worker processes under a real supervisor, with a source that misbehaves as told."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import structlog

import cdc.supervisor
from cdc.clock import SystemClock
from cdc.config import read
from cdc.errors import CdcError, ConfigError
from cdc.state_dir import AlreadyRunning, Claim
from cdc.status import Daemon, PipelineStatus, WorkerStatus
from cdc.supervisor import Outcome, Supervisor
from tests.unit.cdc import supervised

PATIENCE_S = 60.0


class Running:
    """A supervisor in a thread of its own, and every status that it told."""

    def __init__(self, supervisor: Supervisor, seen: list[PipelineStatus]) -> None:
        self.supervisor = supervisor
        self.seen = seen
        self.outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.outcome = self.supervisor.run()

    def until(self, true: Callable[[dict[str, WorkerStatus]], bool]) -> dict[str, WorkerStatus]:
        """The workers by name, as soon as `true` of them."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            workers = {worker.name: worker for worker in self.supervisor.status().workers}
            if true(workers):
                return workers
            time.sleep(0.02)
        raise AssertionError(f"still not: {self.supervisor.status()}")

    def end(self) -> Outcome:
        self._thread.join(PATIENCE_S)
        assert self.outcome is not None
        return self.outcome


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*behaviours: str, until_current: bool = False) -> Running:
        running = Running(*supervisor(tmp_path, *behaviours, until_current=until_current))
        started.append(running)
        return running

    yield start
    for running in started:
        running.supervisor.kill()
        running.end()


def supervisor(
    folder: Path, *behaviours: str, until_current: bool = False
) -> tuple[Supervisor, list[PipelineStatus]]:
    sources = [
        f"  {behaviour}: {{type: {supervised.__name__}, behave: {behaviour}}}\n"
        for behaviour in behaviours
    ]
    config = read(f"name: shop\nsources:\n{''.join(sources)}", folder / "cdc.yaml")
    seen: list[PipelineStatus] = []
    made = Supervisor(
        config,
        clock=SystemClock(),
        journal=structlog.get_logger(),
        journal_format="json",
        until_current=until_current,
        watch=seen.append,
    )
    return made, seen


def test_only_workers_of_its_own_can_be_acted_on(tmp_path: Path) -> None:
    made, _ = supervisor(tmp_path, "well")

    with pytest.raises(CdcError, match='this daemon does not run "other"'):
        made.act("other", "pause")
    with pytest.raises(CdcError, match="does not run"):
        made.act("well", "pause")


def test_a_terminal_failure_stays_down_while_the_others_go_on(
    run: Callable[..., Running],
) -> None:
    running = run("well", "refused")

    workers = running.until(
        lambda workers: (
            workers["refused"].phase == "failed"
            and workers["refused"].pid is None
            and workers["well"].phase == "streaming"
        )
    )

    error = workers["refused"].last_error
    assert error is not None
    assert (error.message, error.hint) == ("the database wants nothing of this", "Ask it nicely.")
    assert workers["refused"].restarts == 0
    assert running.supervisor.status().state == "failed"
    running.supervisor.stop()
    assert running.end().problems == (
        'source "refused" failed: the database wants nothing of this. Ask it nicely.',
    )


def test_it_ends_when_nothing_is_left_to_run(run: Callable[..., Running]) -> None:
    assert len(run("refused").end().problems) == 1


def test_a_mistake_is_tried_again_and_its_text_is_not_shown(
    run: Callable[..., Running], capfd: pytest.CaptureFixture[str]
) -> None:
    running = run("mistaken")

    workers = running.until(lambda workers: workers["mistaken"].restarts > 0)

    error = workers["mistaken"].last_error
    assert error is not None
    assert error.message.startswith("unexpected ZeroDivisionError at __init__.py:")
    running.supervisor.stop()
    running.end()
    assert supervised.SECRET not in capfd.readouterr().err


def test_a_worker_that_does_not_listen_is_killed(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdc.supervisor, "STOP_S", 0.5)
    running = run("deaf", "well")
    workers = running.until(
        lambda workers: (
            workers["deaf"].progress is not None and workers["well"].phase == "streaming"
        )
    )

    running.supervisor.stop()

    assert running.end() == Outcome(())
    for worker in workers.values():
        assert not psutil.pid_exists(worker.pid or 0)


def test_until_current_ends_when_the_mark_is_durable(run: Callable[..., Running]) -> None:
    running = run("well", until_current=True)

    assert running.end() == Outcome(())
    marks = [worker.progress.marks for worker in running.seen[-1].workers if worker.progress]
    assert marks == [("until-current",)]
    assert running.seen[-1].workers[0].phase == "stopped"


def test_until_current_names_who_failed_and_stops_the_others(
    run: Callable[..., Running],
) -> None:
    outcome = run("well", "refused", until_current=True).end()

    assert [problem.partition(":")[0] for problem in outcome.problems] == [
        'source "refused" failed'
    ]


def test_what_another_daemon_runs_is_not_started(tmp_path: Path) -> None:
    made, _ = supervisor(tmp_path, "well")

    with Claim(tmp_path / "state", ["well"]), pytest.raises(AlreadyRunning):
        made.run()

    assert made.status().workers[0].pid is None


def test_an_admin_that_cannot_start_keeps_everything_from_starting(tmp_path: Path) -> None:
    class Taken:
        def start(self) -> None:
            raise ConfigError("the port is taken")

        def stop(self) -> None:
            raise AssertionError("it was never started")

    def taken(daemon: Daemon) -> Taken:
        del daemon
        return Taken()

    config = read(
        f"name: shop\nsources: {{well: {{type: {supervised.__name__}}}}}\n", tmp_path / "cdc.yaml"
    )
    made = Supervisor(
        config,
        clock=SystemClock(),
        journal=structlog.get_logger(),
        journal_format="json",
        make_admin=taken,
    )

    with pytest.raises(ConfigError, match="the port is taken"):
        made.run()

    with Claim(tmp_path / "state", ["well"]):
        assert made.status().workers[0].pid is None


def test_a_file_without_sources_and_sinks_has_nothing_to_run(tmp_path: Path) -> None:
    config = read("name: shop\n", tmp_path / "cdc.yaml")

    with pytest.raises(ConfigError, match="names no source and no sink"):
        Supervisor(
            config, clock=SystemClock(), journal=structlog.get_logger(), journal_format="json"
        )


def test_a_stop_before_the_start_starts_and_ends_in_order(tmp_path: Path) -> None:
    made, _ = supervisor(tmp_path, "well")

    made.stop()

    assert made.run().problems == ()
    assert made.status().state == "stopping"


def test_no_worker_outlives_a_supervisor_that_breaks(tmp_path: Path) -> None:
    pids: list[int] = []

    def broken(status: PipelineStatus) -> None:
        pids.extend(worker.pid for worker in status.workers if worker.pid is not None)
        raise ZeroDivisionError

    config = read(
        f"name: shop\nsources:\n  well: {{type: {supervised.__name__}}}\n", tmp_path / "cdc.yaml"
    )
    journal = structlog.get_logger()
    made = Supervisor(
        config, clock=SystemClock(), journal=journal, journal_format="json", watch=broken
    )

    with pytest.raises(ZeroDivisionError):
        made.run()

    assert pids
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_topics_of_the_log_are_told_and_nobody_has_to_watch(tmp_path: Path) -> None:
    config = read(
        f"name: shop\nsources:\n  refused: {{type: {supervised.__name__}, behave: refused}}\n",
        tmp_path / "cdc.yaml",
    )
    journal = structlog.get_logger()
    made = Supervisor(config, clock=SystemClock(), journal=journal, journal_format="json")

    assert len(made.run().problems) == 1
    assert made.topics() == []
