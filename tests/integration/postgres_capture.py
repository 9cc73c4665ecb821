"""A small capture loop for tests of the Postgres source: durable log and checkpoint in memory."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from cdc.checkpoint import Checkpoint
from cdc.event import Batch, ChangeEvent, Record, Stored
from cdc.protocols import MarkCurrent, SourceContext
from cdc.readers import ReaderOrder, ReaderPool
from cdc.reading import Plain, Readers
from cdc.schemas.memory import MemorySchemas
from cdc.secret import Secret
from cdc.serializers import json
from cdc.serializers.envelope import SourceIdentity
from cdc.version import version
from connectors.postgres import Config, create
from connectors.postgres.source import PostgresSource
from tests.lab.postgres_database import PostgresDatabase

TIMEOUT_S = 30.0


def _text(
    pipeline: str, url: str, options: dict[str, Any], described_columns: tuple[str, ...]
) -> str:
    """The configuration as readers get it: JSON is YAML."""
    plain = Config(url=Secret(url), **options).model_dump(mode="json", exclude_unset=True)
    source = {**plain, "type": "postgres", "url": url, "topic_prefix": "shop"}
    if described_columns:
        source["format"] = {"propagate_source_types": described_columns}
    return orjson.dumps({"name": pipeline, "sources": {"shop": source}}).decode()


State = dict[str, dict[tuple[object, ...], tuple[object, ...]]]


class Capture:
    """One source, its log and its checkpoint; `crash` forgets what was not committed."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        pipeline: str = "shop",
        described_columns: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        options.setdefault("tables", ["public.*"])
        self.config = Config(url=Secret(url), **options)
        self.pools: list[ReaderPool] = []
        text = _text(pipeline, url, options, described_columns)
        self._order = ReaderOrder(folder / "cdc.yaml", text, "shop")
        self.context = SourceContext(
            pipeline,
            "shop",
            "shop",
            folder,
            described_columns=described_columns,
            start_readers=self._start_readers,
        )
        self._schemas = MemorySchemas()
        self._serializer = json.create(
            json.Config(),
            SourceIdentity("postgresql", "shop", f"tidewire-{version()}"),
            self._schemas,
            compacts=True,
            pipeline=pipeline,
            clock_us=lambda: 0,
        )
        # Changes in the order of the batches, decoded again where readers had encoded them.
        self.events: list[ChangeEvent] = []
        # Records of the snapshot as a log would have them, without structures.
        self.records: list[Record] = []
        self.batches: list[Batch] = []
        self.checkpoint: Checkpoint | None = None
        self.source: PostgresSource = create(self.config, self.context)

    def start(self) -> Self:
        """Take the lease and start behind the checkpoint."""
        assert self.source.acquire(5.0)
        self.source.start(self.checkpoint)
        return self

    def crash(self) -> None:
        """Close the source as the end of its process would, and make a new one."""
        self.source.close()
        self.source = create(self.config, self.context)

    def restart(self) -> Self:
        """Crash and start again behind the checkpoint."""
        self.crash()
        return self.start()

    def poll(self, timeout_s: float = 0.2) -> Batch | None:
        """One batch, made durable and acknowledged."""
        self.source.keepalive()
        batch = self.source.poll(timeout_s)
        if batch is not None:
            self.commit(batch)
        return batch

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, then tell the source."""
        self.events.extend(batch.events)
        rows = [event for event in batch.events if event.op == "r"]
        self.records.extend(self._schemas.take(self._serializer.encode(rows)))
        encoded = self._schemas.take(batch.records or [])
        self.records.extend(encoded)
        self.events.extend(self._decoded(record) for record in encoded)
        self.batches.append(batch)
        self.checkpoint = (self.checkpoint or Checkpoint()).merged(batch.checkpoint)
        if batch.ackable is not None:
            self.source.ack(batch.ackable)

    def until(self, done: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Poll until `done`; fails after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, "the source did not get there in time"
            self.poll()

    def until_streaming(self) -> None:
        """Poll until the snapshot is done and the stream follows."""
        self.until(lambda: self.source.progress().phase == "streaming")

    def until_current(self) -> None:
        """Poll until everything committed before now is captured."""
        mark = f"mark {len(self.batches)}"
        self.source.command(MarkCurrent(mark))
        self.until(lambda: any(mark in batch.marks for batch in self.batches[-50:]))

    def state(self) -> State:
        """The tables as the events make them."""
        tables: State = {}
        for event in self.events:
            apply(tables, event)
        return tables

    def _start_readers(self, count: int, opening: Plain) -> Readers:
        self.pools.append(ReaderPool(self._order, count, opening))
        return self.pools[-1]

    def _decoded(self, record: Record) -> ChangeEvent:
        headers = tuple(record.all_headers())
        stored = Stored(record.topic.name, 0, 0, record.key, record.value, headers, 0)
        event = self._serializer.decode(stored)
        assert event is not None
        return event

    def close(self) -> None:
        """Give everything back."""
        self.source.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Unencoded(Capture):
    """Events as the source makes them, read by its own process: no format has touched them."""

    def __init__(self, url: str, folder: Path, **options: Any) -> None:
        super().__init__(url, folder, **options)
        self.context = replace(self.context, start_readers=None)
        self.source = create(self.config, self.context)

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, then tell the source."""
        assert not batch.records
        self.events.extend(batch.events)
        self.batches.append(batch)
        self.checkpoint = (self.checkpoint or Checkpoint()).merged(batch.checkpoint)
        if batch.ackable is not None:
            self.source.ack(batch.ackable)


def apply(tables: State, event: ChangeEvent) -> None:
    """Do to `tables` what the event says; rows by key."""
    rows = tables.setdefault(event.table.qualified_name, {})
    key = event.table.key
    if event.op == "t":
        rows.clear()
        return
    if event.before is not None:
        old_key = tuple(event.before[index] for index in key)
        old = rows.pop(old_key, None)
    else:
        old = None
    if event.after is not None:
        new_key = tuple(event.after[index] for index in key)
        old = rows.get(new_key) if old is None else old
        values = tuple(event.after)
        if any(repr(value) == "UNCHANGED" for value in values):
            assert old is not None, "a partial row of a row that is not there"
            values = tuple(
                old[index] if repr(value) == "UNCHANGED" else value
                for index, value in enumerate(values)
            )
        rows[new_key] = values


def rows_in(database: PostgresDatabase, query: str) -> dict[tuple[object, ...], tuple[object, ...]]:
    """What the table holds, by its first column: the judge, asked with SQL."""
    with database.connect() as connection:
        return {(row[0],): tuple(row) for row in connection.execute(query.encode())}
