"""The embedded log when the disk, the folder or its user are in the way."""

import errno
import logging
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from cdc.checkpoint import Checkpoint
from cdc.errors import DecodeError, LogRefused, StorageFull, TransientError
from cdc.event import Record, Topic
from cdc.logs.embedded import files, segments, upkeep
from cdc.logs.embedded.groups import Group
from cdc.protocols import Partition
from tests.unit.cdc.logs.as_nobody import forbidden
from tests.unit.cdc.logs.embedded_folder import FILLER, HISTORY, MARK, STATES, Folder, pairs


@contextmanager
def no_room_for_files() -> Iterator[None]:
    """No file may grow: the same error to the writing process as that of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- the writer -----------------------------------------------------------------------------------


def test_a_writer_is_opened_once(tmp_path: Path) -> None:
    writer = Folder(tmp_path).writer()

    with pytest.raises(RuntimeError, match="opened once"):
        writer.open()

    writer.close()


def test_a_writer_that_is_not_open_takes_nothing(tmp_path: Path) -> None:
    writer = Folder(tmp_path).log.writer("shop")

    with pytest.raises(RuntimeError, match="not open"):
        writer.append([], 1.0)


def test_a_full_disk_stops_the_writer_and_keeps_what_was_committed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    # SQLite answers as on a full disk when a file may not have more pages.
    pages = writer._db.execute("PRAGMA page_count").fetchone()[0]
    writer._db.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StorageFull, match="no space"):
        folder.put(writer, b"b", b"x" * 1_000_000)
    with pytest.raises(StorageFull, match="no space"):
        writer.append([], 1.0)

    writer.close()
    assert pairs(folder.read()) == [(0, b"a", b"a0")]


def test_a_record_that_sqlite_cannot_hold_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    writer._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)

    with pytest.raises(LogRefused, match="larger than") as refused:
        folder.put(writer, b"a", b"x" * 200_000)

    assert "columns" in refused.value.hint
    writer.close()


def test_a_folder_that_went_away_stops_the_writer_with_its_name(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.log.writer("shop")
    writer.open()
    folder.source.rename(tmp_path / "moved")

    with pytest.raises(TransientError, match=str(folder.source)):
        folder.put(writer, b"a", b"a0")

    writer.close()


def test_a_new_segment_in_a_folder_that_went_away_stops_the_writer(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    while writer._segment_bytes < folder.config.segment_bytes:
        folder.put(writer, b"filler", FILLER, HISTORY)
    folder.source.rename(tmp_path / "moved")

    with pytest.raises(TransientError, match=r"\.making: No such file"):
        folder.put(writer, b"a", b"a0")
    with pytest.raises(TransientError, match=r"\.making: No such file"):
        writer.commit(Checkpoint({}), 1.0)

    writer.close()


def test_a_partition_that_a_topic_does_not_have_is_a_mistake(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()

    with pytest.raises(ValueError, match="no partition 3"):
        writer.append([Record(STATES, b"a", b"v", MARK, sequence=1, partition=3)], 1.0)

    writer.close()


def test_records_of_many_topics_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    # Each topic alone stays below what is stored at once.
    records = [
        Record(Topic(f"shop.t{number}", compacted=True), b"k", b"x" * 250_000, MARK, sequence=1)
        for number in range(40)
    ]

    assert writer.append(records, 60.0)

    assert writer._waiting_bytes < 4 * 1024 * 1024
    assert writer.commit(Checkpoint({}), 1.0)
    assert len(folder.log.topics()) == 40
    writer.close()


def test_headers_that_never_repeat_do_not_fill_the_memory(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    records = [
        Record(STATES, b"%d" % n, b"v", MARK, (("trace", b"%d" % n),), sequence=1)
        for n in range(3000)
    ]

    assert writer.append(records, 60.0)
    assert writer.commit(Checkpoint({}), 1.0)

    assert len(writer._headers) <= 1002
    found = [record.headers[1][1] for record in folder.read()]
    assert found == [b"%d" % n for n in range(3000)]
    writer.close()


def test_a_topic_may_become_compacted_and_keep_its_records_without_a_key(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    plain = Topic(STATES.name, compacted=False)
    writer.append([Record(plain, None, b"keyless", MARK, sequence=1)], 1.0)
    for value in (b"a1", b"a2"):
        writer.append([Record(STATES, b"a", value, MARK, sequence=1)], 1.0)
    writer.commit(Checkpoint({}), 1.0)
    folder.roll(writer)

    folder.keep_up()

    assert pairs(folder.read()) == [(0, None, b"keyless"), (2, b"a", b"a2")]
    assert [info.compacted for info in folder.log.topics() if info.name == STATES.name] == [True]
    writer.close()


def test_upkeep_without_room_is_told_and_new_records_are_still_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> Generator[None]:
        yield
        raise StorageFull("no space to write the scratch file")

    folder = Folder(tmp_path, compaction_time_share=0.9)
    monkeypatch.setattr(upkeep, "run", full)
    writer = folder.log.writer("shop")
    writer.open()
    # A long pause gives upkeep the time of all its steps.
    writer._upkeep_ended_s -= 60.0

    with caplog.at_level(logging.WARNING):
        folder.put(writer, b"a", b"a0")

    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(
        "compaction of the log of source shop waits: no space to write the scratch file"
    )
    assert pairs(folder.read()) == [(0, b"a", b"a0")]
    writer.close()


def test_upkeep_goes_on_in_the_pauses_of_later_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def endless(*arguments: object) -> Generator[None]:
        while True:
            steps.append(1)
            yield

    folder = Folder(tmp_path)
    monkeypatch.setattr(upkeep, "run", endless)
    writer = folder.log.writer("shop")
    writer.open()

    # No time has passed since upkeep ended: it has none to spend.
    writer._upkeep_ended_s = time.monotonic() + 60.0
    folder.put(writer, b"a", b"a0")
    without_pause = len(steps)
    writer._upkeep_ended_s = time.monotonic() - 60.0
    folder.put(writer, b"b", b"b1")

    assert without_pause == 0
    assert len(steps) > 0
    writer.close()


def test_a_writer_that_is_closed_during_upkeep_leaves_nothing_half_made(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.put(writer, b"a", b"a1")
    folder.roll(writer)
    running = upkeep.run(folder.source, folder.config, folder.now_us)
    while not list(folder.source.glob(f"*{files.MAKING_SUFFIX}")):
        next(running)
    writer._upkeep = running

    writer.close()

    assert not list(folder.source.glob(f"*{files.MAKING_SUFFIX}"))
    assert pairs(folder.read()) == [(0, b"a", b"a0"), (1, b"a", b"a1")]


# --- groups ---------------------------------------------------------------------------------------


def test_groups_that_cannot_be_kept_are_an_error_with_its_place(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    (folder.root / files.GROUPS).write_text("a file in the way")

    with pytest.raises(TransientError, match=files.GROUPS):
        folder.read(group="sink")

    writer.close()


def test_damaged_offsets_stop_with_their_name_and_give_the_lock_back(tmp_path: Path) -> None:
    path = tmp_path / files.GROUPS / "sink.offsets"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(DecodeError, match=r"sink\.offsets is damaged"):
        Group(tmp_path, "sink").try_join()
    path.unlink()
    group = Group(tmp_path, "sink")

    assert group.try_join()
    group.leave()


def test_a_member_that_stands_by_reads_offsets_but_stores_none(tmp_path: Path) -> None:
    working, standing_by = Group(tmp_path, "sink"), Group(tmp_path, "sink")
    assert working.try_join()
    working.commit({("id", "topic"): 7})

    with pytest.raises(TransientError, match=f"in use by pid {os.getpid()}"):
        standing_by.commit({("id", "topic"): 8})

    assert standing_by.offsets("id") == {"topic": 7}
    working.leave()


def test_offsets_whose_file_was_made_a_moment_ago_are_none(tmp_path: Path) -> None:
    path = tmp_path / files.GROUPS / "sink.offsets"
    path.parent.mkdir()
    path.touch()

    assert Group(tmp_path, "sink").offsets("id") == {}


def test_a_commit_that_fails_stores_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    group = Group(tmp_path, "sink")
    assert group.try_join()
    assert group._connection is not None
    group._connection.execute("PRAGMA query_only = 1")

    with pytest.raises(TransientError, match="readonly"):
        group.commit({("id", "topic"): 7})
    group._connection.execute("PRAGMA query_only = 0")
    group.commit({("id", "topic"): 8})

    assert group.offsets("id") == {"topic": 8}
    group.leave()


def test_forgetting_a_group_that_never_committed_does_nothing(tmp_path: Path) -> None:
    Group(tmp_path, "sink").forget()

    assert not (tmp_path / files.GROUPS).exists()


# --- files ----------------------------------------------------------------------------------------


def test_long_names_stay_apart_in_file_names_of_bounded_length() -> None:
    names = [files.encoded("x" * 300 + end) for end in ("a", "b")]

    assert names[0] != names[1]
    assert all(len(name.encode()) <= 180 for name in names)


def test_a_held_lock_is_taken_again_without_waiting(tmp_path: Path) -> None:
    with files.Lock(tmp_path / "one.lock") as lock:
        assert lock.try_take()
        assert lock.try_take()
        assert not files.Lock(tmp_path / "one.lock").try_take()


def test_a_lock_that_nobody_ever_took_has_no_owner(tmp_path: Path) -> None:
    assert files.Lock(tmp_path / "one.lock").owner() == ""


def test_a_lock_that_cannot_be_made_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"one\.lock: No such file"):
        files.Lock(tmp_path / "missing" / "one.lock").try_take()


def test_a_lock_is_taken_on_a_full_disk_too(tmp_path: Path) -> None:
    with files.Lock(tmp_path / "one.lock") as lock:
        with no_room_for_files():
            assert lock.try_take()

        assert lock.owner() == ""
        assert not files.Lock(tmp_path / "one.lock").try_take()


def test_a_lock_that_cannot_be_signed_for_another_reason_is_an_error() -> None:
    # A device takes a lock, but cannot be truncated.
    with (
        files.Lock(Path("/dev/null")) as lock,
        pytest.raises(TransientError, match="/dev/null: Invalid argument"),
    ):
        lock.try_take()


def test_other_failures_of_sqlite_may_pass(tmp_path: Path) -> None:
    error = segments.translated(sqlite3.OperationalError("disk I/O error"), tmp_path)

    assert isinstance(error, TransientError)
    assert "disk I/O error" in error.message


# --- what a user is told --------------------------------------------------------------------------


def test_a_log_that_this_user_may_not_read_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.writer().close()

    with forbidden(tmp_path):
        with pytest.raises(TransientError, match="Permission denied") as topics:
            folder.log.topics()
        with pytest.raises(TransientError, match="Permission denied"):
            folder.log.reader(["*"], None).ends()

    assert "belongs to this user" in topics.value.hint


def test_a_source_that_cannot_be_read_is_found_by_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.writer().close()
    gone = files.SourceFolder(1, "gone", folder.root / "1-gone")
    monkeypatch.setattr(files, "sources", lambda root: [gone])

    findings = [found for found in folder.log.check() if found.severity == "error"]

    assert [(found.code, "No such file" in found.message) for found in findings] == [
        ("log-damaged", True)
    ]


def test_a_disk_with_too_little_room_is_found_by_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, segment_bytes=8 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=15 << 20))

    findings = {found.code: found for found in folder.log.check()}

    assert findings["log-space"].severity == "error"
    assert findings["log-space"].message == "15 MiB are free for the log"
    assert "Free at least 16 MiB" in findings["log-space"].fix


def test_records_of_a_topic_that_was_not_read_cannot_be_committed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    (stored,) = folder.read()
    writer.close()

    reader = folder.log.reader([STATES.name], "sink")
    with pytest.raises(ValueError, match=r"shop\.states/0 was not read here"):
        reader.commit([stored])
    reader.commit([])
    with pytest.raises(ValueError, match="topic other is not read here"):
        reader.seek({Partition("other", 0): 1})
    reader.close()
    with pytest.raises(RuntimeError, match="closed"):
        reader.poll(1, 0.0)


def test_a_commit_that_fails_halfway_is_rolled_back(tmp_path: Path) -> None:
    group = Group(tmp_path, "sink")
    assert group.try_join()
    assert group._connection is not None
    group._connection.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.offsets WHEN NEW.topic = 'b'"
        " BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )

    with pytest.raises(TransientError, match="no room"):
        group.commit({("id", "a"): 7, ("id", "b"): 7})

    assert group.offsets("id") == {}
    group.commit({("id", "c"): 8})
    assert group.offsets("id") == {"c": 8}
    group.leave()


def test_no_room_for_a_file_is_a_full_disk(tmp_path: Path) -> None:
    error = files.translated(OSError(errno.ENOSPC, "No space left on device"), tmp_path)

    assert isinstance(error, StorageFull)


def test_a_segment_that_cannot_be_made_whole_is_closed_again(tmp_path: Path) -> None:
    state = segments.State("id", 0, {}, {})

    with no_room_for_files(), pytest.raises(TransientError, match="disk I/O error"):
        segments.make(tmp_path / "one.making", state)

    segments.make(tmp_path / "one.making", state).close()


def test_a_segment_that_cannot_be_opened_is_an_error_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "one.segment"
    folder.mkdir()

    with pytest.raises(TransientError, match="cannot use"):
        segments.open_to_read(folder)
