"""Retention and compaction of closed segments, in small steps between two commits.

Compaction keeps, per key of a compacted topic, the last record with a whole row and the partial
ones behind it; a record is partial when its `cdc` header has a third part. The marker of a deleted
key (no value) counts as whole and is dropped itself when it is old enough. Offsets never change.

Files are swapped oldest first, so that an older record is gone before the one that replaced it.
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cdc.logs.embedded import batches, files, segments
from cdc.logs.embedded.config import Config
from cdc.logs.embedded.files import SegmentName

SYNC_BYTES: Final = 4 * 1024 * 1024
"""Between two syncs of a segment that is being made, so that none takes long."""
_KEYS_CACHE_KIB: Final = 32 * 1024
_KEYS_FILE: Final = f"keys{files.MAKING_SUFFIX}"


@dataclass(frozen=True, slots=True)
class Closed:
    """What upkeep must know about one closed segment.

    `history_bytes` are of topics that are not compacted, `states_bytes` of the others. `dirty`
    segments have never been compacted. `plain_topics` were not compacted at that time.
    """

    name: SegmentName
    newest_us: int
    history_bytes: int
    states_bytes: int
    expired: bool
    dirty: bool
    plain_topics: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """`expire`: segments that lose their history. `compact`: whether keys are compacted too."""

    expire: frozenset[SegmentName]
    compact: bool


def is_partial(mark: bytes | None) -> bool:
    """Whether the `cdc` header says that the row lacks values: it has a bitmap as third part."""
    return mark is not None and mark.count(b".") > 1


def plan(closed: Sequence[Closed], config: Config, now_us: int) -> Plan:
    """What is to be done with these segments, oldest first; pure."""
    expire: set[SegmentName] = set()
    kept_bytes = 0
    for segment in reversed(closed):
        kept_bytes += segment.history_bytes
        age_s = (now_us - segment.newest_us) / 1e6
        old = config.retention_age_s is not None and age_s > config.retention_age_s
        large = config.retention_bytes is not None and kept_bytes > config.retention_bytes
        # Once one has lost its history, all before it have: history has no holes.
        if not segment.expired and (old or large or expire):
            expire.add(segment.name)
    dirty = sum(segment.states_bytes for segment in closed if segment.dirty)
    total = sum(segment.states_bytes for segment in closed)
    compact = config.compaction and dirty > 0 and dirty >= config.compaction_dirty_ratio * total
    return Plan(frozenset(expire), compact)


def run(folder: Path, config: Config, now_us: int) -> Generator[None]:
    """Do what there is to do; each `next` is a small step.

    Raises StorageFull, TransientError, DecodeError; what was being made is then removed.
    """
    began_s = time.monotonic()

    def present_us() -> int:
        return now_us + int((time.monotonic() - began_s) * 1e6)

    names = files.live(files.segment_names(folder))[:-1]
    closed = []
    for name in names:
        closed.append(_look(folder, name))
        yield
    todo = plan(closed, config, now_us)
    if not todo.compact and not todo.expire:
        return
    keys_path = folder / _KEYS_FILE
    tombstone_age_us = int(config.tombstone_age_s * 1e6)
    plain = frozenset[str]().union(*(segment.plain_topics for segment in closed))
    with segments.translating(keys_path), closing(_make_keys(keys_path)) as keys:
        try:
            if todo.compact:
                for segment in closed:
                    if segment.dirty:
                        yield from _collect(folder / segment.name.file, keys)
            for group in _groups(closed, todo, config):
                before_us = now_us - tombstone_age_us
                rewriting = _Rewriting(folder, group, todo, keys, plain, before_us, present_us)
                yield from rewriting.run()
        finally:
            keys_path.unlink(missing_ok=True)


def _groups(closed: Sequence[Closed], todo: Plan, config: Config) -> Iterator[list[Closed]]:
    """Neighbours that are rewritten into one file, each group up to a segment's size."""
    group: list[Closed] = []
    size_bytes = 0
    for segment in closed:
        expired = segment.expired or segment.name in todo.expire
        if not todo.compact and segment.name not in todo.expire:
            continue
        if group:
            before = group[-1]
            same = expired == (before.expired or before.name in todo.expire)
            if (
                not same
                or before.name.last + 1 != segment.name.first
                or size_bytes + segment.states_bytes > config.segment_bytes
            ):
                yield group
                group, size_bytes = [], 0
        group.append(segment)
        size_bytes += segment.states_bytes + (0 if expired else segment.history_bytes)
    if group:
        yield group


