"""Marks."""

from connectors.postgres.lsn import Lsn
from connectors.postgres.marks import Marks


def test_marks_are_reached_in_order_and_once() -> None:
    marks = Marks()
    marks.add("a", Lsn(10), 0.0)
    marks.add("b", Lsn(20), 0.0)

    assert marks.reached(Lsn(9)) == ()
    assert marks.reached(Lsn(10)) == ("a",)
    assert marks.reached(Lsn(30)) == ("b",)
    assert marks.reached(Lsn(40)) == ()
    assert not marks


def test_target_is_lowered_to_the_flushed_end_once_commits_are_flushed() -> None:
    marks = Marks()
    marks.add("a", Lsn(100), settled_s=5.0)

    assert not marks.is_settled(4.9)
    assert marks.reached(Lsn(80)) == ()
    assert marks.is_settled(5.0)
    marks.settle(Lsn(80), 5.0)

    assert not marks.is_settled(9.0)
    assert marks.reached(Lsn(80)) == ("a",)


def test_target_is_never_raised() -> None:
    marks = Marks()
    marks.add("a", Lsn(100), settled_s=5.0)

    marks.settle(Lsn(500), 5.0)

    assert marks.reached(Lsn(100)) == ("a",)
