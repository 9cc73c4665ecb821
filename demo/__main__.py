"""`python -m demo [--live]`: starts the servers, tells the story, and leaves nothing behind."""

import argparse
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Final

import psycopg
import redis

from cdc.errors import CdcError
from demo.pipeline import DemoError, Pipeline
from demo.screen import Screen
from demo.story import Pace, Story
from tests.lab import LabError, PostgresServer, RedisServer, Unavailable, find_postgres
from tests.lab.identity import Account
from tests.lab.process import RunFolder
from tests.lab.redis import redis_state

_DATABASE: Final = "shop"
# What `cdc check` asks of a server; the lab's own suit tests, which want little memory.
_SETTINGS: Final = {"max_slot_wal_keep_size": "4GB", "logical_decoding_work_mem": "64MB"}
_LIVE_RATE_PER_S: Final = 5.0
_LOOK_EVERY_S: Final = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when the stores equal the source, 1 when not or something failed."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--live", action="store_true", help="keep running afterwards, with the status page open"
    )
    live: bool = parser.parse_args(arguments).live
    # So that everything is ended in order.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    screen = Screen()
    began_s = time.monotonic()
    try:
        with ExitStack() as stack:
            equal = _show(screen, stack, began_s, live=live)
    except (LabError, Unavailable, DemoError) as error:
        screen.bad(str(error))
        return 1
    except KeyboardInterrupt:
        screen.say("Interrupted; everything that was started is stopped and removed.")
        return 130
    return 0 if equal else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    # The way out is short, and must not be left half-way.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _show(screen: Screen, stack: ExitStack, began_s: float, *, live: bool) -> bool:
    server, cache_url, folder = _start_servers(screen, stack)
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {_DATABASE}")
    pipeline = Pipeline(folder, server.url(_DATABASE), cache_url)
    stack.callback(pipeline.close)
    try:
        story = Story(screen, server.url(_DATABASE), pipeline, cache_url, Pace())
        equal = story.tell()
        screen.say("")
        screen.say(f"The whole demo took {time.monotonic() - began_s:.0f} s.")
        if live and equal:
            _live(screen, story, pipeline)
    except (DemoError, CdcError, psycopg.Error, sqlite3.Error, redis.RedisError) as error:
        screen.bad(str(error))
        screen.say("The end of daemon.log:")
        screen.quote(pipeline.log_tail())
        return False
    return equal


def _start_servers(
    screen: Screen, stack: ExitStack
) -> tuple[PostgresServer, str | None, RunFolder]:
    """Say what is started, and start it."""
    screen.title("Tidewire: a real Postgres, captured into a log, a search index and a cache")
    install = find_postgres()
    screen.say(f"PostgreSQL {install.version} ({install.origin}), private, on a free port")
    cache_url = None
    try:
        screen.say(f"Redis or Valkey {redis_state()}, private, on a free port")
        cache_url = stack.enter_context(RedisServer.start()).database_url(0)
    except Unavailable as missing:
        screen.say(f"No cache in this run: {missing}")
    server = stack.enter_context(PostgresServer.start(settings=_SETTINGS))
    folder = RunFolder("demo", Account())
    stack.callback(folder.close)
    screen.say(f"State: {folder.path}; it and the servers are removed at the end")
    return server, cache_url, folder


def _live(screen: Screen, story: Story, pipeline: Pipeline) -> None:
    """Keep daemon and shop running until Ctrl-C."""
    assert story.workload is not None, "the story was told"
    story.workload.rate_per_s = _LIVE_RATE_PER_S
    with story.workload as workload:
        pipeline.start()
        pipeline.until("the daemon answers", pipeline.state, 30)
        screen.heading("Live")
        screen.say(f"Status page, with a search box: {pipeline.url}")
        screen.say("Ctrl-C ends it.")
        with suppress(KeyboardInterrupt):
            while True:
                # Both raise when what they ask is gone.
                pipeline.state()
                workload.require_working()
                time.sleep(_LOOK_EVERY_S)
        screen.say("Stopping; everything that was started is removed.")


if __name__ == "__main__":
    sys.exit(main())
