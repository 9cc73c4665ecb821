"""Tidewire and a real Debezium on one database at once, each with a slot of its own."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from cdc.capture import Capture
from cdc.clock import SystemClock
from cdc.event import Stored
from cdc.logs.kafka.codes import PARTITION_EOF
from cdc.logs.memory import MemoryLog
from cdc.protocols import Heartbeat, SourceContext
from cdc.retry import Backoff
from cdc.secret import Secret
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.testing.control import ListedControl
from cdc.transforms.operations import Operations
from connectors.postgres import Config, create
from tests.conformance.goldens import Golden, side_of
from tests.conformance.options import options_of
from tests.lab.debezium import DebeziumServer
from tests.lab.kafka import KafkaServer
from tests.lab.postgres_database import PostgresDatabase

TIMEOUT_S = 90.0
PREFIX = "acme"
HEARTBEATS = f"__debezium-heartbeat.{PREFIX}"
_LOOK_S = 0.02
_STREAMS = (
    "SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid"
    " WHERE s.database = current_database() AND r.state = 'streaming'"
)


class Beside:
    """Both on `database`, from `start` to `close`; `step` waits until both have written it."""

    def __init__(
        self,
        database: PostgresDatabase,
        debezium: DebeziumServer,
        kafka: KafkaServer,
        folder: Path,
    ) -> None:
        self._database = database
        self._debezium = debezium
        self._folder = folder
        self._name = f"beside_{secrets.token_hex(4)}"
        self._config: dict[str, str] = {}
        self._log = MemoryLog(SystemClock(), partitions=1)
        self._over = threading.Event()
        self._capture: threading.Thread | None = None
        self._error: list[BaseException] = []
        self._steps = 0
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": self._name,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "log_level": 0,
            },
        )

    def start(self, config: dict[str, str], setup: Sequence[str]) -> None:
        """Run `setup`, then start both on what it made; returns when both stream."""
        database = self._database
        database.execute(
            *setup,
            "CREATE TABLE zz_step (id int PRIMARY KEY)",
            "CREATE PUBLICATION both_pub FOR ALL TABLES",
        )
        self._config = config
        server = database.server
        self._debezium.connect(
            self._name,
            {
                "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
                "tasks.max": "1",
                "plugin.name": "pgoutput",
                "database.hostname": "127.0.0.1",
                "database.port": str(server.port),
                "database.user": "postgres",
                "database.password": "postgres",
                "database.dbname": database.name,
                "topic.prefix": PREFIX,
                "slot.name": self._name,
                "publication.name": "both_pub",
                "skipped.operations": "none",
                "publication.autocreate.mode": "disabled",
                "poll.interval.ms": "20",
                **config,
            },
        )
        self._capture = threading.Thread(target=self._run_capture, daemon=True)
        self._capture.start()
        self._wait("both stream", self._both_stream)

    def step(self, *statements: str) -> None:
        """Run the statements, each as one transaction; returns when both have written them.

        So the catalog is what it was at the change, which Debezium needs for structures.
        """
        self._steps += 1
        self._database.execute(*statements, f"INSERT INTO zz_step VALUES ({self._steps})")
        self._wait(f"step {self._steps}", self._both_have_written)

    def heartbeats(self) -> None:
        """Return when both have written one."""
        self._wait(
            "heartbeats", lambda: self._end(HEARTBEATS) > 0 < len(self._log.stored(HEARTBEATS))
        )

    def records(self) -> tuple[dict[str, list[Golden]], dict[str, list[Golden]]]:
        """What Debezium and what Tidewire wrote, by topic; of heartbeats the first."""
        ours = {
            info.name: [
                _golden(number, each) for number, each in enumerate(self._log.stored(info.name))
            ]
            for info in self._log.topics()
            if not info.name.startswith("__cdc.")
        }
        # Its producer sends topic by topic: the last step may be there before what precedes it.
        for topic, found in ours.items():
            if topic != HEARTBEATS:
                self._wait(topic, partial(self._has, topic, len(found)))
        theirs = {topic: self._read(topic) for topic in self._topics()}
        for records in (ours, theirs):
            if HEARTBEATS in records:
                del records[HEARTBEATS][1:]
        return theirs, ours

    def close(self) -> None:
        """End both."""
        self._over.set()
        if self._capture is not None:
            self._capture.join(TIMEOUT_S)
        self._consumer.close()
        if self._config is not None:
            self._debezium.disconnect(self._name)

    def _run_capture(self) -> None:
        options = options_of(self._config)
        heartbeat = None
        if "heartbeat.interval.ms" in self._config:
            heartbeat = Heartbeat(int(self._config["heartbeat.interval.ms"]) / 1000)
        context = SourceContext(
            "beside",
            "depot",
            PREFIX,
            self._folder,
            transaction_metadata=self._config.get("provide.transaction.metadata") == "true",
        )
        connection = Config(
            url=Secret(self._database.url),
            tables=("*.*",),
            publication="both_pub",
            create_publication=False,
        )
        clock = SystemClock()
        try:
            Capture(
                make_source=lambda: create(connection, context),
                make_writer=lambda: self._log.writer("depot"),
                make_serializer=lambda: DebeziumJson(
                    SourceIdentity("postgresql", PREFIX, "3.6.1.Final"),
                    options,
                    None,
                    compacts=False,
                    pipeline="beside",
                    clock_us=clock.wall_us,
                ),
                transforms=[Operations((), skip_unchanged=False)],
                clock=clock,
                control=ListedControl(self._over.is_set),
                backoff=Backoff(Random(1)),
                heartbeat=heartbeat,
            ).run()
        except BaseException as error:
            self._error.append(error)
            raise

    def _both_stream(self) -> bool:
        with self._database.connect() as connection:
            row = connection.execute(_STREAMS).fetchone()
        return row is not None and row[0] == 2

    def _both_have_written(self) -> bool:
        topic = f"{PREFIX}.public.zz_step"
        return self._end(topic) >= self._steps <= len(self._log.stored(topic))

    def _wait(self, what: str, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not is_done():
            assert not self._error, self._error
            failure = self._debezium.failure(self._name) if time.monotonic() > deadline else None
            assert time.monotonic() < deadline, f"{what}: not in time; {failure}"
            time.sleep(_LOOK_S)

    def _topics(self) -> list[str]:
        listed = self._consumer.list_topics(timeout=TIMEOUT_S).topics
        return [name for name in listed if name.startswith(f"{PREFIX}.") or name == HEARTBEATS]

    def _end(self, topic: str) -> int:
        """How many records Debezium has written to a topic."""
        if topic not in self._topics():
            return 0
        ends = self._consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=TIMEOUT_S)
        return int(ends[1])

    def _has(self, topic: str, count: int) -> bool:
        return self._end(topic) >= count

    def _read(self, topic: str) -> list[Golden]:
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found: list[Golden] = []
        while True:
            message = self._consumer.poll(TIMEOUT_S)
            assert message is not None, f"no end of {topic}"
            error = message.error()
            if error is not None:
                assert error.code() == PARTITION_EOF, error
                return found
            found.append(_theirs(topic, len(found), message))


def _theirs(topic: str, number: int, message: Message) -> Golden:
    listed = message.headers() or []
    assert isinstance(listed, list)
    key, value = message.key(), message.value()
    return Golden(
        topic,
        number,
        tuple((name, _bytes(text).decode()) for name, text in listed),
        None if key is None else side_of(_bytes(key)),
        None if value is None else side_of(_bytes(value)),
    )


def _golden(number: int, stored: Stored) -> Golden:
    headers = tuple((name, text.decode()) for name, text in stored.headers if name != "cdc")
    return Golden(stored.topic, number, headers, side_of(stored.key), side_of(stored.value))


def _bytes(text: object) -> bytes:
    assert isinstance(text, bytes)
    return text
