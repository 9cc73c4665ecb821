"""Every sink keeps the contract; a sink without a harness is a failure."""

from collections.abc import Callable
from pathlib import Path

import pytest

import sinks
from cdc.testing.sink_contract import SinkContract
from cdc.testing.sink_harness import SinkHarness, sinks_of
from tests.contract.sink_harnesses import (
    BlackholeHarness,
    OpenSearchHarness,
    RedisHarness,
    SqliteHarness,
    StdoutHarness,
)


def _sqlite(_request: pytest.FixtureRequest, folder: Path) -> SinkHarness:
    return SqliteHarness(folder)


def _redis_json(request: pytest.FixtureRequest, folder: Path) -> SinkHarness:
    return RedisHarness(request.getfixturevalue("redis_database"), folder, "json")


def _redis_hash(request: pytest.FixtureRequest, folder: Path) -> SinkHarness:
    return RedisHarness(request.getfixturevalue("redis_database"), folder, "hash")


def _opensearch(request: pytest.FixtureRequest, folder: Path) -> SinkHarness:
    prefix = request.getfixturevalue("opensearch_prefix")
    return OpenSearchHarness(request.getfixturevalue("opensearch_server").url, prefix, folder)


def _stdout(_request: pytest.FixtureRequest, folder: Path) -> SinkHarness:
    return StdoutHarness(folder)


def _blackhole(_request: pytest.FixtureRequest, folder: Path) -> SinkHarness:
    return BlackholeHarness(folder)


HARNESSES: dict[str, dict[str, Callable[[pytest.FixtureRequest, Path], SinkHarness]]] = {
    "sqlite": {"sqlite": _sqlite},
    "redis": {"redis-json": _redis_json, "redis-hash": _redis_hash},
    "opensearch": {"opensearch": _opensearch},
    "stdout": {"stdout": _stdout},
    "blackhole": {"blackhole": _blackhole},
}
MARKS = {"redis": [pytest.mark.redis], "opensearch": [pytest.mark.opensearch]}


def test_every_sink_has_a_harness() -> None:
    found = sinks_of(Path(sinks.__file__).parent)

    assert sorted(HARNESSES) == sorted(found)


class TestSinks(SinkContract):
    @pytest.fixture(
        params=[
            pytest.param(make, id=name, marks=MARKS.get(sink, []))
            for sink, ways in HARNESSES.items()
            for name, make in ways.items()
        ]
    )
    def harness(self, request: pytest.FixtureRequest, tmp_path: Path) -> SinkHarness:
        made: SinkHarness = request.param(request, tmp_path)
        return made
