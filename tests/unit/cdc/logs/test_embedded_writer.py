"""What only the embedded log promises: locks, files, sources beside each other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdc.checkpoint import Checkpoint
from cdc.errors import DecodeError, LogRefused, PositionLost, TransientError
from cdc.event import Record, Topic
from cdc.logs.embedded import files
from cdc.protocols import Partition
from tests.unit.cdc.logs.embedded_folder import HISTORY, MARK, STATES, Folder, pairs

HOLD = """
import sys
from cdc.logs.embedded.files import Lock
from pathlib import Path
lock = Lock(Path(sys.argv[1]))
assert lock.try_take()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    first = folder.writer()

    with pytest.raises(TransientError, match=f"in use by pid {os.getpid()}"):
        folder.writer()

    first.close()
    folder.writer().close()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.writer().close()
    lock = folder.source / "writer.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TransientError, match=f"in use by pid {holder.pid}"):
            folder.writer()

        holder.kill()
        holder.wait()

    folder.writer().close()


def test_only_this_user_can_read_the_log(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.roll(writer)
    reader = folder.log.reader(["*"], "sink")
    reader.commit(reader.poll(1, 1.0))

    modes = {path: path.stat().st_mode & 0o777 for path in [folder.root, *folder.root.rglob("*")]}

    assert {path: 0o700 if path.is_dir() else 0o600 for path in modes} == modes
    reader.close()
    writer.close()


def test_a_new_segment_goes_on_where_the_old_one_ended(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.roll(writer)
    folder.roll(writer)
    folder.put(writer, b"a", b"a1")
    writer.close()

    writer = folder.log.writer("shop")
    stored = writer.open()

    assert stored == Checkpoint({"position": b"%d" % folder.sequence})
    assert pairs(folder.read()) == [(0, b"a", b"a0"), (1, b"a", b"a1")]
    assert [one.offset for one in folder.read(HISTORY)] == list(range(folder.sequence - 2))
    writer.close()


def test_a_segment_that_is_old_enough_is_closed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, segment_age_s=60)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.now_us += 61_000_000
    folder.put(writer, b"a", b"a1")
    folder.now_us += 30_000_000
    folder.put(writer, b"a", b"a2")

    assert len(folder.segments()) == 2
    writer.close()


def test_upkeep_runs_by_itself_between_commits(tmp_path: Path) -> None:
    folder = Folder(tmp_path, compaction_time_share=0.9)
    writer = folder.log.writer("shop")
    writer.open()

    for number in range(400):
        folder.put(writer, b"a", b"%d " % number + b"x" * 4000)

    assert len(folder.read()) < 200
    writer.close()


def test_sources_have_partitions_of_their_own_in_a_shared_topic(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    schemas = Topic("__cdc.shop.schemas", compacted=True, internal=True)
    for source in ("shop", "crm/eu"):
        writer = folder.log.writer(source)
        writer.open()
        writer.append([Record(schemas, b"k", source.encode(), MARK, sequence=1)], 1.0)
        writer.commit(Checkpoint({"position": b"1"}), 1.0)
        writer.close()

    reader = folder.log.reader([schemas.name], "sink")
    found = [*reader.poll(9, 1.0), *reader.poll(9, 1.0)]
    reader.commit(found)

    assert {(0, b"shop"), (1, b"crm/eu")} == {(one.partition, one.value) for one in found}
    assert {Partition(schemas.name, 0): 1, Partition(schemas.name, 1): 1} == reader.positions()
    assert [(info.name, info.partitions, info.records) for info in folder.log.topics()] == [
        (schemas.name, 2, 2)
    ]
    reader.close()


def test_a_compacted_topic_takes_no_record_without_a_key(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()

    with pytest.raises(LogRefused, match=STATES.name):
        writer.append([Record(STATES, None, b"v", MARK, sequence=1)], 1.0)

    writer.close()


def test_of_two_readers_of_a_group_one_works_and_the_other_takes_over(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.put(writer, b"b", b"b1")
    first, second = (folder.log.reader([STATES.name], "sink") for _ in range(2))
    found = first.poll(1, 1.0)

    assert list(second.poll(9, 0.0)) == []
    with pytest.raises(TransientError, match="in use"):
        folder.log.forget("sink")
    first.commit(found)
    first.close()

    assert pairs(second.poll(9, 1.0)) == [(1, b"b", b"b1")]
    second.close()
    writer.close()


def test_a_log_that_was_restored_from_an_older_copy_is_noticed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    writer.close()
    segment = folder.source / folder.segments()[0].file
    copy = segment.read_bytes()
    writer = folder.writer()
    folder.put(writer, b"a", b"a1")
    folder.read(group=None)
    reader = folder.log.reader([STATES.name], "sink")
    reader.commit(reader.poll(9, 1.0))
    reader.close()
    writer.close()
    files.remove_segment(segment)
    segment.write_bytes(copy)

    reader = folder.log.reader([STATES.name], "sink")
    with pytest.raises(PositionLost, match="ends at offset 1"):
        reader.poll(9, 1.0)
    reader.close()


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_a_damaged_segment_stops_with_its_name(tmp_path: Path, content: bytes) -> None:
    folder = Folder(tmp_path)
    folder.writer().close()
    segment = folder.source / folder.segments()[0].file
    segment.write_bytes(content)

    with pytest.raises(DecodeError, match=segment.name):
        folder.writer()
    errors = [found for found in folder.log.check() if found.severity == "error"]
    assert [found.code for found in errors] == ["log-damaged"]


def test_a_folder_that_cannot_be_made_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file in the way")
    folder = Folder(tmp_path)

    with pytest.raises(TransientError, match="state_dir"):
        folder.writer()
    assert [found.code for found in folder.log.check()] == ["log-not-writable"]
