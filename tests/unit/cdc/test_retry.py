"""How long to wait before the next try."""

from random import Random

from cdc.retry import Backoff


def test_waits_double_up_to_the_cap_and_lose_at_most_half_to_jitter() -> None:
    backoff = Backoff(Random(1), first_s=1.0, cap_s=8.0)

    waits_s = [backoff.next_s() for _ in range(6)]

    for whole_s, wait_s in zip([1, 2, 4, 8, 8, 8], waits_s, strict=True):
        assert whole_s / 2 <= wait_s <= whole_s
    assert len(set(waits_s)) == 6


def test_after_success_the_first_wait_comes_again() -> None:
    backoff = Backoff(Random(1), first_s=1.0, cap_s=8.0)
    for _ in range(5):
        backoff.next_s()

    backoff.reset()

    assert backoff.next_s() <= 1.0


def test_the_wish_of_the_peer_is_a_lower_limit_even_above_the_cap() -> None:
    backoff = Backoff(Random(1), first_s=1.0, cap_s=8.0)

    assert backoff.next_s(at_least_s=60.0) == 60.0
    assert backoff.next_s(at_least_s=0.01) >= 1.0


def test_the_same_seed_gives_the_same_waits() -> None:
    one, other = Backoff(Random(7)), Backoff(Random(7))

    assert [one.next_s() for _ in range(5)] == [other.next_s() for _ in range(5)]
