"""Readers as processes: what they send, how they fail, and that none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from cdc.config import read
from cdc.errors import CdcError, SourceRefused, StorageFull, TransientError
from cdc.processes import environment, module_command
from cdc.readers import ReaderOrder, ReaderPool
from cdc.reading import Plain, ReaderLot
from cdc.registry import Parts
from tests.unit.cdc import supervised
from tests.unit.cdc.supervised import plain, reading

PATIENCE_S = 60.0
TEXT = f"""
name: shop
sources:
  shop: {{type: {supervised.__name__}, topic_prefix: my, format: {{type: {plain.__name__}}}}}
"""

Start = Callable[[int], ReaderPool]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    pools: list[ReaderPool] = []

    def started(count: int) -> ReaderPool:
        pools.append(ReaderPool(ReaderOrder(tmp_path / "cdc.yaml", TEXT, "shop"), count, "opening"))
        return pools[-1]

    yield started
    for pool in pools:
        pool.close()


def until(pool: ReaderPool, done: Callable[[list[ReaderLot]], bool]) -> list[ReaderLot]:
    until_s = time.monotonic() + PATIENCE_S
    lots: list[ReaderLot] = []
    while not done(lots):
        assert time.monotonic() < until_s, "the readers did not get there in time"
        lots += pool.poll(0.5)
    return lots


def ended(lots: list[ReaderLot]) -> list[int]:
    return [lot.task for lot in lots if lot.ended]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_records_are_those_that_the_capture_itself_would_make(start: Start, tmp_path: Path) -> None:
    config = read(TEXT, tmp_path / "cdc.yaml")
    with closing(Parts(config)) as parts:
        expected = parts.serializer("shop").encode([reading.row(0, "a"), reading.row(-1, "b")])
    pool = start(1)

    pool.give(("rows", 1))
    first, *_ = until(pool, lambda lots: len(ended(lots)) == 1)

    assert [record.topic.name for record in expected] == [
        record.topic.name for record in first.records
    ]
    assert [(record.key, record.mark, record.headers) for record in expected] == [
        (record.key, record.mark, record.headers) for record in first.records
    ]
    assert (first.rows, first.size_bytes, first.note) == (2, 10, ("opening", 0))


def test_a_structure_comes_once_and_before_its_first_row_whoever_sends_it(start: Start) -> None:
    pool = start(2)

    for _ in range(4):
        pool.give(("rows", 5))
    lots = until(pool, lambda lots: len(ended(lots)) == 4)

    records = [record for lot in lots for record in lot.records]
    assert [record.topic.internal for record in records] == [True] + [False] * 40


def test_lots_of_a_task_come_in_order_and_room_is_for_two_tasks_a_reader(start: Start) -> None:
    pool = start(2)
    rooms = [pool.room]
    tasks = []
    for _ in range(4):
        tasks.append(pool.give(("rows", 20)))
        rooms.append(pool.room)

    lots = until(pool, lambda lots: len(ended(lots)) == 4)

    assert rooms == [4, 3, 2, 1, 0]
    assert pool.room == 4
    for task in tasks:
        notes = [lot.note for lot in lots if lot.task == task and not lot.ended]
        assert [("opening", number) for number in range(20)] == notes


def test_a_row_larger_than_any_buffer_arrives(start: Start) -> None:
    pool = start(2)
    for _ in range(4):
        pool.give(("large", 20_000_000))

    lots = until(pool, lambda lots: len(ended(lots)) == 4)

    sizes = [len(record.value or b"") for lot in lots for record in lot.records if record.mark]
    assert len(sizes) == 4
    assert min(sizes) > 20_000_000


@pytest.mark.parametrize(
    ("task", "kind", "message", "retry_after_s"),
    [
        (("refused", 0), SourceRefused, "the database wants nothing of this", None),
        (("later", 3), TransientError, "not now", 3.0),
        (("full", 0), StorageFull, "no room is left", None),
        (("lost", 0), TransientError, "somebody else has it", None),
        (("foreign", 0), CdcError, "an error of a third party", None),
        (("mistaken", 0), TransientError, "unexpected ZeroDivisionError at reading.py", None),
        (("killed", 0), TransientError, "ended with signal SIGKILL", None),
    ],
)
def test_what_a_reader_raises_reaches_the_source(
    start: Start, task: Plain, kind: type[CdcError], message: str, retry_after_s: float | None
) -> None:
    pool = start(1)
    pool.give(task)

    with pytest.raises(kind, match=message) as caught:
        until(pool, lambda lots: False)

    assert supervised.SECRET not in str(caught.value)
    assert retry_after_s == getattr(caught.value, "retry_after_s", None)


def test_closing_ends_readers_at_once_whatever_they_do(start: Start) -> None:
    pool = start(2)
    pool.give(("deaf", 0))
    (lot,) = until(pool, lambda lots: len(lots) == 1)
    assert isinstance(lot.note, int)

    began_s = time.monotonic()
    pool.close()
    pool.close()

    assert time.monotonic() - began_s < 2.0
    assert not alive(lot.note)


def test_readers_die_with_the_capture(tmp_path: Path) -> None:
    """Killed with SIGKILL, it cannot close anything."""
    program = f"""
