"""The broker stands still, or is gone, while the daemon works: what becomes of the source.

Judges: the server's own list of slots and processes, and a plain consumer.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.integration.command_line import Daemon, Folder, until
from tests.lab import KafkaServer, PostgresDatabase

pytestmark = [pytest.mark.postgres, pytest.mark.kafka, pytest.mark.longer]

ROWS = 60_000
TOPIC = "shop.public.t"


@pytest.fixture
def broker() -> Iterator[KafkaServer]:
    """A broker of this test's own, which may be stopped."""
    with KafkaServer.start() as server:
        yield server


@pytest.fixture
def folder() -> Iterator[Folder]:
    # Short, because of the Unix socket in it.
    path = Path(mkdtemp(prefix="tw"))
    yield Folder(path)
    shutil.rmtree(path)


def configuration(database: PostgresDatabase, broker: KafkaServer, more: str = "") -> str:
    return f"""
name: shop
state_dir: ./state
log: {{type: kafka, bootstrap_servers: "{broker.bootstrap_servers}", topics: {{partitions: 1}}}}
sources:
  shop:
    type: postgres
    url: "{database.url}"
    tables: [public.t]
{more}
"""


def consumer_of(broker: KafkaServer) -> Consumer:
    """A plain consumer that reads the topic from its beginning."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "judge",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    return consumer


def next_id(consumer: Consumer) -> int | None:
    """The key of the next row of the topic; None when there is none yet."""
    message = consumer.poll(1.0)
    value = None if message is None or message.error() is not None else message.value()
    if value is None:
        return None
    change = json.loads(value)
    assert change["op"] == "c", "a row of a snapshot, which is no part of these tests"
    return int(change["after"]["id"])


def sender(judge: Any) -> int | None:
    """The server's process that reads the slot for us."""
    found = judge.execute(
        "SELECT active_pid FROM pg_replication_slots WHERE database = current_database()"
    ).fetchone()
    return None if found is None else int(found[0] or 0)


def progress(daemon: Daemon) -> dict[str, Any]:
    worker = daemon.worker("shop")
    assert worker is not None
    found: dict[str, Any] = worker["progress"]
    return found


@pytest.mark.parametrize(("stall_s", "server_timeout_s"), [(30, 5), (300, 60)])
@pytest.mark.timeout(700)
def test_broker_that_stalls_in_a_large_transaction_does_not_cost_the_connection(
    stall_s: int,
    server_timeout_s: int,
    folder: Folder,
    postgres_database: PostgresDatabase,
    broker: KafkaServer,
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        f"ALTER DATABASE {postgres_database.name} SET logical_decoding_work_mem = '64kB'",
        f"ALTER DATABASE {postgres_database.name} SET wal_sender_timeout = '{server_timeout_s}s'",
    )
    settings = "    transaction_memory_bytes: 65536\n    status_interval_s: 1"
    folder.write(configuration(postgres_database, broker, settings))
    rows = f"INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, {ROWS}) g"
    with (
        folder.start() as daemon,
        postgres_database.connect() as judge,
        closing(consumer_of(broker)) as consumer,
    ):
        daemon.until_phase("shop", "streaming")
        before = sender(judge)
        judge.execute(rows.encode())
        found = [until("the first row is in the log", lambda: next_id(consumer))]

        os.kill(broker.pid, signal.SIGSTOP)
        try:
            until_s = time.monotonic() + stall_s
            while time.monotonic() < until_s:
                judge.execute("SELECT pg_sleep(0.5)")
                assert before == sender(judge), daemon.journal.read_text()
            given = progress(daemon)["open_transactions"]["changes_given"]
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        judge.execute("INSERT INTO t VALUES (0, 'behind')")
        until("all is in the log", lambda: follow(consumer, found), 120.0)

    assert given is not None
    assert 0 < given < ROWS
    assert [*range(1, ROWS + 1), 0] == found


def follow(consumer: Consumer, found: list[int]) -> bool:
    """Add what comes to `found`; whether that is the last row."""
    while (key := next_id(consumer)) is not None:
        found.append(key)
    return found[-1] == 0


def notes(daemon: Daemon) -> set[str]:
    """The codes of what the source has to say."""
    return {note["code"] for note in progress(daemon)["notes"]}


def fill(database: PostgresDatabase) -> None:
    """Use up some segments of 16 MiB, with hardly any writing."""
    for _ in range(3):
        database.execute("INSERT INTO noise VALUES (1)", "SELECT pg_switch_wal()")


def test_guard_warns_and_then_pauses_while_the_broker_is_gone(
    folder: Folder, postgres_database: PostgresDatabase, broker: KafkaServer
) -> None:
    """Gone while the daemon streams; and before it starts, when it can open no log at all."""
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE TABLE noise (v int)"
    )
    warning = "{warn_bytes: 20000000, limit_bytes: 20000000000}"
    folder.write(configuration(postgres_database, broker, f"    wal_guard: {warning}"))
    with folder.start() as daemon:
        daemon.until_phase("shop", "streaming")
        postgres_database.execute("INSERT INTO t VALUES (2, 'before')")
        with closing(consumer_of(broker)) as consumer:
            # Then the snapshot is over in the log too.
            until("the first row is in the log", lambda: next_id(consumer))
        broker.stop()
        postgres_database.execute("INSERT INTO t VALUES (1, 'while it is gone')")
        fill(postgres_database)
        until("a warning", lambda: "wal-warning" in notes(daemon))
        daemon.kill_all()

    limit = "{warn_bytes: 20000000, limit_bytes: 20000000, policy: pause-source}"
    folder.write(configuration(postgres_database, broker, f"    wal_guard: {limit}"))
    with folder.start() as daemon:
        paused = daemon.until_phase("shop", "paused")
        broker.start_again()
        postgres_database.execute("INSERT INTO t VALUES (0, 'behind')")
        resumed = folder.cdc("resume", "shop")
        with closing(consumer_of(broker)) as consumer:
            found = [until("the first row", lambda: next_id(consumer))]
            until("all is in the log", lambda: follow(consumer, found))

    assert paused["last_error"]["kind"] == "SourcePaused"
    assert "wal_guard.limit_bytes" in paused["last_error"]["message"]
    assert resumed.code == 0, resumed.err
    assert found == [2, 1, 0]
