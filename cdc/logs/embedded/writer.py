"""The one writer of one source's log: records and checkpoint in one SQLite transaction."""

import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cdc.checkpoint import Checkpoint
from cdc.errors import CdcError, LogRefused, StorageFull, TransientError
from cdc.event import EVERY_PARTITION, Record, Topic
from cdc.logs.embedded import batches, files, segments, upkeep
from cdc.logs.embedded.config import Config
from cdc.logs.embedded.files import SegmentName

logger = logging.getLogger(__name__)

BATCH_BYTES: Final = 256 * 1024
"""A topic's records are stored when there are this many bytes of them, or at the commit."""
WAITING_BYTES: Final = 4 * 1024 * 1024
"""All topics' records are stored when there are this many bytes of them."""
SLICE: Final = 512
"""Between looks at the clock."""
UPKEEP_PAUSE_S: Final = 60.0
"""Between two looks whether retention or compaction has work; also after each new segment."""
UPKEEP_STEP_S_MAX: Final = 0.05


class _Waiting:
    """Records of one topic that are not in SQLite yet."""

    __slots__ = ("fields", "size_bytes", "state")

    def __init__(self, state: segments.TopicState) -> None:
        self.state = state
        self.fields: batches.Fields = []
        self.size_bytes = 0


class EmbeddedWriter:
    """Satisfies LogWriter. Holds the source's lock from `open` to `close`.

    A lock whose holder lives cannot be taken from it, so `open` does not fence: it raises
    TransientError while another process writes. A holder that dies loses the lock with its life.
    """

    exactly_once = True

    def __init__(
        self, root: Path, source: str, config: Config, clock_us: Callable[[], int]
    ) -> None:
        self._root = root
        self._source = source
        self._config = config
        self._clock_us = clock_us
        self._lock: files.Lock | None = None
        self._closed = False
        self._failure: CdcError | None = None
        self._taken = 0
        self._in_transaction = False
        self._waiting: dict[str, _Waiting] = {}
        self._by_topic: dict[Topic, _Waiting] = {}
        self._waiting_bytes = 0
        self._headers: dict[tuple[tuple[str, bytes], ...], bytes | None] = {(): None}
        self._upkeep: Generator[None] | None = None
        self._upkeep_looked_s = float("-inf")
        self._upkeep_ended_s = time.monotonic()

    # --- the contract -----------------------------------------------------------------------------

    def open(self) -> Checkpoint | None:
        """Take the lock, clean up after a crash, return the stored state.

        Raises TransientError while another process writes; its id is in the message.
        """
        if self._lock is not None or self._closed:
            raise RuntimeError("a writer is opened once")
        self._folder = self._root
        try:
            self._folder = files.source_folder(self._root, self._source).path
            lock = files.Lock(self._folder / "writer.lock")
            if not lock.try_take():
                raise TransientError(
                    f"the log of source {self._source} is in use by pid {lock.owner() or '?'}",
                    hint="It goes on when that process has ended: a pipeline runs only once.",
                )
            self._lock = lock
            return self._recover()
        except OSError as error:
            self.close()
            raise files.translated(error, self._folder) from error
        except CdcError:
            self.close()
            raise

    def partitions(self, topic: Topic) -> int:
        """Always 1. A topic that does not exist is made by the next commit."""
        self._usable()
        self._waiting_of(topic)
        return 1

    def append(self, records: Sequence[Record], timeout_s: float) -> bool:
        """Take records. Slow only where the disk is.

        Raises LogRefused for a record without a key in a compacted topic, as Kafka does,
        StorageFull and TransientError; after these two the writer must be closed.
        """
        self._usable()
        deadline_s = time.monotonic() + timeout_s
        while self._taken < len(records):
            self._begin()
            part = records[self._taken : self._taken + SLICE]
            with self._failing():
                for record in part:
                    self._take(record)
                    self._taken += 1
            if self._taken < len(records) and time.monotonic() > deadline_s:
                return False
        self._taken = 0
        return True

    def commit(self, checkpoint: Checkpoint, timeout_s: float) -> bool:
        """Write everything in one transaction and sync it. Never False: the disk gives no hint.

        Raises StorageFull or TransientError; then the writer must be closed.
        """
        del timeout_s
        self._usable()
        self._begin()
        with self._failing():
            self._store_all()
            for name, part in checkpoint.parts.items():
                if part is None:
                    self._db.execute("DELETE FROM checkpoint WHERE name = ?", (name,))
                else:
                    self._db.execute("REPLACE INTO checkpoint VALUES (?, ?)", (name, part))
            self._db.executemany(
                'UPDATE topics SET "end" = ? WHERE topic = ?',
                [(state.end, state.number) for state in self._changed.values()],
            )
            self._db.execute("COMMIT")
        self._in_transaction = False
        self._changed.clear()
        self._taken = 0
        return True

    def close(self) -> None:
        """Roll back, close the file and give back the lock. Repeatable."""
        self._closed = True
        if self._upkeep is not None:
            # Removes what it was making.
            self._upkeep.close()
            self._upkeep = None
        if self._lock is None:
            return
        connection = getattr(self, "_db", None)
        if connection is not None:
            # Closing a connection rolls back and, as the last one, moves the WAL into the file;
            # where that fails the WAL stays and is read by the next one.
            connection.close()
        self._lock.release()
        self._lock = None

    # --- opening ----------------------------------------------------------------------------------

    def _recover(self) -> Checkpoint | None:
        self._remove_leftovers()
        names = files.live(files.segment_names(self._folder))
        if not names:
            state = segments.State(secrets.token_hex(8), self._clock_us(), {}, {})
            self._begin_segment(SegmentName(1, 1, 0), state)
        else:
            self._use_segment(names[-1])
        parts = segments.checkpoint(self._db)
        return Checkpoint(parts) if parts else None

    def _remove_leftovers(self) -> None:
        names = files.segment_names(self._folder)
        counted = set(files.live(names))
        for name in names:
            if name not in counted:
                files.remove_segment(self._folder / name.file)
        kept = {name.file for name in counted}
        for path in list(self._folder.iterdir()):
            of_segment = path.name
            for suffix in files.SIDE_SUFFIXES:
                of_segment = of_segment.removesuffix(suffix)
            side_file = of_segment != path.name
            if of_segment.endswith(files.MAKING_SUFFIX) or (side_file and of_segment not in kept):
                path.unlink(missing_ok=True)

    def _begin_segment(self, name: SegmentName, state: segments.State) -> None:
        """Make a segment that holds the whole state, and give it its name when that is durable."""
        making = self._folder / f"{name.file}{files.MAKING_SUFFIX}"
        connection = segments.make(making, state)
        with segments.translating(making):
            connection.close()
        making.rename(self._folder / name.file)
        files.sync_folder(self._folder)
        self._use_segment(name)

    def _use_segment(self, name: SegmentName) -> None:
        path = self._folder / name.file
        self._db = segments.open_to_write(path)
        self._name = name
        with segments.translating(path):
            self._facts = segments.facts(self._db)
            self._topics = segments.topics(self._db)
            self._segment_bytes, newest_us = self._db.execute(
                "SELECT total(length(content)), max(timestamp_us) FROM batches"
            ).fetchone()
            self._has_batches = newest_us is not None
        self._newest_us = max(newest_us or 0, int(self._facts["created_us"]))
        self._changed: dict[str, segments.TopicState] = {}
        self._waiting.clear()
        self._by_topic.clear()

    # --- taking records ---------------------------------------------------------------------------

    def _usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._lock is None:
            raise RuntimeError("the writer is not open")

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Makes the writer unusable after an error that leaves its transaction in doubt."""
        try:
            yield
        except sqlite3.Error as error:
            self._failure = segments.translated(error, self._folder)
            raise self._failure from error
        except OSError as error:
            self._failure = files.translated(error, self._folder)
            raise self._failure from error
        except LogRefused:
            raise
        except CdcError as error:
            self._failure = error
            raise

    def _begin(self) -> None:
        """Begin a transaction when there is none; before it is the time for a new segment."""
        if self._in_transaction:
            return
        with self._failing():
            self._roll()
            self._keep_up()
            self._db.execute("BEGIN IMMEDIATE")
        self._in_transaction = True

    def _waiting_of(self, topic: Topic) -> _Waiting:
        waiting = self._waiting.get(topic.name)
        compacted = topic.compacted and (self._config.compaction or topic.internal)
        if waiting is not None and waiting.state.compacted == compacted:
            return waiting
        if waiting is not None:
            self._store(waiting)
            self._by_topic.clear()
        self._begin()
        state = self._topics.get(topic.name)
        if state is None or state.compacted != compacted:
            with self._failing():
                state = self._write_topic(topic, compacted, state)
        waiting = self._waiting[topic.name] = _Waiting(state)
        return waiting

    def _write_topic(
        self,
        topic: Topic,
        compacted: bool,  # noqa: FBT001 - what the log makes of the topic's own wish
        known: segments.TopicState | None,
    ) -> segments.TopicState:
        if known is not None:
            known.compacted = compacted
            self._db.execute(
                "UPDATE topics SET compacted = ? WHERE topic = ?", (known.compacted, known.number)
            )
            return known
        number = 1 + max((state.number for state in self._topics.values()), default=0)
        state = segments.TopicState(number, topic.name, compacted, topic.internal, 0, 0)
        self._db.execute(
            "INSERT INTO topics VALUES (?, ?, ?, ?, 0, 0)",
            (number, topic.name, compacted, topic.internal),
        )
        self._topics[topic.name] = state
        return state

    def _take(self, record: Record) -> None:
        topic = record.topic
        if record.key is None and topic.compacted:
            raise LogRefused(
                f"a record without a key is for the compacted topic {topic.name}",
                hint="Only tables with a key can have a compacted topic; please report this.",
            )
        if record.partition not in {None, 0, EVERY_PARTITION}:
            raise ValueError(f"topic {topic.name} has no partition {record.partition}")
        waiting = self._by_topic.get(topic)
        if waiting is None:
            waiting = self._by_topic[topic] = self._waiting_of(topic)
        headers = record.headers
        others = self._headers[headers] if headers in self._headers else self._encoded(headers)
        key, value, mark = record.key, record.value, record.mark
        if mark is not None:
            mark = b"%d%s" % (record.sequence, mark)
        waiting.fields += (key, value, mark, others)
        # 16 bytes of lengths, as batches.py says.
        size = 16 + len(key or b"") + len(value or b"") + len(mark or b"") + len(others or b"")
        waiting.size_bytes += size
        self._waiting_bytes += size
        if waiting.size_bytes >= BATCH_BYTES:
            self._store(waiting)
        elif self._waiting_bytes >= WAITING_BYTES:
            self._store_all()

    def _encoded(self, headers: tuple[tuple[str, bytes], ...]) -> bytes | None:
        # Most records have the same few; those that do not must not fill the memory.
        if len(self._headers) > 1000:
            self._headers = {(): None}
        encoded = self._headers[headers] = batches.encode_headers(headers)
        return encoded

    def _store_all(self) -> None:
        for waiting in self._waiting.values():
            self._store(waiting)

    def _store(self, waiting: _Waiting) -> None:
        """Insert what waits as one batch. Memory stays bounded: SQLite spills into its WAL."""
        if not waiting.fields:
            return
        state = waiting.state
        count = len(waiting.fields) // batches.FIELDS
        content = batches.encode(waiting.fields)
        # Times never go back, so that a reader can seek by time.
        self._newest_us = max(self._newest_us, self._clock_us())
        self._db.execute(
            "INSERT INTO batches (topic, first, last, records, timestamp_us, content)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (state.number, state.end, state.end + count - 1, count, self._newest_us, content),
        )
        state.end += count
        self._changed[state.name] = state
        self._segment_bytes += len(content)
        self._has_batches = True
        self._waiting_bytes -= waiting.size_bytes
        waiting.fields = []
        waiting.size_bytes = 0

    # --- between transactions ---------------------------------------------------------------------

    def _roll(self) -> None:
        """Begin a new segment when this one has batches and is large or old enough."""
        age_s = (self._clock_us() - int(self._facts["created_us"])) / 1e6
        small = self._segment_bytes < self._config.segment_bytes
        if not self._has_batches or (small and age_s < self._config.segment_age_s):
            return
        topics = {
            name: segments.TopicState(
                state.number, name, state.compacted, state.internal, state.end, state.end
            )
            for name, state in segments.topics(self._db).items()
        }
        parts = segments.checkpoint(self._db)
        state = segments.State(self._facts["log_id"], self._clock_us(), topics, parts)
        name = SegmentName(self._name.last + 1, self._name.last + 1, 0)
        old = self._db
        self._begin_segment(name, state)
        # As the last connection it moves the WAL into the file; otherwise a reader needs the WAL.
        old.close()
        self._upkeep_looked_s = float("-inf")

    def _keep_up(self) -> None:
        """Give retention and compaction their share of the time since they last had it."""
        now_s = time.monotonic()
        if self._upkeep is None:
            if now_s - self._upkeep_looked_s < UPKEEP_PAUSE_S:
                return
            self._upkeep_looked_s = now_s
            self._upkeep = upkeep.run(self._folder, self._config, self._clock_us())
        share = self._config.compaction_time_share
        pause_s = now_s - self._upkeep_ended_s
        budget_s = min(UPKEEP_STEP_S_MAX, pause_s * share / (1 - share))
        try:
            while time.monotonic() - now_s < budget_s:
                if next(self._upkeep, self) is self:
                    self._upkeep = None
                    break
        except StorageFull as full:
            # Making room needs room; new records are still welcome, and it tries again later.
            self._upkeep = None
            logger.warning("compaction of the log of source %s waits: %s", self._source, full)
        self._upkeep_ended_s = time.monotonic()
