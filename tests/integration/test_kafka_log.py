"""What only a real Kafka shows: fencing, kill -9, a broker that goes away, refusals."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from cdc.checkpoint import Checkpoint
from cdc.errors import ConfigError, Fenced, LogRefused, PositionLost, TransientError
from cdc.event import Record, Topic
from cdc.logs.kafka import Config, create
from cdc.logs.kafka.log import KafkaLog
from cdc.protocols import LogContext
from cdc.testing.log_harness import MARK, append, commit, numbers, record, take, until, write
from tests.lab.kafka import KafkaServer

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
PATIENCE_S = 40.0
KILLS = 4

# Writes the numbers that follow its checkpoint, in small transactions, until it is killed.
WRITE = """
import itertools, sys
from pathlib import Path
from cdc.checkpoint import Checkpoint
from cdc.event import Record, Topic
from cdc.logs.kafka import Config, create
from cdc.protocols import LogContext

servers, pipeline, name = sys.argv[1:]
config = Config(bootstrap_servers=servers)
writer = create(config, LogContext(pipeline, Path())).writer("shop")
stored = writer.open()
number = int(stored.parts["position"]) if stored else 0
topic = Topic(name, False)
for step in itertools.count():
    records = [
        Record(topic, b"k", b"value %d" % (number + index), b".0123456789abcdef", sequence=1)
        for index in range(1 + step * 7 % 40)
    ]
    number += len(records)
    while not writer.append(records, 1.0):
        pass
    while not writer.commit(Checkpoint({"position": b"%d" % number}), 1.0):
        pass
