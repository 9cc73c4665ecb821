"""Transactions, positions and resumption, on messages made by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.checkpoint import decode_part, encode_part
from cdc.errors import DecodeError, PositionLost
from cdc.event import ChangeEvent
from connectors.postgres.emission import HEARTBEAT_PREFIX, Emission
from connectors.postgres.lsn import Lsn
from connectors.postgres.pgoutput import Relation, Table
from connectors.postgres.position import Started, StreamPosition
from connectors.postgres.sight import Sight
from tests.unit.connectors.postgres import replies
from tests.unit.connectors.postgres.replies import begin, commit, insert, keepalive, truncate

START = StreamPosition(Lsn(100))


def resolve(relation: Relation, _: Sight | None = None) -> Table | None:
    return None if relation.name == "other" else replies.table_of(relation)


def transaction(xid: int, at: int, rows: int) -> list[bytes]:
    """One transaction of `rows` inserts whose commit record begins at `at`, 10 bytes long."""
    inserts = [insert(1, b"%d" % (1000 * xid + number), lsn=at - 1) for number in range(rows)]
    return [begin(at, xid), replies.relation(1), *inserts, commit(at, at + 10)]


STREAM = [
    *transaction(7, 200, 3),
    keepalive(230),
    *transaction(8, 300, 1),
    *transaction(9, 400, 5),
    *transaction(10, 500, 0),
    *transaction(11, 600, 2),
]


def after(position: StreamPosition, stream: list[bytes]) -> list[bytes]:
    """What a server sends that is asked to start at `position`: no commit before it."""
    sent: list[bytes] = []
    pending: list[bytes] = []
    for payload in stream:
        pending.append(payload)
        if payload[:1] == b"k":
            pending.pop()
        elif payload[25:26] == b"C":
            if int.from_bytes(payload[27:35], "big") >= position.lsn:
                sent.extend(pending)
            pending = []
    return sent


def keys(payloads: list[bytes], position: StreamPosition = START) -> list[tuple[object, int]]:
    """Key and ordinal of each event."""
    assembler = replies.assembler(position, resolve)
    return [(event.after[0], event.ordinal) for event in assembler.feed(payloads) if event.after]


def test_events_carry_their_transaction_and_place_in_it() -> None:
    events = replies.assembler(START, resolve).feed(STREAM)

    assert [(event.transaction.id, event.ordinal) for event in events[:4] if event.transaction] == [
        ("7", 0),
        ("7", 1),
        ("7", 2),
        ("8", 0),
    ]
    assert [
        event.transaction.prior_position
        for event in events
        if event.ordinal == 0 and event.transaction
    ] == [None, 210, 310, 510]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_resume_behind_any_message_repeats_and_loses_nothing(cut: int) -> None:
    first = replies.assembler(START, resolve)
    before = first.feed(STREAM[:cut])
    stored = StreamPosition.of(decode_part("p", encode_part(first.position.content())))

    second = replies.assembler(stored, resolve)
    behind = second.feed(after(stored, STREAM))

    whole = replies.assembler(START, resolve).feed(STREAM)
    assert [facts(event) for event in whole] == [facts(event) for event in before + behind]
    assert second.position.lsn == 610


def test_a_lot_of_one_message_gives_what_a_lot_of_many_gives() -> None:
    # Within a lot the decoder follows ordinary transactions alone; between lots its state is ours.
    one_by_one = replies.assembler(START, resolve)
    single, positions = [], []
    for payload in STREAM:
        single += one_by_one.feed([payload])
        positions.append(one_by_one.position)

    whole = replies.assembler(START, resolve)
    many = whole.feed(STREAM)

    assert [facts(event) for event in many] == [facts(event) for event in single]
    assert [_position_behind(count) for count in range(1, len(STREAM) + 1)] == positions
    assert whole.position == positions[-1]


def _position_behind(count: int) -> StreamPosition:
    """The position behind the first messages, fed at once."""
    assembler = replies.assembler(START, resolve)
    assembler.feed(STREAM[:count])
    return assembler.position


@given(st.data())
def test_resume_any_number_of_times_repeats_and_loses_nothing(data: st.DataObject) -> None:
    position, got = START, []
    for _ in range(data.draw(st.integers(1, 5))):
        sent = after(position, STREAM)
        assembler = replies.assembler(position, resolve)
        got += assembler.feed(sent[: data.draw(st.integers(0, len(sent)))])
        position = assembler.position
    got += replies.assembler(position, resolve).feed(after(position, STREAM))

    assert [facts(event) for event in replies.assembler(START, resolve).feed(STREAM)] == [
        facts(event) for event in got
    ]


def facts(event: ChangeEvent) -> tuple[object, ...]:
    assert event.transaction is not None
    assert event.after is not None
    return (
        event.op,
        tuple(event.after),
        event.ordinal,
        event.position,
        event.transaction.id,
        event.transaction.prior_position,
    )


def test_lots_of_any_size_give_the_same_events() -> None:
    whole = [facts(event) for event in replies.assembler(START, resolve).feed(STREAM)]

    assembler = replies.assembler(START, resolve)
    single = [facts(event) for payload in STREAM for event in assembler.feed([payload])]

    assert whole == single


def test_transaction_that_is_done_is_dropped_even_if_it_is_sent() -> None:
    done = StreamPosition(Lsn(310), Lsn(310))

    assert [(b"%d" % (9000 + n)).decode() for n in range(5)] == [
        key for key, _ in keys([*transaction(8, 300, 1), *transaction(9, 400, 5)], done)
    ]


def test_open_transaction_is_stored_with_its_identity_and_count() -> None:
    assembler = replies.assembler(START, resolve)

    assembler.feed(transaction(7, 200, 3)[:4])

    assert StreamPosition(Lsn(100), None, Started(7, Lsn(200), 2)) == assembler.position


def test_changes_of_tables_that_are_not_captured_count_too() -> None:
    assembler = replies.assembler(START, resolve)

    assembler.feed([begin(200, 7), replies.relation(2, "other"), insert(2, b"x"), truncate(2)])

    assert Started(7, Lsn(200), 2) == assembler.position.started


def test_stopping_while_skipping_keeps_the_count() -> None:
    stored = StreamPosition(Lsn(100), None, Started(7, Lsn(200), 3))
    assembler = replies.assembler(stored, resolve)

    assembler.feed(transaction(7, 200, 5)[:4])

    assert stored == assembler.position


@pytest.mark.parametrize("sent", [transaction(8, 200, 3), transaction(7, 210, 3)])
def test_other_transaction_in_place_of_the_started_one_is_a_lost_position(
    sent: list[bytes],
) -> None:
    stored = StreamPosition(Lsn(100), None, Started(7, Lsn(200), 2))

    with pytest.raises(PositionLost, match="part of transaction 7, committed at 0/C8"):
        replies.assembler(stored, resolve).feed(sent)


def test_started_transaction_that_lost_changes_is_a_lost_position() -> None:
    stored = StreamPosition(Lsn(100), None, Started(7, Lsn(200), 4))

    with pytest.raises(PositionLost, match=r"4 changes of transaction 7.*only 3"):
        replies.assembler(stored, resolve).feed(transaction(7, 200, 3))


def test_keepalive_moves_the_position_only_between_transactions() -> None:
    assembler = replies.assembler(START, resolve)

    assembler.feed([keepalive(150)])
    between = assembler.position.lsn
    assembler.feed([begin(200, 7), keepalive(900)])
    inside = assembler.position.lsn
    assembler.feed([commit(200, 210), keepalive(205), keepalive(230, reply=True)])

    assert (between, inside, assembler.lsn) == (150, 150, 230)
    assert assembler.reply_requested


def test_keepalive_before_the_started_transaction_moves_nothing() -> None:
    stored = StreamPosition(Lsn(100), None, Started(7, Lsn(200), 2))
    assembler = replies.assembler(stored, resolve)

    assembler.feed([keepalive(200)])

    assert stored == assembler.position


def test_started_transaction_that_does_not_come_is_a_lost_position() -> None:
    """A server that sends others, or nothing, past its commit will never send it."""
    position = StreamPosition(Lsn(230), Lsn(210), Started(8, Lsn(300), 1))
    assembler = replies.assembler(position, resolve)
    assert assembler.feed([keepalive(300)]) == []

    with pytest.raises(PositionLost, match="transaction 8, committed at 0/12C"):
        assembler.feed([keepalive(301)])


def test_origin_belongs_to_its_transaction() -> None:
    origin = replies.xlog_data(b"O" + (77).to_bytes(8, "big") + b"upstream\0")

    events = replies.assembler(START, resolve).feed(
        [begin(200, 7), origin, replies.relation(1), insert(1, b"x"), commit(200, 210)]
    )

    assert events[0].transaction is not None
    assert (
        events[0].transaction.origin,
        events[0].transaction.origin_position,
    ) == ("upstream", 77)


def test_origin_of_a_started_transaction_does_not_lose_the_count() -> None:
    origin = replies.xlog_data(b"O" + (77).to_bytes(8, "big") + b"upstream\0")
    stored = StreamPosition(Lsn(100), None, Started(7, Lsn(200), 2))
    sent = transaction(7, 200, 3)

    assert keys([sent[0], origin, *sent[1:]], stored) == [("7002", 2)]


@pytest.mark.parametrize(
    "payloads",
    [
        [begin(200, 7), begin(300, 8)],
        [commit(200, 210)],
        [begin(200, 7), commit(201, 210)],
        [replies.xlog_data(b"O" + bytes(8) + b"x\0")],
    ],
)
def test_messages_out_of_order_are_a_decode_error(payloads: list[bytes]) -> None:
    with pytest.raises(DecodeError):
        replies.assembler(START, resolve).feed(payloads)


@given(
    st.builds(
        StreamPosition,
        st.integers(0, 2**64 - 1).map(Lsn),
        st.none() | st.integers(0, 2**64 - 1).map(Lsn),
        st.none()
        | st.builds(
            Started,
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**64 - 1).map(Lsn),
            st.integers(1, 2**40),
        ),
    )
)
def test_position_survives_its_stored_form(position: StreamPosition) -> None:
    assert position == StreamPosition.of(decode_part("p", encode_part(position.content())))


@pytest.mark.parametrize(
    "change", [{"lsn": 5}, {"lsn": "x"}, {"started": 7}, {"started": {}}, {"prior_commit": 1}]
)
def test_damaged_position_is_a_decode_error(change: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        StreamPosition.of({**START.content(), **change})


def test_nobody_is_told_of_the_transaction_of_a_heartbeat() -> None:
    heartbeat = replies.message(HEARTBEAT_PREFIX, b"", 290, transactional=True)
    other = replies.message("audit", b"", 390, transactional=True)
    assembler = replies.assembler(START, resolve, emission=Emission("d", transactions=True))

    events = assembler.feed(
        [
            *(begin(300, 8), heartbeat, commit(300, 310)),
            *(begin(400, 9), heartbeat, other, commit(400, 410)),
            *(begin(500, 10), commit(500, 510)),
        ]
    )

    told = [(event.op, event.transaction.id) for event in events if event.transaction]
    assert told == [("b", "9"), ("m", "9"), ("e", "9"), ("b", "10"), ("e", "10")]
    assert assembler.lsn == 510


# --- transactions in progress ---------------------------------------------------------------------


def block(xid: int, *payloads: bytes) -> list[bytes]:
    """A streamed block whose messages are all of the transaction itself."""
    inside = [replies.streamed(payload, xid) for payload in payloads]
    return [replies.stream_start(xid), *inside, replies.stream_stop()]


@pytest.mark.parametrize(
    "payloads",
    [
        [replies.stream_stop()],
        [replies.stream_commit(7, 200, 210)],
        [replies.stream_start(7), replies.stream_start(8)],
        [replies.stream_start(7, first=False)],
        [*block(7), replies.stream_start(7)],
        [replies.stream_start(7), begin(200, 8)],
        [replies.stream_start(7), replies.stream_commit(7, 200, 210)],
        [begin(200, 7), replies.stream_start(8)],
        [begin(200, 7), replies.stream_commit(7, 200, 210)],
        [replies.message("p", b"", 150, transactional=True)],
        [begin(200, 7), replies.message("p", b"", 150, transactional=False)],
        [*block(7, insert(1, b"x")), replies.stream_commit(7, 200, 210)],
    ],
)
def test_blocks_out_of_order_are_a_decode_error(payloads: list[bytes]) -> None:
    with pytest.raises(DecodeError):
        replies.fed(replies.assembler(START, resolve), payloads)


def test_large_transaction_is_given_in_lots_and_what_follows_behind_it() -> None:
    inserts = [insert(1, b"%d" % number) for number in range(2500)]
    following = replies.assembler(START, resolve)

    events = [
        following.feed(
            [
                *block(7, replies.relation(1), *inserts),
                replies.stream_commit(7, 200, 210),
                *transaction(8, 300, 1),
            ]
        )
    ]
    places = [following.position]
    while following.behind:
        events.append(following.go_on())
        places.append(following.position)

    # A description is one of the thousand messages of the first lot.
    assert [len(lot) for lot in events] == [999, 1000, 502]
    assert [Started(7, Lsn(200), 999), Started(7, Lsn(200), 1999), None] == [
        place.started for place in places
    ]
    assert places[-1].lsn == 310


def test_size_of_what_only_transactions_in_progress_have_is_never_below_nothing() -> None:
    following = replies.assembler(START, resolve)

    following.feed([*block(7, replies.relation(1), *[insert(1, b"1")] * 500)])

    assert following.size_bytes == 0


def test_newer_description_outlives_that_of_a_transaction_in_progress() -> None:
    """A column list that was changed meanwhile: the server does not describe the table again."""
    narrow, wide = replies.relation(1, "t", ("id",)), replies.relation(1, "t", ("id", "v"))
    following = replies.assembler(START, resolve)

    events = replies.fed(
        following,
        [
            *block(7, narrow, insert(1, b"1")),
            begin(200, 8),
            wide,
            insert(1, b"2", b"two"),
            commit(200, 210),
            replies.stream_commit(7, 300, 310),
            begin(400, 9),
            insert(1, b"3", b"three"),
            commit(400, 410),
        ],
    )

    assert [tuple(event.after) for event in events if event.after] == [
        ("2", "two"),
        ("1",),
        ("3", "three"),
    ]


def test_description_in_a_transaction_in_progress_holds_behind_its_commit() -> None:
    events = replies.fed(
        replies.assembler(START, resolve),
        [
            *block(7, replies.relation(1), insert(1, b"1")),
            replies.stream_commit(7, 300, 310),
            begin(400, 9),
            insert(1, b"2"),
            commit(400, 410),
        ],
    )

    assert [tuple(event.after) for event in events if event.after] == [("1",), ("2",)]


def test_message_outside_moves_the_position_to_its_end_and_is_not_repeated() -> None:
    sent = [replies.message("p", b"x", 150, transactional=False), *transaction(7, 200, 1)]
    following = replies.assembler(START, resolve)

    first = following.feed(sent[:1])
    again = replies.fed(replies.assembler(following.position, resolve), sent)

    assert StreamPosition(Lsn(150), Lsn(150)) == following.position
    assert [event.op for event in first] == ["m"]
    assert [
        (event.op, event.transaction and event.transaction.prior_position) for event in again
    ] == [("c", 150)]


def test_heartbeat_of_our_own_moves_the_position_and_nothing_else() -> None:
    following = replies.assembler(START, resolve)

    events = following.feed([replies.message(HEARTBEAT_PREFIX, b"", 150, transactional=False)])

    assert events == []
    assert StreamPosition(Lsn(150)) == following.position


def test_begin_and_end_come_once_and_for_empty_transactions_too() -> None:
    stream = [*transaction(7, 200, 1), *transaction(8, 300, 0)]
    wanted = Emission("d", transactions=True)
    whole = replies.fed(replies.assembler(START, resolve, emission=wanted), stream)

    for cut in range(len(stream) + 1):
        first = replies.assembler(START, resolve, emission=wanted)
        before = replies.fed(first, stream[:cut])
        behind = replies.fed(replies.assembler(first.position, resolve, emission=wanted), stream)

        assert [event.op for event in whole] == [event.op for event in before + behind]
    assert [(event.op, event.ordinal) for event in whole] == [
        ("b", 0),
        ("c", 0),
        ("e", 1),
        ("b", 0),
        ("e", 0),
    ]
    assert [event.position for event in whole if event.op == "e"] == [210, 310]
