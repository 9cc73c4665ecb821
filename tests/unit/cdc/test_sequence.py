"""Numbers of records, and the durable bound above them."""

import pytest

from cdc.checkpoint import Checkpoint, decode_part, encode_part
from cdc.errors import DecodeError
from cdc.event import Record, Topic
from cdc.sequence import LIMIT, RESERVE, Sequencer, split

TOPIC = Topic("t", compacted=True)
NOW_US = 1_700_000_000_000_000


def records(count: int) -> list[Record]:
    return [Record(TOPIC, b"k", b"v") for _ in range(count)]


def bound_of(change: Checkpoint) -> object:
    part = change.parts["sequence"]
    assert part is not None
    return decode_part("sequence", part)["bound"]


def test_the_first_number_is_the_clocks_microseconds() -> None:
    sequencer = Sequencer(None, exactly_once=True, wall_us=NOW_US)
    some = records(3)

    sequencer.number(some)

    assert [record.sequence for record in some] == [NOW_US, NOW_US + 1, NOW_US + 2]
    assert bound_of(sequencer.change()) == NOW_US + 3


def test_exactly_once_goes_on_at_the_committed_number_whatever_the_clock_says() -> None:
    sequencer = Sequencer(500, exactly_once=True, wall_us=NOW_US)
    some = records(1)

    assert sequencer.covers(10**9)
    sequencer.number(some)

    assert some[0].sequence == 500


def test_exactly_once_commits_no_bound_that_did_not_move() -> None:
    sequencer = Sequencer(500, exactly_once=True, wall_us=NOW_US)

    assert sequencer.change() == Checkpoint()


def test_at_least_once_uses_no_number_before_its_bound_is_durable() -> None:
    sequencer = Sequencer(None, exactly_once=False, wall_us=NOW_US)

    assert not sequencer.covers(1)
    assert bound_of(sequencer.change(1)) == NOW_US + 1 + RESERVE
    assert not sequencer.covers(1)

    sequencer.committed()

    assert sequencer.covers(1)
    assert sequencer.covers(RESERVE)
    assert not sequencer.covers(RESERVE + 2)


def test_at_least_once_begins_at_the_clock_or_the_bound_whichever_is_further() -> None:
    some = records(2)

    Sequencer(500, exactly_once=False, wall_us=NOW_US).number(some[:1])
    Sequencer(NOW_US + 7, exactly_once=False, wall_us=NOW_US).number(some[1:])

    assert [record.sequence for record in some] == [NOW_US, NOW_US + 7]


def test_at_least_once_renews_its_bound_when_half_of_it_is_used() -> None:
    sequencer = Sequencer(None, exactly_once=False, wall_us=NOW_US)
    sequencer.change(1)
    sequencer.committed()

    assert sequencer.change() == Checkpoint()
    sequencer.number(records(RESERVE // 2 + 2))

    assert bound_of(sequencer.change()) == NOW_US + RESERVE // 2 + 2 + RESERVE


def test_the_limit_of_exact_numbers_is_an_error() -> None:
    sequencer = Sequencer(LIMIT - 1, exactly_once=True, wall_us=NOW_US)
    sequencer.number(records(1))

    with pytest.raises(DecodeError, match=r"reached 2\*\*53"):
        sequencer.change()


def test_the_source_gets_its_own_parts_only() -> None:
    part = encode_part({"bound": 5})

    assert split(None) == (None, None)
    assert split(Checkpoint({"sequence": part})) == (None, 5)
    assert split(Checkpoint({})) == (None, None)
    assert split(Checkpoint({"position": b"p"})) == (Checkpoint({"position": b"p"}), None)
    assert split(Checkpoint({"position": b"p", "sequence": part})) == (
        Checkpoint({"position": b"p"}),
        5,
    )


@pytest.mark.parametrize("bound", [None, "5", 0, -1, LIMIT])
def test_a_bound_that_makes_no_sense_is_an_error(bound: object) -> None:
    with pytest.raises(DecodeError, match="no bound below"):
        split(Checkpoint({"sequence": encode_part({"bound": bound})}))
