"""The fuzzing targets on mutated seeds: every run of the tests fuzzes a little."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

SOME = settings(max_examples=300, deadline=None)


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["set", "cut", "put"]))
        if change == "put" or place == len(data):
            data[place:place] = draw(st.binary(max_size=5))
        elif change == "set":
            data[place] = draw(st.integers(0, 255))
        else:
            del data[place : place + draw(st.integers(1, 12))]
    return bytes(data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_damaged_bytes_raise_only_the_named_errors(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())

    @SOME
    @given(mutated(seeds) | st.binary(max_size=200))
    def run(data: bytes) -> None:
        try:
            target.run(data)
        except target.allowed:
            return

    run()


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_seeds_reach_behind_the_first_check(name: str) -> None:
    target = TARGETS[name]

    ended = [run_to_the_end(name, seed) for seed in target.seeds()]

    assert any(ended)


def run_to_the_end(name: str, data: bytes) -> bool:
    target = TARGETS[name]
    try:
        target.run(data)
    except target.allowed:
        return False
    return True
