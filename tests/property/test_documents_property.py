"""Texts of dates, times and ids against independent judges."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cdc.documents import converter, date_text, interval_text, time_text
from cdc.event import ChangeEvent
from cdc.projection import Mapping, Projection
from cdc.schema import Column, String, TableSchema, TimestampTz

EPOCH = date(1970, 1, 1)
PAIRS = TableSchema("d", "public", "pairs", (Column("a", String()), Column("b", String())), (0, 1))
TEXTS = st.tuples(st.text(":%3A5b", max_size=6), st.text(":%3A5b", max_size=6))


@given(st.dates())
def test_dates_are_those_of_the_standard_library(day: date) -> None:
    assert date_text((day - EPOCH).days) == day.isoformat()


@given(st.integers(-(10**9), 10**9))
def test_a_day_of_any_year_comes_400_years_after_its_like(days: int) -> None:
    # The Gregorian calendar repeats every 146,097 days.
    year, rest = date_text(days).rsplit("-", 2)[0], date_text(days).rsplit("-", 2)[1:]
    later = date_text(days + 146_097)

    assert later.rsplit("-", 2)[1:] == rest
    assert int(later.rsplit("-", 2)[0]) == int(year) + 400


@given(st.datetimes(timezones=st.just(UTC)))
def test_timestamps_read_back_as_the_same_instant(instant: datetime) -> None:
    convert = converter(TimestampTz())
    assert convert is not None
    instant_us = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    text = convert(instant_us)

    assert datetime.fromisoformat(str(text)) == instant


@given(st.integers(-(10**13), 10**13))
def test_times_add_up_again(time_us: int) -> None:
    text = time_text(time_us)

    hours, minutes, seconds = text.lstrip("-").split(":")
    whole, _, fraction = seconds.partition(".")
    total = (int(hours) * 3600 + int(minutes) * 60 + int(whole)) * 1_000_000
    total += int(fraction.ljust(6, "0") or 0)
    assert time_us == (-total if text.startswith("-") else total)


@given(st.integers(), st.integers(), st.integers())
def test_different_intervals_have_different_texts(months: int, days: int, rest_us: int) -> None:
    text = interval_text(months, days, rest_us)

    others = [(months + 1, days, rest_us), (months, days - 1, rest_us), (months, days, rest_us + 1)]
    assert text not in {interval_text(*other) for other in others}
    assert text.startswith("P")


@given(TEXTS, TEXTS)
def test_two_keys_never_share_an_id(one: tuple[str, str], other: tuple[str, str]) -> None:
    ids = [
        Projection(Mapping()).mutations(ChangeEvent("c", PAIRS, None, row, None), 1)[0].id
        for row in (one, other)
    ]

    assert (one == other) == (ids[0] == ids[1])
