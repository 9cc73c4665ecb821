"""Sequences over random lives: what is visible has grown, whatever the clock did."""

from hypothesis import given
from hypothesis import strategies as st

from cdc.checkpoint import Checkpoint
from cdc.event import Record, Topic
from cdc.sequence import Sequencer, split

TOPIC = Topic("t", compacted=True)
LIVES = st.lists(
    st.tuples(
        st.integers(1, 2**50),
        st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=6),
    ),
    max_size=6,
)


@given(LIVES, st.booleans())
def test_visible_numbers_grow_over_crashes_and_clock_jumps(
    lives: list[tuple[int, list[tuple[int, bool]]]], exactly_once: bool
) -> None:
    # Each life has a clock of its own, batches of so many records, and commits or not; it ends
    # without warning. Exactly once, what was not committed was never seen.
    stored, visible = Checkpoint(), [0]
    for wall_us, batches in lives:
        sequencer = Sequencer(split(stored)[1], exactly_once=exactly_once, wall_us=wall_us)
        waiting: list[int] = []
        for count, commit in batches:
            records = [Record(TOPIC, b"k", b"v") for _ in range(count)]
            if not sequencer.covers(count):
                stored = stored.merged(sequencer.change(count))
                sequencer.committed()
            sequencer.number(records)
            numbers = [record.sequence for record in records]
            if exactly_once:
                waiting += numbers
            else:
                visible += numbers
            if commit:
                stored = stored.merged(sequencer.change())
                sequencer.committed()
                visible += waiting
                waiting = []

    assert visible == sorted(set(visible))