"""


@pytest.fixture
def pipeline() -> str:
    return f"p{secrets.token_hex(4)}"


@pytest.fixture
def topic(kafka_prefix: str) -> Topic:
    return Topic(f"{kafka_prefix}numbers", compacted=False)


@pytest.fixture(scope="module")
def own_server() -> Iterator[KafkaServer]:
    """A broker that these tests may stop and kill."""
    with KafkaServer.start() as server:
        yield server


def log_on(server: KafkaServer, pipeline: str, **settings: object) -> KafkaLog:
    given = {"bootstrap_servers": server.bootstrap_servers, "metadata_refresh_s": 0.2}
    config = Config.model_validate({**given, "topics": {"partitions": 1}, **settings})
    return create(config, LogContext(pipeline, Path()))


def end_of(server: KafkaServer, topic: str, partition: int, isolation: str) -> int:
    """Where a partition ends for a plain consumer of this isolation level."""
    properties = {
        "bootstrap.servers": server.bootstrap_servers,
        "group.id": "judge",
        "isolation.level": isolation,
    }
    with closing(Consumer(properties)) as consumer:
        while True:
            try:
                return int(
                    consumer.get_watermark_offsets(TopicPartition(topic, partition), 10.0)[1]
                )
            except KafkaException as error:
                # A topic that is new may have no leader yet.
                if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                    raise


def read_independently(server: KafkaServer, topic: str, count: int) -> list[int]:
    """What a plain read_committed consumer sees, without any code of ours."""
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap_servers,
            "group.id": f"judge-{secrets.token_hex(4)}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "topic.metadata.refresh.interval.ms": 500,
        }
    )
    consumer.subscribe([topic])
    found: list[int] = []
    deadline_s = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline_s:
        for message in consumer.consume(500, 0.3):
            if message.error() is None:
                found.append(int((message.value() or b"").split()[1]))
    found += [
        int((message.value() or b"").split()[1])
        for message in consumer.consume(500, 1.0)
        if message.error() is None
    ]
    consumer.close()
    return found


def test_killed_writers_lose_and_repeat_nothing(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    log = log_on(kafka_server, pipeline)
    reader = log.reader([topic.name], None)
    found: list[int] = []

    for _ in range(KILLS):
        before = len(found)
        command = [sys.executable, "-c", WRITE, kafka_server.bootstrap_servers, pipeline]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen([*command, topic.name], env=environment) as writer:
            deadline_s = time.monotonic() + PATIENCE_S
            while len(found) < before + 200 and time.monotonic() < deadline_s:
                found += numbers(reader.poll(1000, 1.0))
            writer.kill()
        assert len(found) >= before + 200
    reader.close()
    last = log.writer("shop")
    stored = last.open()
    last.close()

    assert stored is not None
    position = int(stored.parts["position"] or b"0")
    assert position >= len(found)
    assert list(range(position)) == read_independently(kafka_server, topic.name, position)


def test_a_zombie_with_an_open_transaction_is_fenced(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    log = log_on(kafka_server, pipeline)
    zombie, newer = log.writer("shop"), log.writer("shop")
    zombie.open()
    write(zombie, [record(topic, 0)], PATIENCE_S)
    append(zombie, [record(topic, 1)], PATIENCE_S)

    stored = newer.open()
    write(newer, [record(topic, 2)], PATIENCE_S)
    with pytest.raises(Fenced, match="Stop one of the two"):
        commit(zombie, {"position": b"zombie"}, PATIENCE_S)
    with pytest.raises(Fenced):
        zombie.append([record(topic, 3)], 1.0)

    assert stored == Checkpoint({"position": b"written"})
    assert read_independently(kafka_server, topic.name, 2) == [0, 2]
    zombie.close()
    newer.close()


def test_a_transaction_that_the_cluster_gave_up_is_no_fencing(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    log = log_on(kafka_server, pipeline, transaction_timeout_s=1)
    writer = log.writer("shop")
    writer.open()
    append(writer, [record(topic, 0)], PATIENCE_S)
    assert writer._outbox is not None
    writer._outbox.producer.flush(PATIENCE_S)

    # The broker looks for such transactions every ten seconds; the marker of the abort moves the
    # stable end behind the record.
    until(
        lambda: end_of(kafka_server, topic.name, 0, "read_committed") > 0,
        PATIENCE_S,
        "the broker aborts",
    )
    with pytest.raises(TransientError, match="transaction_timeout_s"):
        commit(writer, {"position": b"late"}, PATIENCE_S)

    writer.close()


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_broker_that_restarts_meanwhile_costs_only_time(
    own_server: KafkaServer, pipeline: str, delivery: str
) -> None:
    topic = Topic(f"{pipeline}.numbers", compacted=False)
    log = log_on(own_server, pipeline, delivery=delivery)
    writer = log.writer("shop")
    writer.open()
    write(writer, [record(topic, number) for number in range(100)], PATIENCE_S)

    own_server.kill()
    append(writer, [record(topic, number) for number in range(100, 200)], PATIENCE_S)
    began_s = time.monotonic()
    done = writer.commit(Checkpoint({"position": b"200"}), 0.5)
    took_s = time.monotonic() - began_s
    own_server.start_again()
    commit(writer, {"position": b"200"}, PATIENCE_S)
    writer.close()

    assert not done
    assert took_s < 2.0
    assert list(range(200)) == read_independently(own_server, topic.name, 200)


def test_records_that_cannot_be_delivered_keep_the_position_back(
    own_server: KafkaServer, pipeline: str
) -> None:
    topic = Topic(f"{pipeline}.numbers", compacted=False)
    settings = {"delivery": "at_least_once", "client": {"message.timeout.ms": 3000}}
    log = log_on(own_server, pipeline, **settings)
    writer = log.writer("shop")
    writer.open()
    write(writer, [record(topic, 0)], PATIENCE_S)

    own_server.kill()
    append(writer, [record(topic, 1)], PATIENCE_S)
    with pytest.raises(TransientError, match=topic.name):
        commit(writer, {"position": b"too far"}, PATIENCE_S)
    with pytest.raises(TransientError, match=topic.name):
        writer.commit(Checkpoint({"position": b"too far"}), 1.0)
    writer.close()
    own_server.start_again()

    again = log.writer("shop")
    assert again.open() == Checkpoint({"position": b"written"})
    again.close()


def test_a_queue_that_is_full_says_not_yet(own_server: KafkaServer, pipeline: str) -> None:
    topic = Topic(f"{pipeline}.numbers", compacted=False)
    log = log_on(own_server, pipeline, queue_bytes_max=1 << 20)
    writer = log.writer("shop")
    writer.open()
    write(writer, [record(topic, 0)], PATIENCE_S)
    value = b"x" * 100_000
    records = [Record(topic, b"k", value, MARK, sequence=number) for number in range(1, 31)]

    own_server.kill()
    began_s = time.monotonic()
    answers = [writer.append(records, 0.3) for _ in range(3)]
    took_s = time.monotonic() - began_s
    own_server.start_again()
    append(writer, records, PATIENCE_S)
    commit(writer, {"position": b"1"}, PATIENCE_S)
    reader = log.reader([topic.name], None)
    found = take(reader, 31, PATIENCE_S)

    assert answers == [False, False, False]
    assert took_s < 3.0
    assert [1, *range(1, 31)] == [int(one.headers[0][1].split(b".")[0]) for one in found]
    reader.close()
    writer.close()


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_record_that_is_too_large_names_the_settings(
    kafka_server: KafkaServer, pipeline: str, topic: Topic, delivery: str
) -> None:
    large = Record(topic, b"k", os.urandom(3_000_000), MARK, sequence=1)

    for client in ({}, {"message.max.bytes": 10_000_000}):
        log = log_on(kafka_server, pipeline, delivery=delivery, client=client)
        writer = log.writer("shop")
        writer.open()
        with pytest.raises(LogRefused, match=r"larger .* message\.max\.bytes"):
            write(writer, [large], PATIENCE_S)
        writer.close()


def test_a_missing_topic_that_may_not_be_made_says_how_to_make_it(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    log = log_on(kafka_server, pipeline, topics={"create": False, "partitions": 3})
    writer = log.writer("shop")

    with pytest.raises(LogRefused, match=rf"__cdc\.{pipeline}\.checkpoints\.shop.*1 partition and"):
        writer.open()

    writer.close()


def test_topics_are_made_as_configured_and_left_as_they_are(
    kafka_server: KafkaServer, pipeline: str, kafka_prefix: str
) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_server.bootstrap_servers})
    existing = Topic(f"{kafka_prefix}existing", compacted=True)
    admin.create_topics([NewTopic(existing.name, 5, 1)])[existing.name].result()
    settings = {"partitions": 3, "config": {"retention.ms": 1234567, "preallocate": True}}
    log = log_on(kafka_server, pipeline, topics=settings)
    writer = log.writer("shop")
    writer.open()
    keyed = Topic(f"{kafka_prefix}keyed", compacted=True)
    keyless = Topic(f"{kafka_prefix}keyless", compacted=False)

    assert [writer.partitions(topic) for topic in (existing, keyed, keyless)] == [5, 3, 3]
    writer.close()
    listed = {info.name: info for info in log.topics()}
    assert tuple(listed[topic.name].compacted for topic in (existing, keyed, keyless)) == (
        False,
        True,
        False,
    )
    assert listed[f"__cdc.{pipeline}.checkpoints.shop"].compacted


def test_an_offset_that_retention_took_is_a_lost_position(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    log = log_on(kafka_server, pipeline)
    writer = log.writer("shop")
    writer.open()
    write(writer, [record(topic, number) for number in range(10)], PATIENCE_S)
    reader = log.reader([topic.name], "sink")
    found = take(reader, 10, PATIENCE_S)
    reader.commit(found[:2])
    reader.close()
    admin = AdminClient({"bootstrap.servers": kafka_server.bootstrap_servers})
    for answer in admin.delete_records([TopicPartition(topic.name, 0, 5)]).values():
        answer.result()

    reader = log.reader([topic.name], "sink")
    with pytest.raises(PositionLost, match="cdc reset SINK"):
        take(reader, 1, PATIENCE_S)
    reader.close()
    writer.close()


def test_the_ends_hold_what_was_just_committed(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    """A commit returns before every partition shows it: who asks then must not see an older end."""
    log = log_on(kafka_server, pipeline, topics={"partitions": 12})
    writer = log.writer("shop")
    writer.open()
    reader = log.reader([topic.name], "sink")
    short: list[int] = []

    for round_ in range(60):
        before = sum(reader.ends().values())
        records = [record(topic, number, b"%d" % number) for number in range(200)]
        write(writer, records, PATIENCE_S)
        if sum(reader.ends().values()) < before + len(records):
            short.append(round_)
    reader.close()
    writer.close()

    assert short == []


def test_a_partition_that_has_only_what_was_discarded_is_passed(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    """A writer that died has left records and a marker there, and no reader gets one of them."""
    log = log_on(kafka_server, pipeline, topics={"partitions": 2})
    writer = log.writer("shop")
    writer.open()
    discarded = [record(topic, number) for number in range(2)]
    for number, one in enumerate(discarded):
        one.partition = number
    append(writer, discarded, PATIENCE_S)
    until(
        lambda: end_of(kafka_server, topic.name, 1, "read_uncommitted") > 0,
        PATIENCE_S,
        "they arrive",
    )
    writer.close()
    writer = log.writer("shop")
    writer.open()
    kept = record(topic, 7)
    kept.partition = 0
    write(writer, [kept], PATIENCE_S)
    reader = log.reader([topic.name], "sink")

    def passed() -> bool:
        reader.commit(reader.poll(10, 0.2))
        return reader.positions() == reader.ends()

    until(passed, PATIENCE_S, "positions = ends")
    assert len(reader.ends()) == 2
    reader.close()
    writer.close()


def test_records_of_partitions_that_went_to_another_member_are_not_committed(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    log = log_on(kafka_server, pipeline, topics={"partitions": 2})
    writer = log.writer("shop")
    writer.open()
    records = [record(topic, number) for number in range(2)]
    for number, one in enumerate(records):
        one.partition = number
    write(writer, records, PATIENCE_S)
    first, second = (log.reader([topic.name], "sink") for _ in range(2))
    found = take(first, 2, PATIENCE_S)
    taken: list[int] = []

    def shared() -> bool:
        first.poll(1, 0.1)
        taken.extend(numbers(second.poll(1, 0.1)))
        return bool(taken)

    until(shared, PATIENCE_S, "the second member gets a partition")
    first.commit(found)

    gone = taken[0]
    assert numbers(found) != taken
    assert [0 if number == gone else 1 for number in range(2)] == [
        min(1, offset) for _, offset in sorted(first.positions().items())
    ]
    first.close()
    second.close()
    writer.close()


def test_an_address_where_nobody_listens_and_a_wrong_password_read_differently(
    kafka_server: KafkaServer, pipeline: str
) -> None:
    nobody = {"bootstrap_servers": "127.0.0.1:1", "open_timeout_s": 2}
    client = {**kafka_server.sasl_config, "sasl.password": "not this"}
    servers = client.pop("bootstrap.servers")
    wrong = {"bootstrap_servers": servers, "client": client, "open_timeout_s": 5}

    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1 cannot be reached.*bootstrap_serv"):
        log_on(kafka_server, pipeline, **nobody).writer("shop").open()
    with pytest.raises(LogRefused, match=r"refuses the credentials.*sasl\.password") as refused:
        log_on(kafka_server, pipeline, **wrong).writer("shop").open()

    assert "not this" not in str(refused.value)
    findings = log_on(kafka_server, pipeline, **wrong).check()
    assert [(one.severity, one.code) for one in findings] == [("error", "kafka-not-reachable")]
    assert "credentials" in findings[0].message


def test_a_user_without_rights_is_told_which(
    kafka_server: KafkaServer, pipeline: str, topic: Topic
) -> None:
    client = dict(kafka_server.sasl_config)
    servers = client.pop("bootstrap.servers")
    log = log_on(kafka_server, pipeline, bootstrap_servers=servers, client=client)

    with pytest.raises(LogRefused, match=r"does not allow it .*Give this user"):
        log.writer("shop").open()
    with (
        closing(log.reader([topic.name], "sink")) as reader,
        pytest.raises(LogRefused, match="Read and Delete on the consumer group"),
    ):
        take(reader, 1, PATIENCE_S)


def test_a_good_cluster_passes_and_impossible_wishes_are_found(
    kafka_server: KafkaServer, pipeline: str
) -> None:
    good = log_on(kafka_server, pipeline).check()
    settings = {"topics": {"replication_factor": 3}, "transaction_timeout_s": 900}
    longest = log_on(kafka_server, pipeline, **settings).check()

    assert {"ok"} == {finding.severity for finding in good}
    assert [one.code for one in longest if one.severity == "error"] == ["kafka-replication"]


@pytest.mark.parametrize(
    "client",
    [
        {"no.such.property": "1"},
        {"socket.timeout.ms": "soon"},
        {"security.protocol": "carrier pigeon"},
    ],
)
def test_a_wrong_client_property_is_a_configuration_error(
    kafka_server: KafkaServer, pipeline: str, client: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match=f"log.client: .*{next(iter(client))}"):
        log_on(kafka_server, pipeline, client=client).writer("shop").open()
