"""The pipe between supervisor and worker: whole messages, newest progress, and its end."""

import json
import socket
from collections.abc import Iterator

import pytest

from cdc.channel import Channel, ChannelClosed, pair


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, socket_ = pair()
    theirs = Channel(socket_)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_messages_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends

    for n in range(3):
        ours.send({"n": n, "text": "zwei\nzeilen"})

    assert [message["n"] for message in theirs.receive()] == [0, 1, 2]
    assert theirs.receive() == []


def test_half_a_message_waits_for_its_end() -> None:
    plain, socket_ = socket.socketpair()
    with plain:
        channel = Channel(socket_)
        line = json.dumps({"a": 1}).encode() + b"\n"

        plain.sendall(line[:4])
        first = channel.receive()
        plain.sendall(line[4:])

        assert first == []
        assert channel.receive() == [{"a": 1}]
        channel.close()


def test_newer_progress_replaces_older_while_nobody_reads(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    filler = "x" * 100_000
    for n in range(100):
        ours.send_newest({"n": n, "filler": filler})

    received: list[int] = []
    while not received or received[-1] != 99:
        ours.flush(0.1)
        received += [int(str(message["n"])) for message in theirs.receive()]

    assert received == sorted(received)
    assert len(received) < 100


def test_what_is_sent_is_never_lost_to_newer_progress(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    filler = "x" * 300_000
    ours.send_newest({"n": 1, "filler": filler})
    ours.send({"ended": True})
    ours.send_newest({"n": 2})

    received: list[object] = []
    while {"n": 2} not in received:
        ours.flush(0.1)
        received += theirs.receive()

    assert {"ended": True} in received


def test_the_end_of_the_stream_is_seen(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.send({"last": "words"})
    ours.close()

    assert theirs.receive() == [{"last": "words"}]
    assert theirs.closed


def test_sending_to_nobody_is_no_error(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    theirs.close()

    ours.send({"a": 1})
    ours.send_newest({"b": 1})
    ours.flush(1.0)

    assert ours.receive() == []
    assert ours.closed


def test_waiting_gives_the_first_message_and_keeps_the_others(
    ends: tuple[Channel, Channel],
) -> None:
    ours, theirs = ends
    ours.send({"order": 1})
    ours.send({"stop": True})

    assert theirs.wait(1.0) == {"order": 1}
    assert theirs.receive() == [{"stop": True}]


def test_waiting_for_somebody_who_is_gone_fails(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.close()

    with pytest.raises(ChannelClosed):
        theirs.wait(10.0)


def test_waiting_ends_in_time(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(ChannelClosed):
        ends[0].wait(0.01)