from pathlib import Path
from cdc.readers import ReaderOrder, ReaderPool
pool = ReaderPool(ReaderOrder(Path({str(tmp_path / "cdc.yaml")!r}), {TEXT!r}, "shop"), 1, None)
pool.give(("deaf", 0))
while not (lots := pool.poll(1.0)):
    pass
print(lots[0].note, flush=True)
pool.poll(600)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as capture:
        assert capture.stdout is not None
        reader = int(capture.stdout.readline())
        assert alive(reader)

        capture.kill()

    until_s = time.monotonic() + PATIENCE_S
    while alive(reader):
        assert time.monotonic() < until_s, "the reader outlived its capture"


def test_a_reader_that_is_gone_takes_no_task(start: Start) -> None:
    pool = start(1)
    process = pool._readers[0].process
    process.kill()
    process.wait()

    with pytest.raises(TransientError, match="ended with signal SIGKILL"):
        pool.give(("rows", 1))


def test_why_a_reader_ended_is_heard_when_it_is_given_a_task_too(start: Start) -> None:
    """The pipe is broken by then, but what was said before is still in it."""
    pool = start(1)
    process = pool._readers[0].process
    pool.give(("refused", 0))
    process.wait()

    with pytest.raises(SourceRefused, match="the database wants nothing of this"):
        pool.give(("rows", 1))


def test_a_reader_that_cannot_be_started_leaves_no_other_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second command is one that ends before it takes its order."""
    started: list[int] = []

    def command(module: str, descriptor: int) -> list[str]:
        started.append(descriptor)
        return module_command(module, descriptor) if len(started) == 1 else ["/bin/false"]

    monkeypatch.setattr("cdc.readers.module_command", command)
    # Larger than a socket's buffer, so that sending it notices.
    order = ReaderOrder(tmp_path / "cdc.yaml", TEXT + "#" * 4_000_000, "shop")
    began_children = set(psutil.Process().children())

    with pytest.raises(TransientError, match="ended with exit code 1"):
        ReaderPool(order, 2, None)

    assert set(psutil.Process().children()) <= began_children


def test_a_reader_that_closes_its_end_and_lives_on_is_lost_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deaf to SIGTERM, it is killed."""
    program = (
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "os.close(int(sys.argv[1])); time.sleep(600)"
    )
    monkeypatch.setattr(
        "cdc.readers.module_command", lambda _, fd: [sys.executable, "-c", program, str(fd)]
    )
    pool = ReaderPool(ReaderOrder(tmp_path / "cdc.yaml", TEXT, "shop"), 1, None)
    process = pool._readers[0].process

    with pytest.raises(TransientError, match="has closed its connection"):
        until(pool, lambda lots: False)
    pool.close()

    assert process.returncode == -signal.SIGKILL
