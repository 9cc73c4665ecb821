"""Records go to the partitions that Kafka Connect's producer chose for the same keys (murmur2)."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.conformance.goldens import FOLDER, needs_goldens
from tests.integration.command_line import Folder
from tests.lab import KafkaServer, PostgresDatabase

pytestmark = [pytest.mark.postgres, pytest.mark.kafka, needs_goldens]

TOPICS = ("acme.public.pk_i", "acme.public.pk_t")
PARTITIONS = 6


@pytest.fixture
def folder() -> Iterator[Folder]:
    path = Path(mkdtemp(prefix="tw"))
    yield Folder(path)
    shutil.rmtree(path)


def recorded() -> dict[tuple[str, bytes], int]:
    """Partition by topic and exact key bytes, as Debezium's run placed them."""
    schemas: dict[str, str] = {}
    places: dict[tuple[str, bytes], int] = {}
    for line in (FOLDER / "partitions.jsonl").read_text().splitlines():
        found = json.loads(line)
        if "schema_id" in found:
            schemas[found["schema_id"]] = found["schema_text"]
        elif found["topic"] in TOPICS:
            key = found["key"]
            text = f'{{"schema":{schemas[key["schema"]]},"payload":{key["payload"]}}}'
            places[found["topic"], text.encode()] = found["partition"]
    return places


def written(kafka: KafkaServer) -> dict[tuple[str, bytes], int]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "partitions-judge",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    places: dict[tuple[str, bytes], int] = {}
    try:
        for topic in TOPICS:
            for number in range(PARTITIONS):
                partition = TopicPartition(topic, number, 0)
                _, end = consumer.get_watermark_offsets(partition, timeout=10)
                consumer.assign([partition])
                while consumer.position([partition])[0].offset < end:
                    # Behind the last message is the end of its transaction, which gives none.
                    message = consumer.poll(0.1)
                    if message is not None:
                        key = message.key()
                        assert isinstance(key, bytes)
                        places[topic, key] = number
    finally:
        consumer.close()
    return places


def test_every_key_is_in_the_partition_that_connect_chose(
    folder: Folder, postgres_database: PostgresDatabase, kafka_server: KafkaServer
) -> None:
    for script in ("partitions_setup.sql", "partitions_changes.sql"):
        postgres_database.execute((FOLDER / script).read_text())
    folder.write(
        f"""
name: partitions
log:
  type: kafka
  bootstrap_servers: {kafka_server.bootstrap_servers}
  topics: {{partitions: {PARTITIONS}, replication_factor: 1}}
sources:
  depot:
    type: postgres
    url: {postgres_database.url}
    tables: [public.pk_i, public.pk_t]
    topic_prefix: acme
    format: {{type: json, schemas: true}}
"""
    )

    try:
        done = folder.cdc("run", "--until-current")
        places = written(kafka_server)
    finally:
        kafka_server.delete_topics("acme.public.pk_")
        kafka_server.delete_topics("__cdc.partitions")

    assert done.code == 0, done.err
    assert recorded() == places
