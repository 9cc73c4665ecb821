"""Lines of the stdout sink, and what becomes of it when nobody takes them."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cdc.errors import SinkRefused, StorageFull
from cdc.protocols import Mutation, Upsert
from cdc.testing.sink_histories import TARGET, delete, patch, product, truncate, upsert
from sinks.blackhole import BlackholeSink
from sinks.stdout import StdoutSink

ROOT = Path(__file__).parents[3]


@contextmanager
def size_limit(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond this: what a full disk looks like to a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_each_mutation_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with closing(StdoutSink(path)) as sink:
        sink.write([upsert(1, 10), patch(1, 11, price=2.5)])
        sink.write([delete(1, 12), truncate(13)])

    about = {"target": TARGET, "id": "1"}
    assert [
        {"op": "upsert", "version": 10, **about, "document": product(1)},
        {"op": "patch", "version": 11, **about, "fields": {"price": 2.5}},
        {"op": "delete", "version": 12, **about},
        {"op": "truncate", "version": 13, "target": TARGET},
    ] == [json.loads(line) for line in path.read_text().splitlines()]


def test_without_a_path_lines_go_to_the_standard_output() -> None:
    script = (
        "from cdc.testing.sink_histories import delete\n"
        "from sinks.stdout import StdoutSink\n"
        "StdoutSink(None).write([delete(1, 12)])\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=ROOT)

    assert json.loads(done.stdout) == {"op": "delete", "target": TARGET, "version": 12, "id": "1"}


def test_an_appended_file_keeps_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("before\n")

    with closing(StdoutSink(path)) as sink:
        sink.write([delete(1, 12)])

    assert len(path.read_text().splitlines()) == 2
    assert path.read_text().startswith("before\n")


def test_what_a_full_disk_cut_off_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with closing(StdoutSink(path)) as sink:
        sink.write([upsert(1, 10)])
        before = path.read_bytes()

        with size_limit(len(before) + 20), pytest.raises(StorageFull, match="no room left"):
            sink.write([upsert(2, 11)])

        assert before == path.read_bytes()
        sink.write([upsert(2, 11)])
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_a_reader_that_went_away_ends_the_sink(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with closing(StdoutSink(fifo)) as sink:
        sink.write([delete(1, 12)])
        os.close(reader)

        with pytest.raises(SinkRefused, match="Broken pipe"):
            sink.write([delete(1, 13)])


def test_a_document_that_is_no_json_is_rejected_and_the_others_written(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    odd = Mutation(TARGET, "1", 1, Upsert({"name": object(), "other": "hunter2"}))

    with closing(StdoutSink(path)) as sink:
        (rejected,) = sink.write([odd, delete(2, 2)])

    assert (rejected.index, "hunter2" in rejected.reason) == (0, False)
    assert len(path.read_text().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    sink = StdoutSink(tmp_path / "missing" / "lines")

    assert [finding.severity for finding in sink.check()] == ["error"]
    with pytest.raises(SinkRefused, match="cannot be written"):
        sink.write([delete(1, 1)])


def test_the_blackhole_counts() -> None:
    sink = BlackholeSink()

    sink.write([upsert(1, 10), delete(1, 11)])
    sink.write([truncate(12)])

    assert (sink.mutations, sink.batches) == (3, 2)
