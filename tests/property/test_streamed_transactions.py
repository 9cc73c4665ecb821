"""Transactions in progress give the same events as transactions that are sent at their commit."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.event import ChangeEvent
from connectors.postgres.emission import Emission
from connectors.postgres.lsn import Lsn
from connectors.postgres.position import StreamPosition
from tests.property.walsender import SESSIONS, Step, Walsender
from tests.unit.connectors.postgres import replies

START = StreamPosition(Lsn(100))
TURNS = st.lists(st.integers(0, 3), max_size=40)

Sessions = list[tuple[Sequence[Step], bool]]


def facts(event: ChangeEvent) -> tuple[object, ...]:
    transaction = event.transaction
    return (
        event.op,
        event.table.table,
        None if event.after is None else tuple(event.after),
        event.ordinal,
        None if event.op == "b" else event.position,
        None if transaction is None else (transaction.id, transaction.prior_position),
    )


def events_of(payloads: list[bytes]) -> list[tuple[object, ...]]:
    following = replies.assembler(START, emission=Emission("d", transactions=True))
    return [facts(event) for event in replies.fed(following, payloads)]


@given(SESSIONS, TURNS)
def test_rolled_back_subtransactions_are_left_out_although_the_server_does_not_tell(
    sessions: Sessions, turns: list[int]
) -> None:
    server = Walsender(forgets=True)
    server.run(sessions, turns)

    following = replies.assembler(
        START, emission=Emission("d", transactions=True), rolled_back=frozenset(server.rolled_back)
    )
    events = [facts(event) for event in replies.fed(following, server.streamed)]

    assert events_of(server.plain) == events


@given(SESSIONS, TURNS)
def test_streamed_transactions_give_what_plain_ones_give(
    sessions: Sessions, turns: list[int]
) -> None:
    server = Walsender()
    server.run(sessions, turns)

    assert events_of(server.plain) == events_of(server.streamed)


@settings(deadline=None)
@given(SESSIONS, TURNS)
def test_files_give_what_memory_gives(sessions: Sessions, turns: list[int]) -> None:
    server = Walsender()
    server.run(sessions, turns)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        following = replies.assembler(
            START, folder=folder, memory_bytes_max=0, emission=Emission("d", transactions=True)
        )

        events = [facts(event) for event in replies.fed(following, server.streamed)]
        following.close()

        assert events_of(server.plain) == events
        assert list(folder.iterdir()) == []


@given(SESSIONS, TURNS, st.data())
def test_lots_of_any_size_give_the_same_events(
    sessions: Sessions, turns: list[int], data: st.DataObject
) -> None:
    server = Walsender()
    server.run(sessions, turns)
    following = replies.assembler(START, emission=Emission("d", transactions=True))
    events: list[ChangeEvent] = []
    rest = server.streamed
    while rest:
        size = data.draw(st.integers(1, 8))
        events += replies.fed(following, rest[:size])
        rest = rest[size:]

    assert events_of(server.plain) == [facts(event) for event in events]


@given(SESSIONS, TURNS, st.data())
def test_resume_repeats_and_loses_nothing_however_the_server_sends_it_then(
    sessions: Sessions, turns: list[int], data: st.DataObject
) -> None:
    """A server may stream a transaction the first time and send it at its commit the second."""
    server = Walsender()
    server.run(sessions, turns)
    position = START
    got: list[tuple[object, ...]] = []
    for _ in range(data.draw(st.integers(1, 4))):
        sent = data.draw(st.sampled_from([server.plain, server.streamed]))
        following = replies.assembler(position, emission=Emission("d", transactions=True))
        events = following.feed(sent[: data.draw(st.integers(0, len(sent)))])
        for _ in range(data.draw(st.integers(0, 3))):
            events += following.go_on()
        got += [facts(event) for event in events]
        position = following.position

    following = replies.assembler(position, emission=Emission("d", transactions=True))
    got += [facts(event) for event in replies.fed(following, server.streamed)]

    assert events_of(server.plain) == got
