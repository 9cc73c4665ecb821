"""What the lab can start: where each thing comes from, how to download it, how to start it."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.lab import chromium, debezium, kafka, opensearch, pins, postgres_install, redis
from tests.lab.cache import is_filled
from tests.lab.debian import can_unpack
from tests.lab.errors import Unavailable
from tests.lab.java import java_home
from tests.lab.postgres import PostgresServer


class Server(Protocol):
    """What all servers of the lab have in common."""

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""

    def close(self) -> None:
        """Stop the server and remove its folder; may be called twice."""


@dataclass(frozen=True, slots=True)
class Started:
    """A running server and its address as a client wants it."""

    server: Server
    address: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that the lab offers.

    `describe` says version and origin without downloading; `fetch` downloads it; `start` is None
    for what is a tool and no server. All three raise Unavailable if this machine cannot have it.
    """

    describe: Callable[[], str]
    fetch: Callable[[], object]
    start: Callable[[], Started] | None = None


def _start_postgres() -> Started:
    server = PostgresServer.start()
    return Started(server, server.url())


def _start_kafka() -> Started:
    server = kafka.KafkaServer.start()
    return Started(server, server.bootstrap_servers)


def _start_redis() -> Started:
    server = redis.RedisServer.start()
    return Started(server, server.url)


def _start_opensearch() -> Started:
    server = opensearch.OpenSearchServer.start()
    return Started(server, server.url)


def _describe_postgres() -> str:
    return ", ".join(
        f"{found.version} ({found.origin})" for found in postgres_install.installs()
    ) or (str(postgres_install.find_postgres()))


def _describe_maven(version: str, name: str) -> str:
    if is_filled(name):
        return f"{version} (Maven, in the cache)"
    if shutil.which("mvn") is not None:
        return f"{version} (Maven, not downloaded yet)"
    if os.geteuid() == 0 and can_unpack():
        return f"{version} (Maven, which would be installed with apt-get first)"
    raise Unavailable("no mvn on this machine", "install the system package maven")


def _fetch_kafka() -> None:
    kafka.kafka_jars()
    java_home()


def _fetch_opensearch() -> None:
    opensearch.opensearch_tree()
    java_home()


def _fetch_debezium() -> None:
    debezium.connect_jars()
    debezium.debezium_plugin()
    java_home()


CATALOG = {
    "postgres": Entry(_describe_postgres, postgres_install.find_postgres, _start_postgres),
    "kafka": Entry(lambda: _describe_maven(pins.KAFKA, kafka.JARS), _fetch_kafka, _start_kafka),
    "redis": Entry(redis.redis_state, redis.find_redis, _start_redis),
    "opensearch": Entry(
        lambda: _describe_maven(pins.OPENSEARCH, opensearch.TREE),
        _fetch_opensearch,
        _start_opensearch,
    ),
    # It writes into a Kafka: `tests/lab/debezium.py` says how to start it beside one.
    "debezium": Entry(lambda: _describe_maven(pins.DEBEZIUM, debezium.PLUGIN), _fetch_debezium),
    "chromium": Entry(chromium.chromium_state, chromium.find_chromium),
}
