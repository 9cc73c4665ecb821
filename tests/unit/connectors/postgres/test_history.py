"""Whether a server's log is the one that the stored position is a place in."""

import pytest

from cdc.errors import CdcError, PositionLost, TransientError
from connectors.postgres.history import Server, resumed_on
from connectors.postgres.lsn import Lsn
from connectors.postgres.position import Started, StreamPosition
from connectors.postgres.replication import System
from connectors.postgres.resume import Origin, Resume

HISTORY = (
    "1\t0/1600000\tno recovery target specified\n\n2\t0/1800000\tno recovery target specified\n"
)
END = Lsn.parse("0/2000000")


def stored(
    lsn: str, timeline: int = 1, *, prior: str | None = None, rows: str | None = None,
    started: Started | None = None, started_us: int = 10, system: str = "7711",
) -> Resume:  # fmt: skip
    position = StreamPosition(Lsn.parse(lsn), Lsn.parse(prior) if prior else None, started)
    origin = Origin(system, timeline, "shop", "s", "p", started_us)
    return Resume("streaming", origin, position, Lsn.parse(rows) if rows else None)


def server(timeline: int = 1, *, started_us: int = 20, standby: bool = False) -> Server:
    history = HISTORY if timeline > 1 else None
    return Server(System("7711", timeline, END, "shop"), history, started_us, standby)


def test_same_timeline_further_on_is_gone_on_with() -> None:
    assert resumed_on(server(), stored("0/2000000")).lsn == END


@pytest.mark.parametrize(
    ("timeline", "lsn"), [(1, "0/1600000"), (2, "0/1700000"), (2, "0/1800000")]
)
def test_timeline_that_left_at_or_behind_our_position_is_accepted(timeline: int, lsn: str) -> None:
    assert Lsn.parse(lsn) == resumed_on(server(3), stored(lsn, timeline)).lsn


def test_idle_stretch_before_the_failover_is_read_again_from_where_the_timelines_part() -> None:
    """Nothing of the log was written between the last change and the position."""
    resume = stored("0/1700000", prior="0/1500000", rows="0/1400000")

    assert StreamPosition(Lsn.parse("0/1600000"), Lsn.parse("0/1500000")) == resumed_on(
        server(3), resume
    )


def test_position_of_the_running_server_itself_is_always_in_its_history() -> None:
    resume = stored("0/1900000", 1, prior="0/1900000", started_us=20)

    assert Lsn.parse("0/1900000") == resumed_on(server(3), resume).lsn


@pytest.mark.parametrize(
    ("resume", "on", "kind", "reason"),
    [
        (stored("0/1", system="1"), server(), PositionLost, "another one .system identifier 7711."),
        (stored("0/2000001"), server(), PositionLost, "ahead of the server"),
        (stored("0/2000001"), server(standby=True), TransientError, "the standby's log ends at"),
        (
            stored("0/1600001"),
            server(3),
            PositionLost,
            "left timeline 1 at 0/1600000, before the stored position 0/1600001",
        ),
        (
            stored("0/1700000", prior="0/1600008"),
            server(3),
            PositionLost,
            "before the stored position 0/1600008: the new primary was behind",
        ),
        (
            stored("0/1500000", prior="0/1500000", rows="0/1600008"),
            server(3),
            PositionLost,
            "before the stored position 0/1600008",
        ),
        (
            stored("0/1500000", started=Started(7, Lsn.parse("0/1600000"), 3)),
            server(3),
            PositionLost,
            "before the stored position 0/1600001",
        ),
        (stored("0/1", 4), server(3), PositionLost, "does not descend from timeline 4"),
    ],
)
def test_other_history_is_named(
    resume: Resume, on: Server, kind: type[CdcError], reason: str
) -> None:
    with pytest.raises(kind, match=reason):
        resumed_on(on, resume)
