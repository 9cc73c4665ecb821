"""Pytest fixtures: one server of each kind for the whole session, and a fresh place on it per test.

A server that cannot be had skips its tests on a laptop and fails them where `CI` is set.
"""

import os
import secrets
from collections.abc import Generator, Iterator
from typing import NoReturn

import pytest

from tests.lab.browser import Browser
from tests.lab.chromium import ChromiumServer
from tests.lab.errors import Unavailable
from tests.lab.kafka import KafkaServer
from tests.lab.opensearch import OpenSearchServer
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase
from tests.lab.redis import RedisServer

# Not 0, so that a sink that forgets the database number is seen.
_REDIS_DATABASE = 1


def skip_or_fail(missing: Unavailable) -> NoReturn:
    """Fail the running test where `CI` is set, else skip it, with the one line that says why."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have every server: {missing}", pytrace=False)
    pytest.skip(str(missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Treat a server that a fixture cannot have as `skip_or_fail` does."""
    try:
        yield
    except Unavailable as missing:
        skip_or_fail(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Treat a server that a test starts itself and cannot have in the same way."""
    try:
        yield
    except Unavailable as missing:
        skip_or_fail(missing)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL; tests that stop or kill it start their own instead."""
    with PostgresServer.start() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[PostgresDatabase]:
    """An empty database of this test's own; dropped afterwards with its slots and roles."""
    with PostgresDatabase(postgres_server) as database:
        yield database


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """The session's Kafka; tests that stop or kill it start their own instead."""
    with KafkaServer.start() as server:
        yield server


@pytest.fixture
def kafka_prefix(kafka_server: KafkaServer) -> Iterator[str]:
    """The beginning of this test's own topic names; what has it is deleted afterwards."""
    prefix = f"lab-{secrets.token_hex(6)}."
    yield prefix
    kafka_server.delete_topics(prefix)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's Redis or Valkey; tests that stop or kill it start their own instead."""
    with RedisServer.start() as server:
        yield server


@pytest.fixture
def redis_database(redis_server: RedisServer) -> Iterator[str]:
    """The URL of an empty numbered database; emptied afterwards."""
    redis_server.flush(_REDIS_DATABASE)
    yield redis_server.database_url(_REDIS_DATABASE)
    redis_server.flush(_REDIS_DATABASE)


@pytest.fixture(scope="session")
def opensearch_server() -> Iterator[OpenSearchServer]:
    """The session's OpenSearch; tests that stop or kill it start their own instead."""
    with OpenSearchServer.start() as server:
        yield server


@pytest.fixture
def opensearch_prefix(opensearch_server: OpenSearchServer) -> Iterator[str]:
    """The beginning of this test's own index names; what has it is deleted afterwards."""
    prefix = f"lab-{secrets.token_hex(6)}-"
    yield prefix
    opensearch_server.delete_indexes(prefix)


@pytest.fixture(scope="session")
def chromium() -> Iterator[ChromiumServer]:
    """The session's headless browser."""
    with ChromiumServer.start() as server:
        yield server


@pytest.fixture
def browser(chromium: ChromiumServer) -> Iterator[Browser]:
    """A fresh tab with its own cookies and storage."""
    with Browser(chromium) as tab:
        yield tab
