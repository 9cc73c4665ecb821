"""Retention and compaction of the embedded log."""

import random
from pathlib import Path

import pytest

from cdc.errors import PositionLost
from cdc.logs.embedded import files, upkeep
from cdc.protocols import Partition
from tests.unit.cdc.logs.embedded_folder import HISTORY, MARK, PARTIAL, STATES, Folder, pairs

DAY_US = 86_400_000_000


def test_compaction_keeps_the_last_whole_record_of_each_key_and_the_partial_ones_behind(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.put(writer, b"b", b"b1")
    folder.put(writer, b"a", b"a2 partial", mark=PARTIAL)
    folder.put(writer, b"a", b"a3")
    folder.put(writer, b"a", b"a4 partial", mark=PARTIAL)
    folder.roll(writer)
    folder.put(writer, b"a", b"a5 partial", mark=PARTIAL)

    folder.keep_up()

    assert pairs(folder.read()) == [
        (1, b"b", b"b1"),
        (3, b"a", b"a3"),
        (4, b"a", b"a4 partial"),
        (5, b"a", b"a5 partial"),
    ]
    folder.put(writer, b"c", b"c6")
    assert pairs(folder.read())[-1] == (6, b"c", b"c6")
    writer.close()


def test_the_marker_of_a_deleted_key_outlives_its_records_for_the_stated_time(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path, tombstone_age_s=3600, retention_age_s=None)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.put(writer, b"a", None)
    folder.roll(writer)

    folder.keep_up()
    young = pairs(folder.read())
    folder.now_us += DAY_US
    folder.put(writer, b"b", b"b2")
    folder.roll(writer)
    folder.keep_up()

    assert young == [(1, b"a", None)]
    assert pairs(folder.read()) == [(2, b"b", b"b2")]
    writer.close()


def test_a_marker_stays_while_an_older_file_may_hold_the_key(tmp_path: Path) -> None:
    # Retention rewrites a segment without compacting it: its keys are still to be compacted.
    folder = Folder(tmp_path, tombstone_age_s=0, retention_age_s=3600, compaction_dirty_ratio=1.0)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.roll(writer)
    folder.put(writer, b"a", None)
    folder.roll(writer)
    folder.now_us += DAY_US
    assert upkeep.plan(
        [upkeep._look(folder.source, name) for name in folder.segments()[:-1]],
        folder.config,
        folder.now_us,
    ).expire

    folder.keep_up()

    assert pairs(folder.read()) == []
    writer.close()


def test_internal_topics_are_kept_even_without_compaction(tmp_path: Path) -> None:
    folder = Folder(tmp_path, compaction=False, retention_bytes=0)
    schemas = type(STATES)("__cdc.shop.schemas", compacted=True, internal=True)
    writer = folder.writer()
    folder.put(writer, b"id", b"structure", schemas)
    folder.put(writer, b"a", b"a0")
    folder.roll(writer)

    folder.keep_up()

    assert pairs(folder.read(schemas)) == [(0, b"id", b"structure")]
    assert pairs(folder.read()) == []
    writer.close()


@pytest.mark.parametrize("settings", [{"retention_bytes": 0}, {"retention_age_s": 3600}])
def test_retention_takes_history_and_tells_who_was_not_done_with_it(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    folder = Folder(tmp_path, compaction=False, **settings)
    writer = folder.writer()
    folder.put(writer, None, b"first", HISTORY)
    slow = folder.log.reader([HISTORY.name], "slow")
    slow.commit(slow.poll(1, 1.0))
    slow.close()
    folder.roll(writer)
    folder.roll(writer)
    folder.now_us += DAY_US

    folder.keep_up()

    assert len(folder.segments()) == 1
    left = folder.read(HISTORY)
    assert left[0].offset > 1
    slow = folder.log.reader([HISTORY.name], "slow")
    assert slow.positions() == {Partition(HISTORY.name, 0): 1}
    with pytest.raises(PositionLost, match="retention"):
        slow.poll(1, 1.0)
    slow.close()
    writer.close()


def test_offsets_are_never_used_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path, compaction=False, retention_bytes=0)
    writer = folder.writer()
    folder.roll(writer)
    end = folder.read(HISTORY)[-1].offset + 1
    folder.keep_up()
    writer.close()

    writer = folder.writer()
    folder.put(writer, None, b"next", HISTORY)

    assert folder.read(HISTORY)[-1].offset == end
    writer.close()


def test_a_reader_in_the_middle_of_what_is_compacted_loses_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    for number in range(200):
        folder.put(writer, b"key %d" % (number % 150), b"%d " % number + b"x" * 2000)
    folder.roll(writer)
    assert len(folder.segments()) > 4
    reader = folder.log.reader([STATES.name], None)
    found = list(reader.poll(70, 1.0))

    folder.keep_up()
    assert max(name.generation for name in folder.segments()) > 0
    while batch := reader.poll(70, 0.0):
        found += batch

    last = {stored.key: stored.offset for stored in found}
    assert last == {b"key %d" % key: key + 150 if key < 50 else key for key in range(150)}
    reader.close()
    writer.close()


@pytest.mark.parametrize("seed", range(5))
def test_compaction_at_any_time_keeps_every_key_s_state(tmp_path: Path, seed: int) -> None:
    # A record's state is its last whole value and the partial ones behind it; None when deleted.
    chance = random.Random(seed)
    folder = Folder(tmp_path, tombstone_age_s=chance.choice([0, 3600]))
    writer = folder.writer()
    states: dict[bytes, list[bytes | None]] = {}
    for number in range(400):
        key = b"%d" % chance.randrange(12)
        value = None if chance.random() < 0.1 else b"%d " % number + b"x" * 1500
        partial = value is not None and chance.random() < 0.3 and bool(states.get(key))
        folder.put(writer, key, value, mark=PARTIAL if partial else MARK)
        states[key] = [*states[key], value] if partial else ([] if value is None else [value])
        if chance.random() < 0.02:
            folder.now_us += DAY_US
            folder.keep_up()
        if chance.random() < 0.02:
            writer.close()
            writer = folder.writer()

    found: dict[bytes, list[bytes | None]] = {}
    for stored in folder.read():
        assert stored.key is not None
        partial = upkeep.is_partial(dict(stored.headers)["cdc"])
        if stored.value is None:
            found[stored.key] = []
        else:
            found[stored.key] = [*found[stored.key], stored.value] if partial else [stored.value]
    assert {key: state for key, state in found.items() if state} == {
        key: state for key, state in states.items() if state
    }
    writer.close()


def test_upkeep_that_is_given_up_at_any_step_leaves_the_log_whole(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    for number in range(120):
        folder.put(writer, b"key %d" % (number % 40), b"%d " % number + b"x" * 2000)
    folder.roll(writer)
    expected = {stored.key: stored.value for stored in folder.read()}

    for steps in range(0, 200, 7):
        run = upkeep.run(folder.source, folder.config, folder.now_us)
        for _, _ in zip(range(steps), run, strict=False):
            pass
        run.close()
        assert {stored.key: stored.value for stored in folder.read()} == expected

    assert not list(folder.source.glob(f"*{files.MAKING_SUFFIX}"))
    writer.close()


def test_a_file_that_a_crash_left_beside_its_successor_does_not_count(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.writer()
    folder.put(writer, b"a", b"a0")
    folder.put(writer, b"a", b"a1")
    folder.roll(writer)
    old = folder.source / folder.segments()[0].file
    kept = old.read_bytes()
    folder.keep_up()
    writer.close()
    old.write_bytes(kept)
    making = folder.source / f"{old.name}{files.MAKING_SUFFIX}"
    making.write_bytes(b"half a segment")

    assert pairs(folder.read()) == [(1, b"a", b"a1")]
    folder.writer().close()
    assert not old.exists()
    assert not making.exists()
