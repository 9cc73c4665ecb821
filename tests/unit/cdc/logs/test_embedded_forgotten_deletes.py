"""A sink that was away while markers of deletes were dropped is told, and no other one is."""

import time
from pathlib import Path

import pytest

from cdc.errors import PositionLost
from tests.unit.cdc.logs.embedded_folder import Folder, pairs

DAY_US = 86_400_000_000


def folder_with_rows(path: Path, *keys: bytes) -> Folder:
    folder = Folder(path, tombstone_age_s=3600, retention_age_s=None)
    folder.now_us = time.time_ns() // 1000 - 10 * DAY_US
    writer = folder.writer()
    for key in keys:
        folder.put(writer, key, b"row")
    writer.close()
    return folder


def read_and_commit(folder: Folder, count: int) -> None:
    reader = folder.log.reader(["shop.states"], "sink")
    reader.commit(reader.poll(count, 0.0))
    reader.close()


def delete_and_forget(folder: Folder, *keys: bytes, in_days: int = 2) -> None:
    """Delete rows, let the time of their markers pass, and compact twice."""
    writer = folder.writer()
    for key in keys:
        folder.put(writer, key, None)
    folder.roll(writer)
    folder.now_us = time.time_ns() // 1000 + in_days * DAY_US
    folder.keep_up()
    folder.put(writer, b"later", b"row")
    folder.roll(writer)
    folder.keep_up()
    writer.close()


def test_sink_that_missed_a_forgotten_delete_is_told(tmp_path: Path) -> None:
    folder = folder_with_rows(tmp_path, b"a", b"b")
    read_and_commit(folder, 2)

    delete_and_forget(folder, b"a")

    assert [key for _, key, _ in pairs(folder.read())] == [b"b", b"later"]
    with pytest.raises(PositionLost, match=r"deletes in topic shop\.states.*cdc reset SINK"):
        folder.read(group="sink")


def test_sink_that_missed_one_in_a_file_that_is_gone_whole_is_told(tmp_path: Path) -> None:
    folder = folder_with_rows(tmp_path, b"a")
    writer = folder.writer()
    folder.roll(writer)
    writer.close()
    read_and_commit(folder, 1)

    delete_and_forget(folder, b"a")

    with pytest.raises(PositionLost, match="deletes"):
        folder.read(group="sink")


def test_sink_that_has_read_the_delete_goes_on(tmp_path: Path) -> None:
    folder = folder_with_rows(tmp_path, b"a", b"b")
    writer = folder.writer()
    folder.put(writer, b"a", None)
    writer.close()
    read_and_commit(folder, 3)

    delete_and_forget(folder)

    assert [key for _, key, _ in pairs(folder.read(group="sink"))] == [b"later"]


def test_sink_that_began_afterwards_may_stop_before_the_forgotten_delete(tmp_path: Path) -> None:
    folder = folder_with_rows(tmp_path, b"a", b"b", b"c")
    delete_and_forget(folder, b"a", in_days=-2)

    read_and_commit(folder, 1)

    assert [key for _, key, _ in pairs(folder.read(group="sink"))] == [b"c", b"later"]


def test_sink_that_is_reset_begins_anew(tmp_path: Path) -> None:
    folder = folder_with_rows(tmp_path, b"a", b"b")
    read_and_commit(folder, 2)
    delete_and_forget(folder, b"a")

    folder.log.forget("sink")

    assert [key for _, key, _ in pairs(folder.read(group="sink"))] == [b"b", b"later"]
