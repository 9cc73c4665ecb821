"""Decisions of the redis sink that need no server: errors, sizes, findings."""

import pytest
import redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from cdc.errors import SinkRefused, TransientError
from sinks.redis_server import Command, chunks, server_findings, translation, values

# Texts of Redis 6.2.14 and Valkey 9.1.2, where scripts put their own words around a code.
TRANSIENT = [
    OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    ResponseError(
        "Error running script (call to f_1): @user_script:19: @user_script: 19: -OOM command not "
        "allowed when used memory > 'maxmemory'."
    ),
    BusyLoadingError("Redis is loading the dataset in memory"),
    ReadOnlyError("You can't write against a read only replica."),
    ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's unable to persist"),
    ResponseError("NOREPLICAS Not enough good replicas to write."),
    ResponseError("BUSY Redis is busy running a script."),
    redis.ConnectionError("Connection closed by server."),
    redis.TimeoutError("Timeout reading from socket"),
]
REFUSED = [
    AuthenticationError("invalid username-password pair or user is disabled."),
    ResponseError("NOAUTH Authentication required."),
    NoPermissionError("User cdc has no permissions to run the 'set' command"),
    ResponseError("ACL failure in script: User cdc has no permissions to run the 'set' command"),
    ResponseError("@user_script: 2: The user executing the script can't run this command"),
    MovedError("1234 127.0.0.1:7001"),
    ClusterCrossSlotError("Keys in request don't hash to the same slot"),
    ResponseError("ERR something that nobody has seen yet"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: str(error)[:30])
def test_what_passes_by_itself_is_tried_again(error: Exception) -> None:
    assert isinstance(translation(error), TransientError)


@pytest.mark.parametrize("error", REFUSED, ids=lambda error: str(error)[:30])
def test_what_does_not_pass_stops_the_sink(error: Exception) -> None:
    failure = translation(error)

    assert isinstance(failure, SinkRefused)
    assert failure.hint


def test_only_a_value_of_another_type_concerns_one_document() -> None:
    error = ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")

    assert translation(error) is None


def test_chunks_hold_everything_in_order_and_no_more_than_their_limit() -> None:
    commands = [Command(i, ("k", "v"), ("x" * size,)) for i, size in enumerate([3, 3, 9, 1])]

    cut = list(chunks(commands, 10))

    assert [[command.index for command in chunk] for chunk in cut] == [[0, 1], [2], [3]]


def test_a_hash_holds_no_nulls_and_a_patch_names_them_first() -> None:
    document = {"a": "1", "b": None, "c": 2, "d": None}

    assert values("hash", document, is_patch=False) == ("a", "1", "c", b"2")
    assert values("hash", document, is_patch=True) == ("2", "b", "d", "a", "1", "c", b"2")
    assert values("json", None, is_patch=False) == ()


def test_a_good_server_has_no_findings_and_a_cluster_is_an_error() -> None:
    good = {"role": "master", "aof_enabled": 1, "maxmemory": 0, "maxmemory_policy": "allkeys-lru"}

    assert server_findings(good) == []
    (finding,) = server_findings({**good, "cluster_enabled": 1})
    assert (finding.severity, finding.code) == ("error", "redis-cluster")
