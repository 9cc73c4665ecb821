"""`python -m tests.lab` as a developer uses it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from tests.lab import watchdog
from tests.lab.cache import VARIABLE, cache_folder

_TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]
_COMMAND = [sys.executable, "-m", "tests.lab"]


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_up_prints_addresses_that_work_and_stops_at_a_signal(stop: signal.Signals) -> None:
    with subprocess.Popen(
        [*_COMMAND, "up", "postgres", "redis", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    ) as lab:
        assert lab.stdout is not None
        addresses = json.loads(lab.stdout.readline())
        psycopg.connect(addresses["postgres"]).close()
        with Redis.from_url(addresses["redis"]) as client:
            assert client.ping()
        members = watchdog.tree(lab.pid)

        lab.send_signal(stop)

        assert lab.wait(_TIMEOUT_S) == 0
        assert set() == watchdog.wait_gone(members, 0)


@pytest.mark.redis
def test_down_stops_what_another_terminal_started(tmp_path: Path) -> None:
    cache = cache_folder()
    noted = tmp_path / "cache"
    noted.mkdir()
    # The downloads of the real cache, but notes of running servers of this test's own.
    for piece in cache.glob("wheel-*"):
        (noted / piece.name).symlink_to(piece)
    environment = {**os.environ, VARIABLE: str(noted)}
    with subprocess.Popen(
        [*_COMMAND, "up", "redis"], stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=environment
    ) as lab:
        assert lab.stdout is not None
        assert lab.stdout.readline().startswith("redis")
        members = watchdog.tree(lab.pid)

        down = subprocess.run(
            [*_COMMAND, "down"],
            capture_output=True,
            text=True,
            cwd=_ROOT,
            env=environment,
            check=True,
        )

        assert down.stdout == "stopped 1 run of `python -m tests.lab up`\n"
        assert set() == watchdog.wait_gone(members, 0)
        assert lab.wait(_TIMEOUT_S) == 0


def test_list_names_everything_and_downloads_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    done = subprocess.run(
        [*_COMMAND, "list"],
        env={"PATH": "/usr/bin:/bin", "TIDEWIRE_LAB_CACHE": str(cache)},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=_TIMEOUT_S,
    )

    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["postgres", "kafka", "redis", "opensearch", "debezium", "chromium"]
    assert not cache.exists()


def test_unknown_server_is_refused_with_the_known_ones() -> None:
    done = subprocess.run(
        [*_COMMAND, "up", "oracle"], cwd=_ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "'postgres', 'kafka', 'redis', 'opensearch'" in done.stderr
