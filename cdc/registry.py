"""Makes the parts that a configuration names, and gives each what it needs besides its settings."""

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, Protocol, cast

from cdc.clock import SystemClock
from cdc.config import Chosen, Config, SourceConfig
from cdc.config.components import Component, find, known, part_of
from cdc.derived.dead_letters import DeadLetterFile
from cdc.errors import ConfigError
from cdc.event import ChangeEvent, Stored
from cdc.logs.globs import Patterns
from cdc.protocols import (
    DeadLetters,
    Document,
    Heartbeat,
    Log,
    LogContext,
    LogReader,
    LogWriter,
    Schemas,
    Serializer,
    Sink,
    SinkContext,
    Source,
    SourceContext,
    TopicInfo,
    Transform,
)
from cdc.readers import ReaderOrder, ReaderPool
from cdc.reading import Plain, TaskReader
from cdc.schemas.topic import TopicSchemas
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.rowless_schemas import heartbeat_topic
from cdc.state_dir import private_folder
from cdc.status import Search
from cdc.transforms.operations import Operations
from cdc.version import version

SCHEMA_WAIT_S: Final = 5.0
"""How long a structure may become visible after the first record of it; a stop waits as long."""

SCHEMES: Final = {"postgresql": "postgres", "mariadb": "mysql"}

# Where Debezium calls a connector by another name than we do.
DEBEZIUM_CONNECTORS: Final = {"postgres": "postgresql"}

Decode = Callable[[Stored], ChangeEvent | None]


def topics_of(config: Config, sink: str) -> list[str]:
    """The topics that a sink reads; may hold `*` globs."""
    keys = config.sinks[sink].keys
    if keys.topics:
        return list(keys.topics)
    return [
        _topic(config.source_of(pattern).topic_prefix, pattern.rpartition(":")[2])
        for pattern in keys.from_
    ]


def _topic(prefix: str, table: str) -> str:
    # As cdc/serializers/envelope.py names topics, with globs left as they are.
    return re.sub(r"[^A-Za-z0-9._*-]", "_", f"{prefix}.{table}")


class Hit(Protocol):
    """A document that a search found."""

    @property
    def target(self) -> str:
        """Its table."""
        ...

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def document(self) -> Document:
        """Its fields."""
        ...


def searches(config: Config, only: Collection[str] = ()) -> dict[str, Search]:
    """The sinks that can be searched by words: those whose module has `search` and a `path`."""
    found: dict[str, Search] = {}
    for name, sink in config.sinks.items():
        search = getattr(sink.chosen.component.module, "search", None) if sink.chosen else None
        path = getattr(sink.chosen.settings, "path", None) if sink.chosen else None
        if search is not None and path is not None and (not only or name in only):
            found[name] = partial(_hits, search, path)
    return found


def _hits(
    search: Callable[[object, str, int], Sequence[Hit]], path: object, words: str, rows_max: int
) -> list[Mapping[str, object]]:
    return [
        {"target": hit.target, "id": hit.id, "document": dict(hit.document)}
        for hit in search(path, words, rows_max)
    ]


class Scaffold(Protocol):
    """What `cdc init` writes."""

    @property
    def config(self) -> str:
        """The text of a commented configuration."""
        ...

    @property
    def sql(self) -> str:
        """What an administrator has to run; may be empty."""
        ...


def scaffold(url: str) -> Scaffold:
    """A commented configuration for the database at `url`, and the SQL that it needs run.

    Connects. Raises ConfigError for an URL of no known database, what the connector raises else.
    """
    scheme = url.partition(":")[0].lower()
    type_ = SCHEMES.get(scheme, scheme)
    if "://" not in url or type_ not in known("sources"):
        raise ConfigError(
            "this is no URL of a database that Tidewire knows",
            hint="Write it as postgresql://user@host:5432/database.",
        )
    return cast("Scaffold", _part(find("sources", type_), "scaffold").scaffold(url))


