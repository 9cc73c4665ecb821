"""Pytest fixtures: one server of each kind for the whole session, and a fresh place on it per test.

A server that cannot be had skips its tests on a laptop and fails them where `CI` is set.
"""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.lab.errors import Unavailable
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase

T = TypeVar("T")


def or_skip(start: Callable[[], T]) -> T:
    """Return what `start` returns; if that cannot be had, fail where `CI` is set, else skip.

    Session fixtures of other servers and versions go through this too.
    """
    try:
        return start()
    except Unavailable as missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have every server: {missing}", pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL; tests that stop or kill it start their own instead."""
    with or_skip(PostgresServer.start) as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[PostgresDatabase]:
    """An empty database of this test's own; dropped afterwards with its slots and roles."""
    with PostgresDatabase(postgres_server) as database:
        yield database
