"""Reading one source's log: from segment to segment, committed records only.

A cursor holds one segment open and goes through its batches in the order of their appending. It
never waits for the writer and never keeps it waiting.
"""

import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Final

from cdc.errors import PositionLost, TransientError
from cdc.event import Stored
from cdc.logs.embedded import batches, files, segments
from cdc.logs.embedded.files import SegmentName, SourceFolder
from cdc.logs.globs import Patterns

BEGINNING: Final = -1
"""Instead of an offset: the first record that is kept, wherever that is."""

_ROWS: Final = 256
_TAKEN_BYTES: Final = 256 * 1024
# Folder times have the resolution of the kernel's tick, some milliseconds: a folder that changed
# a moment ago may change again without another time.
_SETTLED_NS: Final = 1_000_000_000
# A segment may be replaced between finding and opening it; each time the folder is read again.
_ATTEMPTS: Final = 20


class Cursor:
    """The reading end of one source's log, for the topics that `patterns` mean.

    `committed` gives the offset to begin at by topic; topics without one begin at BEGINNING.
    `since_us` is when its group began to read this log, None when nobody relies on every delete.
    """

    def __init__(
        self,
        folder: SourceFolder,
        patterns: Patterns,
        committed: Mapping[str, int],
        since_us: int | None = None,
    ) -> None:
        self.folder = folder
        self._patterns = patterns
        self._committed = committed
        self._since_us = since_us
        self._positions: dict[str, int] = {}
        self._known: dict[int, str | None] = {}
        self._ready: deque[Stored] = deque()
        self._name: SegmentName | None = None
        self._segment: sqlite3.Connection | None = None
        self._id = 0
        self._version = -1
        self._listed_ns = -1
        self._names: list[SegmentName] = []

    def read(self, records_max: int) -> list[Stored]:
        """The next records, none when there are none now.

        Raises PositionLost when retention took records that were still to be read.
        """
        path = self.folder.path
        try:
            while len(self._ready) < records_max and self._fill():
                pass
        except sqlite3.Error as error:
            raise segments.translated(error, path) from error
        except OSError as error:
            raise files.translated(error, path) from error
        count = min(records_max, len(self._ready))
        return [self._ready.popleft() for _ in range(count)]

    def move(self, positions: Mapping[str, int]) -> None:
        """Go on from these offsets; other topics from where they are."""
        for name in {stored.topic for stored in self._ready}:
            first = next(stored.offset for stored in self._ready if stored.topic == name)
            self._positions[name] = first
        self._positions.update(positions)
        self._ready.clear()
        self.close()

    def close(self) -> None:
        """Give back the segment. The cursor can go on all the same."""
        if self._segment is not None:
            self._segment.close()
        self._segment = None
        self._name = None

    # --- within a segment -------------------------------------------------------------------------

    def _fill(self) -> bool:
        """Decode the next batches that are wanted; False when there is nothing more for now."""
        if self._segment is None and not self._start():
            return False
        assert self._segment is not None
        version = self._segment.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            rows = self._rows()
            if rows:
                self._decode(rows)
                return True
            self._version = version
        return self._next_segment()

    def _rows(self) -> list[tuple[int, int, int, int, int]]:
        assert self._segment is not None
        return self._segment.execute(
            "SELECT id, topic, first, last, timestamp_us FROM batches WHERE id > ? ORDER BY id"
            " LIMIT ?",
            (self._id, _ROWS),
        ).fetchall()

    def _decode(self, rows: list[tuple[int, int, int, int, int]]) -> None:
        """Take wanted batches of these, about as much as is good to hold, and step over others."""
        assert self._segment is not None
        taken_bytes = 0
        for row_id, number, first, last, timestamp_us in rows:
            self._id = row_id
            name = self._wanted(number)
            if name is None or last < self._positions[name]:
                continue
            content = self._segment.execute(
                "SELECT content FROM batches WHERE id = ?", (row_id,)
            ).fetchone()[0]
            position = self._positions[name]
            found = batches.records(content, name, self.folder.number, first, timestamp_us)
            self._ready.extend(stored for stored in found if stored.offset >= position)
            self._positions[name] = last + 1
            taken_bytes += len(content)
            if taken_bytes >= _TAKEN_BYTES:
                return

    def _wanted(self, number: int) -> str | None:
        """The topic's name if it is to be read. Topics may be younger than the last look."""
        if number not in self._known:
            assert self._segment is not None
            self._learn(segments.topics(self._segment))
        return self._known[number]

    def _learn(self, topics: Mapping[str, segments.TopicState]) -> None:
        for name, topic in topics.items():
            wanted = self._patterns.means(name)
            self._known[topic.number] = name if wanted else None
            if wanted and name not in self._positions:
                self._positions[name] = self._committed.get(name, BEGINNING)

    # --- from segment to segment ------------------------------------------------------------------

    def _list(self) -> list[SegmentName]:
        changed_ns = os.stat(self.folder.path).st_mtime_ns  # noqa: PTH116 - called at every idle look
        if changed_ns != self._listed_ns:
            self._names = files.live(files.segment_names(self.folder.path))
            settled = time.time_ns() - changed_ns > _SETTLED_NS
            self._listed_ns = changed_ns if settled else -1
        return self._names

    def _start(self) -> bool:
        """Open the segment to begin in: the newest that begins at or before every position."""
        for _ in range(_ATTEMPTS):
            self._listed_ns = -1
            names = self._list()
            if not names:
                return False
            try:
                newest = self._topics_of(names[-1])
                self._learn(newest)
                self._refuse_future(newest)
                chosen = names[0]
                for name in reversed(names):
                    topics = self._topics_of(name)
                    if all(
                        position != BEGINNING and topics[topic].base <= position
                        for topic, position in self._positions.items()
                        if topic in topics
                    ):
                        chosen = name
                        break
                self._open(chosen)
            except FileNotFoundError:
                continue
            return True
        raise self._restless()

    def _topics_of(self, name: SegmentName) -> dict[str, segments.TopicState]:
        path = self.folder.path / name.file
        with closing(segments.open_to_read(path)) as connection, segments.translating(path):
            return segments.topics(connection)

    def _open(self, name: SegmentName) -> None:
        connection = segments.open_to_read(self.folder.path / name.file)
        self.close()
        self._segment, self._name, self._id, self._version = connection, name, 0, -1
        expired = segments.facts(connection)["expired"] == "1"
        topics = segments.topics(connection)
        self._learn(topics)
        for topic in topics.values():
            if self._known[topic.number] is None or (expired and not topic.compacted):
                continue
            position = self._positions[topic.name]
            if position == BEGINNING:
                self._positions[topic.name] = topic.base
            elif position < topic.base and not topic.compacted:
                raise self._lost(topic.name, position, topic.base)
            elif self._since_us is not None:
                self._refuse_forgotten(topic.name, position, segments.forgotten_of(connection))

    def _next_segment(self) -> bool:
        """Go to the following segment, if there is one and this one is read to its end."""
        assert self._segment is not None
        assert self._name is not None
        for _ in range(_ATTEMPTS):
            last = self._name.last
            following = next((name for name in self._list() if name.last > last), None)
            if following is None:
                return False
            # The following one was made after this one's last commit, which may have come since
            # the last look.
            rows = self._rows()
            if rows:
                self._decode(rows)
                return True
            for topic in segments.topics(self._segment).values():
                name = self._wanted(topic.number)
                if name is not None and topic.compacted:
                    self._positions[name] = max(self._positions[name], topic.end)
            try:
                self._open(following)
            except FileNotFoundError:
                self._listed_ns = -1
                continue
            return True
        raise self._restless()

    # --- what can go wrong ------------------------------------------------------------------------

    def _refuse_future(self, newest: Mapping[str, segments.TopicState]) -> None:
        for name, topic in newest.items():
            position = self._positions.get(name, BEGINNING)
            if position > topic.end:
                raise PositionLost(
                    f"topic {name} ends at offset {topic.end}, but offset {position} is to be read",
                    hint="The log was restored from an older copy. Run `cdc reset SINK`.",
                )

    def _refuse_forgotten(self, topic: str, position: int, forgotten: segments.Forgotten) -> None:
        if any(
            end > position and at_us > (self._since_us or 0)
            for at_us, end in forgotten.get(topic, ())
        ):
            raise PositionLost(
                f"deletes in topic {topic} behind offset {position} are no longer in the log: "
                "they came longer ago than log.tombstone_age_s",
                hint="Empty the store, then run `cdc reset SINK` to fill it from the beginning.",
            )

    def _lost(self, topic: str, position: int, start: int) -> PositionLost:
        return PositionLost(
            f"topic {topic} begins at offset {start}, but offset {position} is to be read: "
            "retention has taken what is between",
            hint="Keep records longer (log.retention_age_s, log.retention_bytes), then run "
            "`cdc reset SINK` to read from the beginning.",
        )

    def _restless(self) -> TransientError:
        return TransientError(f"segments in {self.folder.path} change faster than they are read")


