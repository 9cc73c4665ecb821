"""One worker process without its supervisor: how it takes orders, and how it ends."""

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdc.channel import Channel, Message, pair
from cdc.children import command_line
from cdc.processes import die_with_parent, environment
from cdc.worker import Exit, Order
from tests.unit.cdc import supervised

PATIENCE_S = 60.0


class Worker:
    def __init__(self, order: Order) -> None:
        self.channel, theirs = pair()
        with theirs:
            self.process = subprocess.Popen(
                command_line(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                env=environment(),
                stderr=subprocess.PIPE,
                text=True,
            )
        self.channel.send(order.content())
        self.messages: list[Message] = []

    def until(self, true: Callable[[Message], bool]) -> Message:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            self.messages += self.channel.receive()
            found = [message for message in self.messages if true(message)]
            if found:
                return found[0]
            time.sleep(0.02)
        raise AssertionError(self.messages)

    def until_phase(self, phase: str) -> None:
        def is_in_phase(message: Message) -> bool:
            progress = message.get("progress")
            return isinstance(progress, dict) and progress["phase"] == phase

        self.until(is_in_phase)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.channel.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Worker]]:
    started: list[Worker] = []

    def make(entry: str) -> Worker:
        text = f"name: shop\nsources:\n  shop: {entry}\n"
        order = Order("source", "shop", str(tmp_path / "cdc.yaml"), text, "json")
        started.append(Worker(order))
        return started[-1]

    yield make
    for worker in started:
        worker.close()


def well(behave: str = "well") -> str:
    return f"{{type: {supervised.__name__}, behave: {behave}}}"


def test_it_ends_in_order_when_the_supervisor_is_gone(start: Callable[[str], Worker]) -> None:
    worker = start(well())
    worker.until_phase("streaming")

    worker.channel.close()

    assert worker.process.wait(PATIENCE_S) == Exit.STOPPED


def test_sigterm_ends_it_in_order(start: Callable[[str], Worker]) -> None:
    worker = start(well())
    worker.until_phase("streaming")

    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(PATIENCE_S) == Exit.STOPPED
    worker.until_phase("stopped")


def test_a_stop_over_the_channel_ends_it_in_order(start: Callable[[str], Worker]) -> None:
    worker = start(well())
    worker.until_phase("streaming")

    worker.channel.send({"stop": True})

    assert worker.process.wait(PATIENCE_S) == Exit.STOPPED


def test_ctrl_c_is_the_supervisors_business(start: Callable[[str], Worker]) -> None:
    worker = start(well())
    worker.until_phase("streaming")

    worker.process.send_signal(signal.SIGINT)
    worker.channel.send({"mark_current": "m"})

    def has_mark(message: Message) -> bool:
        progress = message.get("progress")
        return isinstance(progress, dict) and progress["marks"] == ["m"]

    worker.until(has_mark)


def test_a_second_sigterm_ends_it_at_once(start: Callable[[str], Worker]) -> None:
    worker = start(well("deaf"))
    assert worker.process.stderr is not None
    assert "deaf\n" in iter(worker.process.stderr.readline, "")

    until_s = time.monotonic() + PATIENCE_S
    while worker.process.poll() is None and time.monotonic() < until_s:
        worker.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)

    assert worker.process.returncode == -signal.SIGTERM


def test_what_only_a_person_can_change_is_a_terminal_end(start: Callable[[str], Worker]) -> None:
    worker = start(well("refused"))

    assert worker.process.wait(PATIENCE_S) == Exit.TERMINAL
    ended = worker.until(lambda message: "ended" in message)["ended"]
    assert isinstance(ended, dict)
    assert ended["message"] == "the database wants nothing of this"
    assert ended["retriable"] is False


def test_a_configuration_that_is_wrong_by_now_is_a_terminal_end(
    start: Callable[[str], Worker],
) -> None:
    worker = start("{type: postgres, password: '${file:gone}'}")

    assert worker.process.wait(PATIENCE_S) == Exit.TERMINAL
    assert worker.process.stderr is not None
    (line,) = worker.process.stderr.read().splitlines()
    assert "gone cannot be read" in line


def test_a_worker_that_gets_no_order_ends() -> None:
    ours, theirs = pair()
    with theirs:
        process = subprocess.Popen(
            command_line(theirs.fileno()), pass_fds=[theirs.fileno()], env=environment()
        )

    ours.close()

    assert process.wait(PATIENCE_S) == Exit.STOPPED


def test_the_channel_is_all_it_is_given(start: Callable[[str], Worker]) -> None:
    worker = start(well())
    worker.until_phase("streaming")

    arguments = Path(f"/proc/{worker.process.pid}/cmdline").read_bytes().decode().split("\0")

    assert arguments[1:4] == ["-P", "-m", "cdc.worker"]
    assert arguments[4].isdigit()
    assert isinstance(worker.channel, Channel)


def test_what_a_newer_supervisor_says_and_it_does_not_know_changes_nothing(
    start: Callable[[str], Worker],
) -> None:
    worker = start(well())
    worker.until_phase("streaming")

    worker.channel.send({"sing": "loudly"})
    worker.channel.send({"stop": True})

    assert worker.process.wait(PATIENCE_S) == Exit.STOPPED


@pytest.mark.parametrize("debug", [True, False])
def test_only_debug_shows_where_a_mistake_was_made(tmp_path: Path, debug: bool) -> None:
    text = f"name: shop\nsources:\n  shop: {well('mistaken')}\n"
    order = Order("source", "shop", str(tmp_path / "cdc.yaml"), text, "json", debug=debug)
    worker = Worker(order)

    _, told = worker.process.communicate(timeout=PATIENCE_S)

    assert worker.process.returncode == Exit.RETRY
    assert ("Traceback" in told, supervised.SECRET in told) == (debug, debug)
    worker.channel.close()


def test_where_the_kernel_cannot_tell_of_a_parents_death_nothing_is_asked_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    # Asking would fail: there is no such library to load.
    monkeypatch.setattr(ctypes, "CDLL", None)

    die_with_parent()
