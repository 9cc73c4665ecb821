"""The daemon is killed again and again while an application writes; then everything is compared.

Nothing here uses Tidewire's own decoder, offsets or metrics: changes are judged by the server's
`test_decoding`, records are read by a plain consumer, stores by their own clients.
"""

import json
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from tests.fault.churn import KEYS, Churn, History, judged
from tests.integration.command_line import Folder
from tests.lab import KafkaServer, OpenSearchServer, PostgresDatabase

ROWS = 400
SEED = 20261123

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.opensearch,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture
def folder() -> Iterator[Folder]:
    # Short, because of the Unix socket in it.
    path = Path(mkdtemp(prefix="tw"))
    yield Folder(path)
    shutil.rmtree(path)


def consumed(kafka: KafkaServer, prefix: str) -> tuple[History, History, list[int]]:
    """Streamed changes and snapshot rows by key, and the sequences of every partition in order."""
    streamed: History = defaultdict(list)
    snapshot: History = defaultdict(list)
    disorder: list[int] = []
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": f"{prefix}judge",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )
    try:
        topics = [
            topic for topic in consumer.list_topics(timeout=10).topics if topic.startswith(prefix)
        ]
        for topic in sorted(topics):
            numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            for number in numbers:
                partition = TopicPartition(topic, number, 0)
                _, end = consumer.get_watermark_offsets(partition, timeout=10)
                consumer.assign([partition])
                last_sequence = -1
                while consumer.position([partition])[0].offset < end:
                    message = consumer.poll(10)
                    if message is None:
                        continue
                    assert message.error() is None, message.error()
                    header = dict(message.headers() or [])["cdc"]
                    assert isinstance(header, bytes)
                    sequence = int(header.split(b".")[0])
                    if sequence <= last_sequence:
                        disorder.append(sequence)
                    last_sequence = sequence
                    table = topic.rpartition(".")[2]
                    fields = json.loads(message.key() or b"{}")
                    key = (table, *(str(fields[name]) for name in KEYS[table]))
                    value = message.value()
                    if value is None:
                        assert streamed[key][-1][0] == "d", "a tombstone follows its delete"
                        continue
                    record = json.loads(value)
                    after = record["after"]
                    state = (record["op"], None if after is None else after["change"])
                    (snapshot if record["op"] == "r" else streamed)[key].append(state)
    finally:
        consumer.close()
    return streamed, snapshot, disorder


def rows(database: PostgresDatabase) -> dict[str, dict[str, object]]:
    """Expected documents by id, made by SQL."""
    with database.connect() as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        accounts = connection.execute(
            "SELECT id, change, balance::text, note, active FROM account"
        ).fetchall()
        entries = connection.execute(
            "SELECT account, line, change, amount::text, at FROM entry"
        ).fetchall()
    expected: dict[str, dict[str, object]] = {
        f"account:{id_}": dict(
            zip(("id", "change", "balance", "note", "active"), (id_, *rest), strict=True)
        )
        for id_, *rest in accounts
    }
    for account, line, change, amount, at in entries:
        moment = at.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"
        expected[f"entry:{account}:{line}"] = {
            "account": account, "line": line, "change": change, "amount": amount, "at": moment,
        }  # fmt: skip
    return expected


def configuration(
    database: PostgresDatabase, kafka: KafkaServer, redis_url: str, opensearch: str, prefix: str
) -> str:
    return f"""
name: killed
state_dir: ./state
log:
  type: kafka
  bootstrap_servers: {kafka.bootstrap_servers}
  topics: {{partitions: 3, replication_factor: 1, cleanup_policy: delete}}
sources:
  shop:
    type: postgres
    url: {database.url}
    tables: [public.account, public.entry]
    topic_prefix: {prefix}t
sinks:
  search:
    type: opensearch
    from: [public.account, public.entry]
    url: {opensearch}
    index: "killed-{{table}}"
    tables:
      public.account: {{id: "account:{{id}}"}}
      public.entry: {{id: "entry:{{account}}:{{line}}"}}
  cache:
    type: redis
    from: [public.account, public.entry]
    url: {redis_url}
    tables:
      public.account: {{id: "account:{{id}}"}}
      public.entry: {{id: "entry:{{account}}:{{line}}"}}
"""


