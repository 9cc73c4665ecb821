"""The embedded log as a whole: makes writers and readers, answers questions about itself."""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cdc.errors import CdcError
from cdc.logs.embedded import files, segments
from cdc.logs.embedded.config import Config
from cdc.logs.embedded.cursor import starts
from cdc.logs.embedded.groups import Group
from cdc.logs.embedded.reader import EmbeddedReader
from cdc.logs.embedded.writer import EmbeddedWriter
from cdc.logs.globs import Patterns
from cdc.protocols import Finding, LogContext, TopicInfo


class EmbeddedLog:
    """Satisfies Log. One folder per source under `state_dir`; many processes may use it at once."""

    def __init__(self, config: Config, context: LogContext) -> None:
        self._config = config
        self._root = context.state_dir / files.FOLDER
        self.compacts = config.compaction

    def writer(self, source: str) -> EmbeddedWriter:
        """A writer for this source; opens nothing yet."""
        return EmbeddedWriter(self._root, source, self._config, _wall_us)

    def reader(self, topics: Sequence[str], group: str | None) -> EmbeddedReader:
        """A reader of these topics; opens nothing yet."""
        return EmbeddedReader(self._root, topics, group, self._config.poll_interval_ms / 1000)

    def topics(self) -> list[TopicInfo]:
        """Every topic, by name. One that several sources write has a partition for each."""
        found: dict[str, TopicInfo] = {}
        try:
            folders = files.sources(self._root)
            for folder in folders:
                for info in _topics(folder.path):
                    other = found.get(info.name)
                    found[info.name] = info if other is None else _added(other, info)
        except OSError as error:
            raise files.translated(error, self._root) from error
        return [found[name] for name in sorted(found)]

    def forget(self, group: str) -> None:
        """Remove what the group committed. Raises TransientError while somebody reads as it."""
        Group(self._root, group).forget()

    def check(self) -> list[Finding]:
        """Whether the folder can be written, has room, and can be read."""
        existing = next(path for path in (self._root, *self._root.parents) if path.exists())
        if not (existing.is_dir() and os.access(existing, os.R_OK | os.W_OK | os.X_OK)):
            return [
                Finding(
                    "error",
                    "log-not-writable",
                    "state_dir",
                    f"{existing} cannot be written by this user",
                    f"chown it to this user, or set state_dir to another folder than {existing}.",
                )
            ]
        return [self._space(existing), *self._readable()]

    def _space(self, existing: Path) -> Finding:
        free_bytes = shutil.disk_usage(existing).free
        # A segment that grows, and one that compaction makes.
        needed_bytes = 2 * self._config.segment_bytes
        message = f"{free_bytes >> 20} MiB are free for the log"
        if free_bytes < needed_bytes:
            fix = f"Free at least {needed_bytes >> 20} MiB, or set log.segment_bytes lower."
            return Finding("error", "log-space", "state_dir", message, fix)
        return Finding("ok", "log-space", "state_dir", message)

    def _readable(self) -> list[Finding]:
        try:
            for folder in files.sources(self._root):
                starts(folder, Patterns(()))
        except CdcError as error:
            return [Finding("error", "log-damaged", "log", error.message, error.hint)]
        except OSError as error:
            damage = files.translated(error, self._root)
            return [Finding("error", "log-damaged", "log", damage.message, damage.hint)]
        return [Finding("ok", "log-readable", "log", f"the log in {self._root} can be used")]


def _topics(folder: Path) -> list[TopicInfo]:
    """One source's topics, with what is kept of them in all segments."""
    names = files.live(files.segment_names(folder))
    state: dict[str, segments.TopicState] = {}
    records: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for name in names:
        path = folder / name.file
        with closing(segments.open_to_read(path)) as connection, segments.translating(path):
            state = segments.topics(connection)
            rows = connection.execute(
                "SELECT topic, sum(records), sum(length(content)) FROM batches GROUP BY topic"
            )
            for topic, count, size_bytes in rows:
                records[topic] = records.get(topic, 0) + count
                sizes[topic] = sizes.get(topic, 0) + size_bytes
    return [
        TopicInfo(
            topic.name,
            1,
            records.get(topic.number, 0),
            sizes.get(topic.number, 0),
            topic.compacted,
        )
        for topic in state.values()
    ]


def _added(one: TopicInfo, other: TopicInfo) -> TopicInfo:
    return TopicInfo(
        one.name,
        one.partitions + other.partitions,
        one.records + other.records,
        (one.size_bytes or 0) + (other.size_bytes or 0),
        one.compacted or other.compacted,
    )


def _wall_us() -> int:
    return time.time_ns() // 1000
