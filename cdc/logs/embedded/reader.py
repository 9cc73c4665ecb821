"""Readers of the embedded log: several processes at once, none of which the writer waits for."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from cdc.errors import TransientError
from cdc.event import Stored
from cdc.logs.embedded import cursor, files
from cdc.logs.embedded.cursor import Cursor
from cdc.logs.embedded.files import SourceFolder
from cdc.logs.embedded.groups import Group
from cdc.logs.globs import Patterns
from cdc.protocols import Partition, SeekTo

FIRST_WAIT_S: Final = 0.001
"""The first wait for records; it doubles up to the configured interval."""


class EmbeddedReader:
    """Satisfies LogReader. Of several readers of one group one works, the others stand by."""

    def __init__(
        self, root: Path, topics: Sequence[str], group: str | None, interval_s: float
    ) -> None:
        self._root = root
        self._patterns = Patterns(topics)
        self._group = None if group is None else Group(root, group)
        self._interval_s = interval_s
        self._cursors: dict[int, Cursor] = {}
        self._log_ids: dict[int, str] = {}
        self._turn = 0
        self._sought: dict[Partition, int] = {}
        self._from_beginning = group is None
        self._closed = False

    def poll(self, records_max: int, timeout_s: float) -> Sequence[Stored]:
        """Records of one source at a time, in the order of their appending."""
        self._usable()
        deadline_s = time.monotonic() + timeout_s
        wait_s = FIRST_WAIT_S
        while True:
            found = self._look(records_max)
            left_s = deadline_s - time.monotonic()
            if found or left_s <= 0:
                return found
            time.sleep(min(wait_s, left_s))
            wait_s = min(2 * wait_s, self._interval_s)

    def commit(self, stored: Sequence[Stored]) -> None:
        """Store how far the group is. Raises TransientError when it has another working member."""
        self._usable()
        if self._group is None:
            raise ValueError("a reader without a group has nothing to commit to")
        offsets: dict[tuple[str, str], int] = {}
        for record in stored:
            log_id = self._log_ids.get(record.partition)
            if log_id is None:
                raise ValueError(f"{record.topic}/{record.partition} was not read here")
            place = (log_id, record.topic)
            offsets[place] = max(offsets.get(place, 0), record.offset + 1)
        if offsets:
            self._group.commit(offsets)

    def ends(self) -> Mapping[Partition, int]:
        """As the log is now, also for sources that appeared since the last poll."""
        return {
            Partition(name, folder.number): end
            for folder in self._folders()
            for name, end in cursor.ends(folder, self._patterns)[1].items()
        }

    def positions(self) -> Mapping[Partition, int]:
        """What is committed, else where the topic begins."""
        found: dict[Partition, int] = {}
        for folder in self._folders():
            log_id, _ = cursor.ends(folder, self._patterns)
            committed = {} if self._group is None else self._group.offsets(log_id)
            for name, start in cursor.starts(folder, self._patterns).items():
                found[Partition(name, folder.number)] = committed.get(name, start)
        return found

    def seek(self, where: SeekTo) -> None:
        """Topics that appear later are read from their beginning."""
        self._usable()
        if where == "beginning":
            self._from_beginning = True
            self._sought = {}
            for reading in self._cursors.values():
                reading.close()
            self._cursors.clear()
            return
        self._sought.update(dict(self._places(where)))
        for number, reading in self._cursors.items():
            reading.move(
                {place.topic: at for place, at in self._sought.items() if place.number == number}
            )

    def pause(self, seconds: float) -> None:
        """Wait; the group's lock stays held."""
        time.sleep(max(0.0, seconds))

    def close(self) -> None:
        """Give back files and the group's lock. Repeatable."""
        self._closed = True
        for reading in self._cursors.values():
            reading.close()
        self._cursors.clear()
        if self._group is not None:
            self._group.leave()

    def _usable(self) -> None:
        if self._closed:
            raise RuntimeError("the reader is closed")

    def _folders(self) -> list[SourceFolder]:
        try:
            return files.sources(self._root)
        except OSError as error:
            raise files.translated(error, self._root) from error

    def _places(
        self, where: int | str | Mapping[Partition, int]
    ) -> Iterator[tuple[Partition, int]]:
        if isinstance(where, Mapping):
            for place, offset in where.items():
                if not self._patterns.means(place.topic):
                    raise ValueError(f"topic {place.topic} is not read here")
                yield place, offset
            return
        for folder in self._folders():
            if isinstance(where, int):
                found = cursor.at_time(folder, self._patterns, where)
            else:
                found = cursor.ends(folder, self._patterns)[1]
            for name, offset in found.items():
                yield Partition(name, folder.number), offset

    def _look(self, records_max: int) -> list[Stored]:
        """What is there now, beginning with another source each time."""
        if self._group is not None and not self._group.try_join():
            return []
        for folder in self._folders():
            if folder.number not in self._cursors:
                self._add(folder)
        numbers = sorted(self._cursors)
        for step in range(len(numbers)):
            number = numbers[(self._turn + step) % len(numbers)]
            found = self._cursors[number].read(records_max)
            if found:
                self._turn = numbers.index(number) + 1
                return found
        return []

    def _add(self, folder: SourceFolder) -> None:
        try:
            log_id, _ = cursor.ends(folder, self._patterns)
        except FileNotFoundError as error:
            raise TransientError(f"the log in {folder.path} is being removed") from error
        if not log_id:
            return
        committed: Mapping[str, int] = {}
        since_us: int | None = None
        if self._group is not None:
            if not self._from_beginning:
                committed = self._group.offsets(log_id)
            if not committed:
                self._group.begin_again(log_id)
            since_us = self._group.since_us(log_id)
        sought = {
            place.topic: offset
            for place, offset in self._sought.items()
            if place.number == folder.number
        }
        self._log_ids[folder.number] = log_id
        self._cursors[folder.number] = Cursor(
            folder, self._patterns, {**committed, **sought}, since_us
        )
