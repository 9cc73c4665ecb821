"""Watches ask a real server beside the stream, and none of them can hold the stream back."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cdc.errors import PositionLost
from connectors.postgres.connection import translated
from connectors.postgres.watches import Watches
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

Connection = psycopg.Connection[tuple[Any, ...]]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Question:
    """A watch that runs a statement and counts its looks."""

    def __init__(
        self, statement: bytes = b"SELECT", interval_s: float = 5.0, *, while_waiting: bool = False
    ) -> None:
        self.interval_s = interval_s
        self.while_waiting = while_waiting
        self.statement = statement
        self.looks = 0

    def look(self, connection: Connection) -> None:
        self.looks += 1
        with translated("asking"):
            connection.execute(self.statement)


class Alarm(Question):
    """A watch that has found something."""

    def look(self, connection: Connection) -> None:
        raise PositionLost("found")


@pytest.fixture
def connection(postgres_database: PostgresDatabase) -> Iterator[Connection]:
    with postgres_database.connect() as connection:
        yield connection


def test_watch_looks_at_once_then_at_its_interval(connection: Connection) -> None:
    clock, question = Clock(), Question(interval_s=5.0)
    watches = Watches(lambda: connection, clock)
    watches.add(question)

    watches.look()
    clock.now_s += 4.9
    watches.look()
    assert question.looks == 1

    clock.now_s += 0.2
    watches.look()
    assert question.looks == 2


def test_watch_that_is_hurried_looks_before_its_time(connection: Connection) -> None:
    question = Question()
    watches = Watches(lambda: connection, Clock())
    watches.add(question)
    watches.look()

    watches.hurry()
    watches.look()

    assert question.looks == 2


def test_only_watches_that_may_look_while_the_log_takes_nothing(connection: Connection) -> None:
    patient, restless = Question(), Question(while_waiting=True)
    watches = Watches(lambda: connection, Clock())
    watches.add(patient)
    watches.add(restless)

    watches.look(waiting=True)

    assert (patient.looks, restless.looks) == (0, 1)


def test_statement_that_waits_is_cancelled_and_asked_again(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table that a question needs may be locked for an hour; the stream goes on."""
    monkeypatch.setattr("connectors.postgres.watches._LIMIT", "SET statement_timeout = '100ms'")
    clock, stuck, next_one = Clock(), Question(b"SELECT pg_sleep(60)"), Question()
    watches = Watches(lambda: connection, clock)
    watches.add(stuck)
    watches.add(next_one)

    watches.look()
    assert (stuck.looks, next_one.looks) == (1, 1)
    assert not watches.notes
    assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)

    for _ in range(2):
        clock.now_s += 5.1
        watches.look()
    (note,) = watches.notes
    assert note.code == "watch-missed"

    stuck.statement = b"SELECT"
    clock.now_s += 5.1
    watches.look()
    assert stuck.looks == 4
    assert not watches.notes


def test_what_a_watch_finds_ends_the_session(connection: Connection) -> None:
    watches = Watches(lambda: connection, Clock())
    watches.add(Alarm())

    with pytest.raises(PositionLost, match="found"):
        watches.look()