def ends(folder: SourceFolder, patterns: Patterns) -> tuple[str, dict[str, int]]:
    """The log's id, and the offset behind the last committed record of each topic meant.

    An empty id when the log does not exist yet.
    """
    for _, connection in _segments(folder, newest_first=True):
        topics = segments.topics(connection)
        found = {name: topic.end for name, topic in topics.items() if patterns.means(name)}
        return segments.facts(connection)["log_id"], found
    return "", {}


def starts(folder: SourceFolder, patterns: Patterns) -> dict[str, int]:
    """The first offset that is kept of each topic meant, or where it would be."""
    found: dict[str, int] = {}
    for _, connection in _segments(folder):
        expired = segments.facts(connection)["expired"] == "1"
        for name, topic in segments.topics(connection).items():
            if patterns.means(name) and (topic.compacted or not expired):
                found.setdefault(name, topic.base)
    return found


def at_time(folder: SourceFolder, patterns: Patterns, time_us: int) -> dict[str, int]:
    """Each topic's first record at or behind a time, in microseconds; its end if there is none."""
    _, found_ends = ends(folder, patterns)
    found: dict[str, int] = {}
    for _, connection in _segments(folder):
        names = {topic.number: name for name, topic in segments.topics(connection).items()}
        rows = connection.execute(
            "SELECT topic, min(first) FROM batches WHERE timestamp_us >= ? GROUP BY topic",
            (time_us,),
        )
        for number, first in rows:
            if names[number] in found_ends:
                found.setdefault(names[number], first)
    return {**found_ends, **found}


def _segments(
    folder: SourceFolder, *, newest_first: bool = False
) -> Iterator[tuple[SegmentName, sqlite3.Connection]]:
    """Every segment, open for reading. One that is replaced meanwhile is skipped or read as new."""
    seen = 0
    for _ in range(_ATTEMPTS):
        names = files.live(files.segment_names(folder.path))
        if newest_first:
            names = names[-1:]
        try:
            for name in names:
                if name.last <= seen:
                    continue
                path = folder.path / name.file
                with closing(segments.open_to_read(path)) as connection:
                    with segments.translating(path):
                        yield name, connection
                    seen = name.last
        except FileNotFoundError:
            continue
        return
    raise TransientError(f"segments in {folder.path} change faster than they are read")
