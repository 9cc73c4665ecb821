"""A standby as the source, on real servers: what can be made there, what is seen, its promotion."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from cdc.errors import SourceRefused
from connectors.postgres.resume import resume_of
from connectors.postgres.standby import TimelineWatch
from tests.integration.postgres_capture import Capture
from tests.integration.postgres_pair import (
    Pair,
    execute,
    go_on,
    ids,
    ids_in,
    one,
    promote,
    wait_replayed,
)

pytestmark = pytest.mark.postgres

PUBLISH = "CREATE PUBLICATION cdc_shop FOR TABLE t"
NUDGE = "SELECT pg_log_standby_snapshot()"


def rows(first: int, last: int) -> str:
    return f"INSERT INTO t SELECT i, 'v' FROM generate_series({first}, {last}) i"


def start(capture: Capture, pair: Pair) -> None:
    """Start, and be told what it waits for; then do that on the primary."""
    capture.start()
    (note,) = capture.source.progress().notes
    assert note.code == "waiting-for-primary"
    assert NUDGE in note.hint
    done = threading.Event()

    def nudge() -> None:
        while not done.wait(0.2):
            execute(pair.servers[0], NUDGE)

    helper = threading.Thread(target=nudge)
    helper.start()
    try:
        capture.until_streaming()
    finally:
        done.set()
        helper.join()
    assert capture.source.progress().notes == ()


@pytest.mark.parametrize(
    "version",
    [
        "17",
        pytest.param("16", marks=pytest.mark.longer),
        pytest.param("18", marks=pytest.mark.longer),
    ],
)
def test_standby_gives_snapshot_and_stream_and_goes_on_when_it_is_promoted(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimelineWatch, "interval_s", 0.2)
    with Pair(version) as pair:
        primary, standby = pair.servers
        execute(primary, rows(1, 50), PUBLISH)
        wait_replayed(primary, standby)
        capture = Capture(pair.url(target_session_attrs="standby"), tmp_path)

        start(capture, pair)
        execute(primary, rows(51, 100))
        wait_replayed(primary, standby)
        capture.until_current()
        assert list(range(1, 101)) == ids(capture)
        assert capture.source.progress().lag_bytes is not None

        execute(primary, rows(101, 150))
        wait_replayed(primary, standby)
        primary.stop()
        promote(standby)
        execute(standby, rows(151, 200))
        go_on(capture, lambda: 200 in ids(capture) and stored_timeline(capture) == 2)
        execute(standby, rows(201, 210))
        capture.config = Capture(standby.url(), tmp_path).config
        capture.restart()
        go_on(capture, lambda: 210 in ids(capture))

        assert ids_in(standby) == ids(capture)
        capture.close()


def stored_timeline(capture: Capture) -> int:
    resume = resume_of(capture.checkpoint)
    assert resume is not None
    return resume.origin.timeline


@pytest.mark.parametrize(
    ("made", "options", "reason", "fix"),
    [
        ("SELECT 1", {}, "there is no publication cdc_shop, and the server is a standby",
         "Run on the primary: CREATE PUBLICATION"),
        ("CREATE PUBLICATION cdc_shop FOR TABLE side.other", {}, "lacks public.t",
         "Run on the primary: ALTER PUBLICATION"),
        (PUBLISH, {"failover": True}, "cannot be a failover slot", "Let `url` name the primary"),
    ],
)  # fmt: skip
def test_what_only_the_primary_can_do_is_named(
    standby_pair: Pair, tmp_path: Path, made: str, options: dict[str, Any], reason: str, fix: str
) -> None:
    primary, standby = standby_pair.servers
    execute(primary, "DROP PUBLICATION IF EXISTS cdc_shop", made)
    wait_replayed(primary, standby)
    capture = Capture(standby.url(), tmp_path, **options)

    with pytest.raises(SourceRefused) as caught:
        capture.start()
    capture.close()

    assert reason in caught.value.message
    assert fix in caught.value.hint


def test_standby_before_16_is_refused(tmp_path: Path) -> None:
    with Pair("15") as pair:
        execute(pair.servers[0], PUBLISH)
        wait_replayed(*pair.servers)
        capture = Capture(pair.servers[1].url(), tmp_path)

        with pytest.raises(SourceRefused, match="only PostgreSQL 16 and later can read changes"):
            capture.start()
        capture.close()


def test_promotion_between_two_looks_and_a_crash_does_not_cost_the_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored timeline is the former one, and the position is beyond where it was left."""
    monkeypatch.setattr(TimelineWatch, "interval_s", 3600.0)
    with Pair() as pair:
        primary, standby = pair.servers
        execute(primary, PUBLISH)
        wait_replayed(primary, standby)
        capture = Capture(standby.url(), tmp_path)
        start(capture, pair)
        capture.until_current()
        primary.stop()
        promote(standby)
        execute(standby, rows(1, 10))
        go_on(capture, lambda: 10 in ids(capture))
        assert stored_timeline(capture) == 1

        capture.restart()
        execute(standby, rows(11, 20))
        go_on(capture, lambda: 20 in ids(capture))

        assert list(range(1, 21)) == ids(capture)
        assert stored_timeline(capture) == 2
        capture.close()


@pytest.mark.longer
def test_standby_that_follows_its_primary_to_another_timeline_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimelineWatch, "interval_s", 0.2)
    with Pair(full_page_writes="on") as pair:
        primary, second = pair.servers
        third = pair.add_standby()
        execute(primary, PUBLISH, rows(1, 10))
        wait_replayed(primary, third)
        with contextlib.closing(Capture(third.url(), tmp_path)) as capture:
            start(capture, pair)
            primary.stop()
            promote(second)
            execute(second, rows(11, 20))
            wait_replayed(second, third)
            go_on(capture, lambda: 20 in ids(capture))
            execute(second, "CHECKPOINT")
            wait_replayed(second, third)
            execute(third, "CHECKPOINT")
            go_on(capture, lambda: stored_timeline(capture) == 2)

            third.kill()
            third.start_again()
            execute(second, rows(21, 30))
            wait_replayed(second, third)
            go_on(capture, lambda: 30 in ids(capture))

            assert list(range(1, 31)) == ids(capture)
            assert one(third, "SELECT pg_is_in_recovery()")


@pytest.mark.longer
def test_several_readers_share_one_view_of_a_standby(tmp_path: Path) -> None:
    with Pair() as pair:
        primary, standby = pair.servers
        execute(primary, rows(1, 8_000), "ANALYZE t", PUBLISH)
        wait_replayed(primary, standby)
        url = pair.url(target_session_attrs="prefer-standby")
        capture = Capture(url, tmp_path, snapshot_readers=2, snapshot_chunk_bytes_max=1 << 16)

        with contextlib.closing(capture):
            start(capture, pair)

            # There is a pool only where more than one reader is at work.
            assert len(capture.pools) == 1
            assert ids_in(standby) == sorted(ids(capture), key=str_as_int)


def str_as_int(value: object) -> int:
    return int(str(value))


def test_lease_of_a_standby_keeps_a_second_reader_out(standby_pair: Pair, tmp_path: Path) -> None:
    standby = standby_pair.servers[1]
    first, second = (Capture(standby.url(), tmp_path) for _ in range(2))

    assert first.source.acquire(1.0)
    assert not second.source.acquire(0.1)

    first.close()
    assert second.source.acquire(5.0)
    second.close()
    assert one(standby, "SELECT pg_is_in_recovery()")


@pytest.fixture(scope="module")
def standby_pair() -> Any:
    with Pair() as pair:
        yield pair