def kill_again_and_again(folder: Folder, churn: Churn, kills: int) -> list[float]:
    """Start and SIGKILL the daemon `kills` times; how long it lived each time, in seconds."""
    chosen = random.Random(SEED + kills)
    lives = []
    for number in range(kills):
        with folder.start() as daemon:
            began_s = time.monotonic()
            if number % 4 == 3:
                # Now and then it gets as far as streaming first.
                daemon.until_phase("shop", "streaming")
            # Killed at any moment: before it works, in the snapshot, in a transaction, in a commit.
            deadline_s = time.monotonic() + chosen.uniform(0.6, 3.5)
            before = churn.transactions
            while time.monotonic() < deadline_s:
                assert daemon.process.poll() is None, daemon.journal.read_text()
                time.sleep(0.02)
            assert churn.transactions > before, "the application writes meanwhile"
            daemon.process.kill()
            daemon.process.wait()
            lives.append(time.monotonic() - began_s)
    return lives


@pytest.mark.parametrize("kills", [20, pytest.param(60, marks=pytest.mark.longer)])
def test_every_change_arrives_once_and_stores_are_equal_after_many_kills(
    kills: int,
    folder: Folder,
    postgres_database: PostgresDatabase,
    kafka_server: KafkaServer,
    kafka_prefix: str,
    redis_database: str,
    opensearch_server: OpenSearchServer,
) -> None:
    prefix = kafka_prefix.replace(".", "-")
    Churn.prepare(postgres_database, ROWS)
    folder.write(
        configuration(
            postgres_database, kafka_server, redis_database, opensearch_server.url, prefix
        )
    )

    try:
        with Churn(postgres_database, SEED) as churn:
            lives = kill_again_and_again(folder, churn, kills)
        done = folder.cdc("run", "--until-current")
        streamed, snapshot, disorder = consumed(kafka_server, prefix)
        stored = redis_documents(redis_database)
        indexed = opensearch_documents(opensearch_server)
        remove_slot(postgres_database)
    finally:
        kafka_server.delete_topics(prefix)
        kafka_server.delete_topics("__cdc.killed")
        opensearch_server.delete_indexes("killed")

    assert done.code == 0, done.err
    assert len(lives) == kills
    expected = rows(postgres_database)
    assert expected == stored
    assert expected == indexed
    assert disorder == []
    compare(judged(postgres_database), streamed, snapshot)


def compare(truth: History, streamed: History, snapshot: History) -> None:
    """Every change behind the slot's start once and in order, and no gap to the snapshot."""
    assert sum(len(states) for states in streamed.values()) > 1000, "the run was long enough"
    unknown = {key for key in (*streamed, *snapshot) if key not in truth}
    assert not unknown
    for key, states in truth.items():
        seen = streamed.get(key, [])
        assert seen == states[len(states) - len(seen) :], key
        # What the stream does not hold was there at the slot's start: the snapshot has its last
        # state, or, when its tables were read again after a kill, a later one.
        missed = states[: len(states) - len(seen)]
        if missed and missed[-1][0] != "d":
            at_least = missed[-1][1]
            read = [number for _, number in snapshot.get(key, []) if number is not None]
            gone_meanwhile = any(op == "d" for op, _ in seen)
            assert gone_meanwhile or any(number >= (at_least or 0) for number in read), key


def redis_documents(url: str) -> dict[str, dict[str, object]]:
    """Every JSON document that a plain GET gives, by key."""
    with closing(redis.Redis.from_url(url)) as client:
        keys = [
            key
            for pattern in ("account:*", "entry:*")
            for key in client.scan_iter(pattern, count=1000)
        ]
        values = client.mget(keys) if keys else []
    return {
        key.decode(): json.loads(value)
        for key, value in zip(keys, values, strict=True)
        if value is not None
    }


def opensearch_documents(server: OpenSearchServer) -> dict[str, dict[str, object]]:
    """Every document of the index, by id, without the sink's own field."""
    with closing(OpenSearch(server.url)) as client:
        client.indices.refresh(index="killed-*")
        return {
            hit["_id"]: {
                name: value for name, value in hit["_source"].items() if not name.startswith("_cdc")
            }
            for hit in scan(client, index="killed-*")
        }


def remove_slot(database: PostgresDatabase) -> None:
    """So that the judge's slot is the only one left to compare with."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE NOT active AND plugin = 'pgoutput' AND database = current_database()"
        )