def _look(folder: Path, name: SegmentName) -> Closed:
    path = folder / name.file
    with closing(segments.open_to_read(path)) as connection, segments.translating(path):
        topics = segments.topics(connection).values()
        kept = {topic.number for topic in topics if topic.compacted}
        plain = frozenset(topic.name for topic in topics if not topic.compacted)
        history = states = newest_us = 0
        rows = connection.execute(
            "SELECT topic, sum(length(content)), max(timestamp_us) FROM batches GROUP BY topic"
        )
        for topic, size_bytes, topic_us in rows:
            newest_us = max(newest_us, topic_us)
            if topic in kept:
                states += size_bytes
            else:
                history += size_bytes
        found = segments.facts(connection)
        newest_us = newest_us or int(found["created_us"])
        expired, dirty = found["expired"] == "1", found["compacted"] == "0"
        return Closed(name, newest_us, history, states, expired, dirty, plain)


def _make_keys(path: Path) -> sqlite3.Connection:
    """A scratch file that says where each key's last whole row is: memory stays bounded."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_KEYS_CACHE_KIB}"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute(
        "CREATE TABLE keys (topic TEXT, key BLOB, whole INTEGER, PRIMARY KEY (topic, key))"
        " WITHOUT ROWID"
    )
    return connection


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16).digest()


def _collect(path: Path, keys: sqlite3.Connection) -> Generator[None]:
    """Put the last whole row of each key of one segment into the scratch file."""
    with closing(segments.open_to_read(path)) as connection, segments.translating(path):
        topics = {topic.number: topic for topic in segments.topics(connection).values()}
        for (row,) in connection.execute("SELECT id FROM batches ORDER BY id").fetchall():
            number, first = connection.execute(
                "SELECT topic, first FROM batches WHERE id = ?", (row,)
            ).fetchone()
            topic = topics[number]
            if not topic.compacted:
                continue
            content = connection.execute(
                "SELECT content FROM batches WHERE id = ?", (row,)
            ).fetchone()[0]
            fields, offsets = batches.decode(content)
            whole: dict[bytes, int] = {}
            for index, relative in enumerate(offsets):
                key, mark = fields[4 * index], fields[4 * index + 2]
                if key is not None and not is_partial(mark):
                    whole[_digest(key)] = first + relative
            keys.execute("BEGIN")
            keys.executemany(
                "REPLACE INTO keys VALUES (?, ?, ?)",
                [(topic.name, key, offset) for key, offset in whole.items()],
            )
            keys.execute("COMMIT")
            yield


class _Rewriting:
    """Neighbouring segments, made into one without what is no longer wanted."""

    def __init__(
        self,
        folder: Path,
        group: Sequence[Closed],
        todo: Plan,
        keys: sqlite3.Connection,
        plain_topics: frozenset[str],
        tombstones_before_us: int,
        now_us: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._group = group
        self._todo = todo
        self._keys = keys
        self._plain_topics = plain_topics
        self._expired = group[0].expired or group[0].name in todo.expire
        self._tombstones_before_us = tombstones_before_us
        self._now_us = now_us
        # The offset behind the last marker that was dropped and is not written down yet, by topic.
        self._dropped: dict[str, int] = {}

    def run(self) -> Generator[None]:
        """Make the new file, swap it in, remove the old ones."""
        names = [segment.name for segment in self._group]
        target = SegmentName(
            names[0].first, names[-1].last, 1 + max(name.generation for name in names)
        )
        making = self._folder / f"{target.file}{files.MAKING_SUFFIX}"
        try:
            connection = segments.make(making, self._state())
            with closing(connection), segments.translating(making):
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("BEGIN")
                written_bytes = kept_batches = 0
                for name in names:
                    for row in self._rows(name):
                        if row is not None:
                            connection.execute(
                                "INSERT INTO batches (topic, first, last, records, timestamp_us,"
                                " content) VALUES (?, ?, ?, ?, ?, ?)",
                                row,
                            )
                            kept_batches += 1
                            written_bytes += len(row[5])
                        for topic, end in self._dropped.items():
                            segments.forget(connection, topic, self._now_us(), end)
                        self._dropped.clear()
                        if written_bytes >= SYNC_BYTES:
                            connection.execute("COMMIT")
                            connection.execute("BEGIN")
                            written_bytes = 0
                        yield
                connection.execute("COMMIT")
                is_void = not kept_batches and not segments.forgotten_of(connection)
            if not is_void:
                making.rename(self._folder / target.file)
                files.sync_folder(self._folder)
        finally:
            files.remove_segment(making)
        for name in names:
            files.remove_segment(self._folder / name.file)
            yield
        files.sync_folder(self._folder)

    def _state(self) -> segments.State:
        """The topics as at the end of the group, with their bases as at its beginning."""
        first, last = (self._folder / self._group[end].name.file for end in (0, -1))
        with closing(segments.open_to_read(first)) as connection, segments.translating(first):
            bases = {name: topic.base for name, topic in segments.topics(connection).items()}
            facts = segments.facts(connection)
        with closing(segments.open_to_read(last)) as connection, segments.translating(last):
            topics = segments.topics(connection)
        forgotten: dict[str, list[tuple[int, int]]] = {}
        for segment in self._group:
            path = self._folder / segment.name.file
            with closing(segments.open_to_read(path)) as connection, segments.translating(path):
                for name, pairs in segments.forgotten_of(connection).items():
                    together = [*forgotten.get(name, ()), *pairs]
                    forgotten[name] = segments.newest_and_last(together)
        for name, topic in topics.items():
            topics[name] = replace(topic, base=bases.get(name, 0))
        return segments.State(
            facts["log_id"],
            int(facts["created_us"]),
            topics,
            {},
            expired=self._expired,
            compacted=self._todo.compact or not any(segment.dirty for segment in self._group),
            forgotten=forgotten,
        )

    def _rows(self, name: SegmentName) -> Iterator[tuple[int, int, int, int, int, bytes] | None]:
        """The batches that are left of one segment; None for one that is gone whole."""
        path = self._folder / name.file
        with closing(segments.open_to_read(path)) as connection, segments.translating(path):
            topics = {topic.number: topic for topic in segments.topics(connection).values()}
            ids = connection.execute("SELECT id, topic FROM batches ORDER BY id").fetchall()
            for row_id, number in ids:
                kept = topics[number].compacted
                if not kept and self._expired:
                    yield None
                    continue
                _, first, last, count, timestamp_us, content = connection.execute(
                    "SELECT topic, first, last, records, timestamp_us, content FROM batches"
                    " WHERE id = ?",
                    (row_id,),
                ).fetchone()
                if not kept or not self._todo.compact:
                    yield number, first, last, count, timestamp_us, content
                    continue
                yield self._compacted(topics[number], first, timestamp_us, content)

    def _compacted(
        self, topic: segments.TopicState, first: int, timestamp_us: int, content: bytes
    ) -> tuple[int, int, int, int, int, bytes] | None:
        fields, offsets = batches.decode(content)
        # Where the topic was not compacted at times, a marker may still hide an older record.
        drop_markers = (
            topic.name not in self._plain_topics and timestamp_us < self._tombstones_before_us
        )
        kept: list[int] = []
        for index, relative in enumerate(offsets):
            key, value = fields[4 * index], fields[4 * index + 1]
            if key is None:
                kept.append(index)
                continue
            found = self._keys.execute(
                "SELECT whole FROM keys WHERE topic = ? AND key = ?", (topic.name, _digest(key))
            ).fetchone()
            if found is not None and first + relative < found[0]:
                continue
            if value is None and drop_markers:
                self._dropped[topic.name] = first + relative + 1
                continue
            kept.append(index)
        if not kept:
            return None
        if len(kept) == len(offsets):
            count, last = len(offsets), first + offsets[-1]
            return topic.number, first, last, count, timestamp_us, content
        left = [offsets[index] for index in kept]
        parts = [part for index in kept for part in fields[4 * index : 4 * index + 4]]
        return (
            topic.number,
            first,
            first + left[-1],
            len(kept),
            timestamp_us,
            batches.encode(parts, left),
        )
