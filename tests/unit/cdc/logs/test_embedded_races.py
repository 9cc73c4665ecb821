"""Reading the embedded log while its files change: every interleaving that a writer can cause."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cdc.checkpoint import Checkpoint
from cdc.errors import DecodeError, TransientError
from cdc.event import Record
from cdc.logs.embedded import cursor, files, upkeep
from cdc.logs.embedded.cursor import Cursor
from cdc.logs.embedded.files import SegmentName, SourceFolder
from cdc.logs.globs import Patterns
from cdc.protocols import Partition
from tests.unit.cdc.logs.embedded_folder import HISTORY, MARK, STATES, Folder, pairs


def stale(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """The first looks into a folder still show, as its newest, a segment that is gone."""
    left = [looks]
    listed: Callable[[Path], list[SegmentName]] = files.segment_names

    def names(folder: Path) -> list[SegmentName]:
        found = listed(folder)
        if left[0] and found:
            left[0] -= 1
            found.append(SegmentName(max(found).last + 1, max(found).last + 1, 0))
        return found

    monkeypatch.setattr(files, "segment_names", names)


def cursor_of(folder: Folder) -> Cursor:
    return Cursor(SourceFolder(0, "shop", folder.source), Patterns([STATES.name]), {})


def test_a_segment_that_goes_while_reading_begins_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    reading = cursor_of(folder)
    stale(monkeypatch, 3)

    assert pairs(reading.read(9)) == [(0, b"a", b"a0")]
    reading.close()
    writer.close()


def test_segments_that_go_faster_than_reading_begins_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.writer().close()
    reading = cursor_of(folder)
    stale(monkeypatch, 1000)

    with pytest.raises(TransientError, match="change faster than they are read"):
        reading.read(9)
    with pytest.raises(TransientError, match="change faster than they are read"):
        cursor.ends(reading.folder, Patterns([STATES.name]))


def test_a_segment_that_goes_before_reading_goes_on_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    reading = cursor_of(folder)
    first = pairs(reading.read(1))
    stale(monkeypatch, 3)

    assert first == [(0, b"a", b"a0")]
    assert reading.read(9) == []
    folder.put(writer, b"b", b"b1")
    assert pairs(reading.read(9)) == [(1, b"b", b"b1")]
    reading.close()
    writer.close()


def test_segments_that_go_faster_than_reading_goes_on_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    reading = cursor_of(folder)
    reading.read(1)
    stale(monkeypatch, 1000)

    with pytest.raises(TransientError, match="change faster than they are read"):
        reading.read(9)
    reading.close()
    writer.close()


def test_all_offsets_are_told_when_a_segment_goes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.roll(writer)
    place = SourceFolder(0, "shop", folder.source)
    patterns = Patterns([STATES.name])
    stale(monkeypatch, 2)

    # The history topic is in the same segments, but was not asked for.
    assert cursor.starts(place, patterns) == {STATES.name: 0}
    assert cursor.at_time(place, patterns, 0) == {STATES.name: 0}
    writer.close()


def test_a_commit_between_the_last_look_and_the_next_segment_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    reading = cursor_of(folder)
    found = pairs(reading.read(1))
    listing = Cursor._list
    moments = [True]

    def list_late(self: Cursor) -> list[SegmentName]:
        # The reader has seen the end of its segment and has not looked for the next one yet.
        if moments:
            moments.clear()
            folder.put(writer, b"b", b"b1")
            folder.roll(writer)
            folder.put(writer, b"c", b"c2")
        return listing(self)

    monkeypatch.setattr(Cursor, "_list", list_late)

    found += pairs(reading.read(9))

    assert found == [(0, b"a", b"a0"), (1, b"b", b"b1"), (2, b"c", b"c2")]
    reading.close()
    writer.close()


def test_a_move_in_one_topic_keeps_what_was_ready_of_the_others(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    states = [Record(STATES, b"%d" % n, b"s", MARK, sequence=1) for n in range(3)]
    history = [Record(HISTORY, b"%d" % n, b"h", MARK, sequence=1) for n in range(3)]
    writer.append(states + history, 1.0)
    writer.commit(Checkpoint({}), 1.0)
    reader = folder.log.reader([STATES.name, HISTORY.name], None)
    first = pairs(reader.poll(1, 1.0))

    reader.seek({Partition(HISTORY.name, 0): 2})

    assert first == [(0, b"0", b"s")]
    rest = [stored for _ in range(2) for stored in reader.poll(9, 0.0)]
    assert [(STATES.name, 1), (STATES.name, 2), (HISTORY.name, 2)] == [
        (stored.topic, stored.offset) for stored in rest
    ]
    reader.close()
    writer.close()


def test_a_folder_without_segments_has_nothing_to_read_yet(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.source.mkdir(parents=True)

    assert folder.read() == []
    assert cursor_of(folder).read(9) == []
    assert folder.log.reader(["*"], None).ends() == {}


def test_an_old_folder_is_not_listed_again_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    os.utime(folder.source, (1, 1))
    reading = cursor_of(folder)
    reading.read(9)
    looks: list[Path] = []
    listed = files.segment_names

    def look(folder: Path) -> list[SegmentName]:
        looks.append(folder)
        return listed(folder)

    monkeypatch.setattr(files, "segment_names", look)

    assert reading.read(9) == []
    assert looks == []
    folder.roll(writer)
    folder.put(writer, b"b", b"b1")
    assert pairs(reading.read(9)) == [(1, b"b", b"b1")]
    reading.close()
    writer.close()


def test_a_log_that_is_removed_while_it_is_read_is_an_error_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    reader = folder.log.reader([STATES.name], None)
    reader.poll(9, 1.0)
    sources = files.sources(folder.root)
    writer.close()
    folder.source.rename(tmp_path / "moved")

    with pytest.raises(TransientError, match=f"cannot use {folder.source}"):
        reader.poll(9, 0.0)
    reader.close()
    monkeypatch.setattr(files, "sources", lambda root: sources)
    with pytest.raises(TransientError, match="is being removed"):
        folder.log.reader([STATES.name], None).poll(9, 0.0)


def test_a_segment_that_is_damaged_while_it_is_read_stops_with_its_place(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    reading = cursor_of(folder)
    reading.read(9)
    writer._db.execute("DROP TABLE batches")

    with pytest.raises(TransientError, match="no such table"):
        reading.read(9)
    reading.close()
    writer.close()


def test_a_damaged_batch_stops_the_reader(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    writer._db.execute("UPDATE batches SET content = zeroblob(40)")

    with closing(cursor_of(folder)) as cursor, pytest.raises(DecodeError, match="form 0"):
        cursor.read(9)
    writer.close()


# --- what compaction makes of batches -------------------------------------------------------------


def test_compaction_of_a_batch_keeps_only_the_records_that_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every row is made durable by itself: the new file has many transactions.
    monkeypatch.setattr(upkeep, "SYNC_BYTES", 1)
    folder = Folder(tmp_path)
    writer = folder.writer()
    for batch in ([b"a", b"b", b"a", b"c"], [b"b", b"d"]):
        writer.append([Record(STATES, key, b"v", MARK, sequence=1) for key in batch], 1.0)
        writer.commit(Checkpoint({}), 1.0)
    folder.roll(writer)

    folder.keep_up()

    assert [(stored.offset, stored.key) for stored in folder.read()] == [
        (2, b"a"),
        (3, b"c"),
        (4, b"b"),
        (5, b"d"),
    ]
    writer.close()


def test_retention_alone_rewrites_only_what_lost_its_history(tmp_path: Path) -> None:
    folder = Folder(tmp_path, compaction=False, retention_age_s=3600)
    writer = folder.writer()
    folder.roll(writer)
    begins = folder.sequence - 1
    folder.now_us += 2 * 3600 * 1_000_000
    folder.roll(writer)
    folder.roll(writer)

    folder.keep_up()

    assert folder.read(HISTORY)[0].offset == begins
    writer.close()


def test_a_plan_of_nothing_rewrites_nothing(tmp_path: Path) -> None:
    todo = upkeep.Plan(frozenset(), compact=False)

    assert list(upkeep._groups([], todo, Folder(tmp_path).config)) == []


def test_a_group_that_seeks_the_beginning_first_passes_over_what_it_committed(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    earlier = folder.log.reader([STATES.name], "sink")
    earlier.commit(earlier.poll(9, 1.0))
    earlier.close()

    reader = folder.log.reader([STATES.name], "sink")
    reader.seek("beginning")

    assert pairs(reader.poll(9, 1.0)) == [(0, b"a", b"a0")]
    reader.close()
    writer.close()
