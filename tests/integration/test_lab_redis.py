"""The lab's Redis or Valkey: what tests of the rest may rely on."""

import pytest
import redis

from tests.lab import RedisServer

pytestmark = pytest.mark.redis


def test_database_is_empty_and_apart_from_database_0(
    redis_server: RedisServer, redis_database: str
) -> None:
    with redis.Redis.from_url(redis_database) as client:
        assert client.dbsize() == 0
        client.set("key", "value")

    with redis.Redis.from_url(redis_server.url) as client:
        assert client.get("key") is None


def test_flush_empties_the_database(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.database_url(2)) as client:
        client.set("key", "value")

        redis_server.flush(2)

        assert client.dbsize() == 0


@pytest.mark.parametrize(("appendonly", "expected"), [(True, b"value"), (False, None)])
def test_kill_keeps_data_with_appendonly_only(appendonly: bool, expected: bytes | None) -> None:
    with RedisServer.start(appendonly=appendonly) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("key", "value")

        server.kill()
        assert not server.is_running
        server.start_again()

        assert url == server.url
        with redis.Redis.from_url(url) as client:
            assert expected == client.get("key")
