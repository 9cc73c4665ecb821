"""A real Debezium on Kafka Connect, tuned, as one more program that drains the same changes.

Its rate and CPU are taken between a tenth and nine tenths of the records, so that the seconds in
which a connector starts do not count. Records are counted at the end of the topic.
"""

import json
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.e2e import workload
from benchmarks.e2e.measures import Run, cpu_s, peak_bytes
from tests.lab import KafkaServer, PostgresServer
from tests.lab.debezium import DebeziumServer

WORKER = {
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
    "producer.linger.ms": "10",
    "producer.batch.size": "262144",
    "producer.compression.type": "lz4",
}
TUNED = {"max.batch.size": "8192", "max.queue.size": "32768"}
_SAMPLE_S = 0.05
_START_S = 90.0
_RECORDS_PER_S_MIN = 1000
_REQUEST_S = 30.0


def make_topic(kafka: KafkaServer, topic: str) -> None:
    """A topic of one partition."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for made in admin.create_topics([NewTopic(topic, 1, 1)]).values():
        made.result(_REQUEST_S)


class DebeziumBench:
    """A warm Connect worker; `close` ends it."""

    def __init__(self, postgres: PostgresServer, kafka: KafkaServer) -> None:
        self._postgres = postgres
        self._kafka = kafka
        self._server = DebeziumServer.start(kafka.bootstrap_servers, WORKER, bench=True)
        self._ends = Consumer(
            {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "ends", "log_level": 0}
        )
        self.is_warm = False

    @property
    def pid(self) -> int:
        """The process of the worker."""
        return self._server.pid

    def drain(self, name: str, events: int) -> Run:
        """Read the changes behind the slot `name`, which goes with the run."""
        return self._run(name, events, {"snapshot.mode": "no_data", "poll.interval.ms": "50"})

    def snapshot(self, name: str, rows: int) -> Run:
        """Read the rows of the table."""
        return self._run(name, rows, {"snapshot.mode": "initial_only", "poll.interval.ms": "50"})

    def follow(self, name: str) -> None:
        """Start to follow changes as they come; returns when it does. `leave` ends it."""
        make_topic(self._kafka, f"{name}.public.item")
        self._connect(name, {"snapshot.mode": "no_data", "poll.interval.ms": "10"})
        workload.wait_streaming(self._postgres, name, _START_S)

    def leave(self, name: str) -> None:
        """End a connector; its slot is free afterwards."""
        self._server.disconnect(name)
        workload.wait_free(self._postgres, name, _START_S)
        self._kafka.delete_topics(name)

    def close(self) -> None:
        """End the worker."""
        self._ends.close()
        self._server.close()

    def _run(self, name: str, events: int, config: Mapping[str, str]) -> Run:
        make_topic(self._kafka, f"{name}.public.item")
        self._connect(name, config)
        try:
            samples = self._samples(name, events)
        finally:
            self.leave(name)
        first = next(sample for sample in samples if sample[1] >= events / 10)
        last = next(sample for sample in samples if sample[1] >= events * 9 / 10)
        if last[1] == first[1]:
            # So few that they came between two looks: the start of the connector counts.
            first, last = samples[0], samples[-1]
        share = events / (last[1] - first[1])
        return Run((last[0] - first[0]) * share, (last[2] - first[2]) * share, peak_bytes(self.pid))

    def _connect(self, name: str, config: Mapping[str, str]) -> None:
        self._server.connect(
            name,
            {
                "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
                "tasks.max": "1",
                "plugin.name": "pgoutput",
                "database.hostname": "127.0.0.1",
                "database.port": str(self._postgres.port),
                "database.user": "postgres",
                "database.password": "postgres",
                "database.dbname": workload.DATABASE,
                "topic.prefix": name,
                "slot.name": name,
                "publication.name": workload.PUBLICATION,
                "publication.autocreate.mode": "disabled",
                "table.include.list": "public.item",
                **TUNED,
                **config,
            },
        )

    def _samples(self, name: str, events: int) -> list[tuple[float, int, float]]:
        """Seconds, records and CPU seconds, until all records are there."""
        samples: list[tuple[float, int, float]] = []
        topic = TopicPartition(f"{name}.public.item", 0)
        deadline = time.monotonic() + _START_S + events / _RECORDS_PER_S_MIN
        while True:
            count = int(self._ends.get_watermark_offsets(topic, timeout=_REQUEST_S)[1])
            samples.append((time.monotonic(), count, cpu_s(self.pid)))
            if count >= events:
                return samples
            if time.monotonic() > deadline:
                failure = json.dumps(self._server.failure(name))
                raise SystemExit(f"Debezium wrote {count} of {events} records: {failure}")
            time.sleep(_SAMPLE_S)