def drop(config: Config, name: str) -> list[str]:
    """Remove what Tidewire made at the source; says what was removed."""
    chosen = config.sources[name].chosen
    assert chosen is not None, "the configuration was read for this source"
    context = Parts(config).source_context(name)
    made = _part(chosen.component, "scaffold").drop(chosen.settings, context)
    return cast("list[str]", made)


class HealPlan(Protocol):
    """What beginning anew does, and what it costs."""

    @property
    def sentences(self) -> Sequence[str]:
        """What is lost and what will be done, for people."""
        ...

    def content(self) -> dict[str, object]:
        """The same, and figures for each table, as JSON-able content."""
        ...


def heal_plan(config: Config, name: str) -> HealPlan:
    """What `cdc heal` would do; looks at the source and changes nothing."""
    chosen = config.sources[name].chosen
    assert chosen is not None, "the configuration was read for this source"
    context = Parts(config).source_context(name)
    return cast("HealPlan", _part(chosen.component, "heal").plan(chosen.settings, context))


def _part(component: Component, name: str) -> Any:
    part = part_of(component, name)
    if part is None:
        raise ConfigError(
            f'sources of type "{component.name}" cannot do this',
            hint="Use the tools of the database itself.",
        )
    return part


class Parts:
    """The parts of one configuration; one log for all of them. Close it at the end."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._closing = ExitStack()
        self._log: Log | None = None
        self._schemas: Schemas | None = None

    def close(self) -> None:
        """Give back what is shared: dead letters, the reader of structures. Repeatable."""
        self._closing.close()

    # --- log --------------------------------------------------------------------------------------

    def log(self) -> Log:
        """The log as configured; opens nothing."""
        if self._log is None:
            context = LogContext(self._config.name, private_folder(self._config.state_dir))
            self._log = cast("Log", _made(self._config.log, context))
        return self._log

    def topics(self) -> list[TopicInfo]:
        """The topics that the pipeline writes or reads, its internal ones too.

        A Kafka has those of others beside them.
        """
        config = self._config
        means = Patterns(
            [
                f"__cdc.{config.name}.*",
                *(_topic(each.topic_prefix, "*") for each in config.sources.values()),
                *(heartbeat_topic(each.topic_prefix) for each in config.sources.values()),
                *(topic for sink in config.sinks for topic in topics_of(config, sink)),
            ]
        ).means
        return [info for info in self.log().topics() if means(info.name)]

    def writer(self, source: str) -> LogWriter:
        """A new writer for a source."""
        return self.log().writer(source)

    def reader(self, sink: str) -> LogReader:
        """A new reader of what a sink reads, as a member of its group."""
        return self.log().reader(topics_of(self._config, sink), sink)

    # --- source -----------------------------------------------------------------------------------

    def source(self, name: str) -> Source:
        """A new source; connects to nothing."""
        chosen = self._config.sources[name].chosen
        assert chosen is not None, "the configuration was read for this source"
        return cast("Source", _made(chosen, self.source_context(name)))

    def source_context(self, name: str) -> SourceContext:
        """What a source is given besides its settings."""
        return SourceContext(
            pipeline=self._config.name,
            name=name,
            topic_prefix=self._config.sources[name].topic_prefix,
            state_dir=private_folder(self._config.state_dir, "sources", name),
            excluded_columns=tuple(
                pair
                for transform in self.transforms(name)
                for pair in getattr(transform, "excluded", ())
            ),
            described_columns=getattr(
                self._config.sources[name].format.settings, "propagate_source_types", ()
            ),
            start_readers=partial(
                ReaderPool, ReaderOrder(self._config.file, self._config.text, name)
            ),
            transaction_metadata=self._config.sources[name].keys.transaction_metadata,
            heartbeat=self.heartbeat(name),
        )

    def task_reader(self, name: str, opening: Plain) -> TaskReader:
        """What does the tasks of a source in a process of its own."""
        chosen = self._config.sources[name].chosen
        assert chosen is not None, "the configuration was read for this source"
        reading = _part(chosen.component, "reading")
        made = reading.open_reader(chosen.settings, self.source_context(name), opening)
        return cast("TaskReader", made)

    def heartbeat(self, source: str) -> Heartbeat | None:
        """The heartbeat of a source, None when it has none."""
        keys = self._config.sources[source].keys.heartbeat
        return None if keys is None else keys.chosen()

    def transforms(self, source: str) -> list[Transform]:
        """The transforms of a source, in order; the one that its own keys ask for is the last."""
        config = self._config.sources[source]
        made = [cast("Transform", _made(chosen)) for chosen in config.transforms]
        keys = config.keys
        if keys.skipped_operations or keys.skip_unchanged:
            made.append(Operations(keys.skipped_operations, skip_unchanged=keys.skip_unchanged))
        return made

    def serializer(self, source: str) -> Serializer:
        """A new serializer that encodes what a source gives."""
        return self._serializer(self._config.sources[source], None)

    # --- sink -------------------------------------------------------------------------------------

    def sink(self, name: str) -> Sink:
        """A new sink; may connect."""
        sink = self._config.sinks[name]
        ids = {table: mapping.id for table, mapping in sink.keys.tables.items()}
        context = SinkContext(
            pipeline=self._config.name,
            name=name,
            state_dir=private_folder(self._config.state_dir, "sinks", name),
            id_templates={"*": sink.keys.id, **ids},
        )
        assert sink.chosen is not None, "the configuration was read for this sink"
        return cast("Sink", _made(sink.chosen, context))

    def decoder(self, sink: str | None = None) -> Decode:
        """What decodes the records of every topic, by the source that wrote it.

        `sink` narrows it to the sources that the sink reads. Topics of no source of ours are
        Debezium's JSON.
        """
        config = self._config
        named = config.sinks[sink].keys.from_ if sink else ()
        sources = [config.source_of(each) for each in named] or list(config.sources.values())
        by_prefix = {each.topic_prefix: self._serializer(each, self.schemas()) for each in sources}
        foreign = self._foreign()
        prefixes = sorted(by_prefix, key=len, reverse=True)

        def decode(stored: Stored) -> ChangeEvent | None:
            for prefix in prefixes:
                if stored.topic.startswith(f"{prefix}."):
                    return by_prefix[prefix].decode(stored)
            return foreign.decode(stored)

        return decode

    def schemas(self) -> Schemas:
        """Where decoders find structures: one reader of their topic for all."""
        if self._schemas is None:
            reader = self.log().reader([f"__cdc.{self._config.name}.schemas"], None)
            schemas = TopicSchemas(reader, SCHEMA_WAIT_S, time.monotonic)
            self._closing.callback(schemas.close)
            self._schemas = schemas
        return self._schemas

    def dead_letters(self, sink: str) -> DeadLetters:
        """The dead letters of a sink, which stay open until `close`."""
        folder = private_folder(self._config.state_dir, "sinks", sink)
        letters = DeadLetterFile(folder / "dead-letters.sqlite")
        self._closing.callback(letters.close)
        return letters

    # --- formats ----------------------------------------------------------------------------------

    def _serializer(self, source: SourceConfig, schemas: Schemas | None) -> Serializer:
        connector = DEBEZIUM_CONNECTORS.get(source.keys.type, source.keys.type)
        identity = SourceIdentity(connector, source.topic_prefix, f"tidewire-{version()}")
        return self._format(source.format, identity, schemas)

    def _foreign(self) -> Serializer:
        from cdc.serializers import json  # noqa: PLC0415 - only sinks decode

        identity = SourceIdentity("", "", "")
        return json.create(
            json.Config(),
            identity,
            self.schemas(),
            compacts=self.log().compacts,
            pipeline=self._config.name,
            clock_us=SystemClock().wall_us,
        )

    def _format(
        self, chosen: Chosen, identity: SourceIdentity, schemas: Schemas | None
    ) -> Serializer:
        made = chosen.component.create(
            chosen.settings,
            identity,
            schemas,
            compacts=self.log().compacts,
            pipeline=self._config.name,
            clock_us=SystemClock().wall_us,
        )
        return cast("Serializer", made)


def _made(chosen: Chosen, *context: object) -> object:
    return chosen.component.create(chosen.settings, *context)
