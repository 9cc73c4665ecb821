"""The decoder, on bytes that PostgreSQL 15.18 and 17.10 sent (captured/)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from cdc.event import UNCHANGED, ChangeEvent, Transaction
from connectors.postgres.messages import (
    EPOCH_US,
    LogicalMessage,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
)
from connectors.postgres.pgoutput import (
    Begin,
    Commit,
    Decoder,
    Keepalive,
    Message,
    Origin,
    Relation,
    RelationColumn,
    Table,
    Type,
)
from tests.unit.connectors.postgres import replies

TRANSACTION = Transaction("1", 0, 1)


def decode_all(payloads: list[bytes]) -> tuple[list[ChangeEvent], list[Message]]:
    """Events and other messages of a session, every relation captured."""
    decoder = Decoder()
    events: list[ChangeEvent] = []
    messages: list[Message] = []
    index = 0
    while (message := decoder.decode(payloads, index, events)) is not None:
        index = decoder.index
        messages.append(message)
        if isinstance(message, Begin):
            decoder.begin(Transaction(str(message.xid), message.commit_time_us, message.xid), 0)
        elif isinstance(message, Commit):
            decoder.end()
        elif isinstance(message, Relation):
            decoder.tables[message.oid] = replies.table_of(message)
    return events, messages


def rows_of(events: list[ChangeEvent], table: str) -> list[tuple[str, object, object]]:
    return [
        (
            event.op,
            None if event.before is None else tuple(event.before),
            None if event.after is None else tuple(event.after),
        )
        for event in events
        if event.table.table == table
    ]


@pytest.fixture(params=replies.VERSIONS)
def session(request: pytest.FixtureRequest) -> list[bytes]:
    return list(replies.captured(request.param))


def test_default_identity_sends_old_keys_only_when_they_change(session: list[bytes]) -> None:
    events, _ = decode_all(session)

    assert rows_of(events, "plain") == [
        ("c", None, ("1", "a", "1.50")),
        ("c", None, ("2", None, None)),
        ("c", None, ("3", "", "-0.01")),
        ("u", None, ("1", "b", "1.50")),
        ("u", ("1", UNCHANGED, UNCHANGED), ("11", "b", "1.50")),
        ("d", ("2", UNCHANGED, UNCHANGED), None),
        ("t", None, None),
        ("c", None, ("9", "o", "9.00")),
    ]


def test_full_identity_completes_values_that_did_not_change(session: list[bytes]) -> None:
    events, _ = decode_all(session)

    big = "b" * 3000
    assert rows_of(events, "whole") == [
        ("c", None, ("1", "a", "x")),
        ("u", ("1", "a", "x"), ("1", "a", big)),
        ("u", ("1", "a", big), ("1", "c", big)),
        ("d", ("1", "c", big), None),
    ]


def test_unchanged_out_of_line_value_is_not_null(session: list[bytes]) -> None:
    events, _ = decode_all(session)

    assert rows_of(events, "toasted") == [
        ("c", None, ("1", "1", "t" * 3000)),
        ("u", None, ("1", "2", UNCHANGED)),
        ("d", ("1", UNCHANGED, UNCHANGED), None),
    ]


def test_index_identity_names_the_index_columns(session: list[bytes]) -> None:
    events, _ = decode_all(session)

    assert rows_of(events, "indexed") == [
        ("c", None, ("1", "10")),
        ("u", (UNCHANGED, "10"), ("1", "11")),
        ("u", None, ("2", "11")),
        ("d", (UNCHANGED, "11"), None),
        ("t", None, None),
    ]


def test_relation_tells_names_types_and_identity(session: list[bytes]) -> None:
    _, messages = decode_all(session)

    colored = next(m for m in messages if isinstance(m, Relation) and m.name == "colored")
    kind = next(m for m in messages if isinstance(m, Type))
    assert (kind.namespace, kind.name) == ("public", "color")
    assert colored.identity == "d"
    assert [tuple(column) for column in colored.columns] == [
        ("id", 23, -1, True),
        ("c", kind.oid, -1, False),
        ("Ünï t", 1043, 11, False),
    ]


def test_origin_and_transactions_are_told(session: list[bytes]) -> None:
    _, messages = decode_all(session)

    begins = [message for message in messages if isinstance(message, Begin)]
    commits = [message for message in messages if isinstance(message, Commit)]
    assert [begin.commit_lsn for begin in begins] == [commit.commit_lsn for commit in commits]
    assert [commit.end_lsn for commit in commits] == sorted(commit.end_lsn for commit in commits)
    assert Origin(0xABCDEF, "upstream") in messages
    # The server keeps the origin's commit time, given by the test that captured this.
    assert begins[-1].commit_time_us == 1767225600000000
    assert isinstance(messages[-1], Keepalive)
    assert messages[-1].wal_end >= commits[-1].end_lsn


def test_positions_are_the_servers(session: list[bytes]) -> None:
    events, _ = decode_all(session)

    lsns = [
        int.from_bytes(data[1:9], "big") for data in session if data[25:26] in {b"I", b"U", b"D"}
    ]
    assert lsns == [event.position for event in events if event.op != "t"]


def test_every_truncation_of_every_message_is_a_decode_error(session: list[bytes]) -> None:
    tables: dict[int, Table | None] = {}
    for data in session:
        for length in range(len(data)):
            decoder = Decoder()
            decoder.tables = tables
            decoder.begin(TRANSACTION, 0)
            with pytest.raises(DecodeError):
                decoder.decode([data[:length]], 0, [])
        message = Decoder().decode([data], 0, []) if data[25:26] == b"R" else None
        if isinstance(message, Relation):
            tables[message.oid] = replies.table_of(message)


def test_bytes_behind_the_end_are_a_decode_error(session: list[bytes]) -> None:
    decoder = Decoder()
    for data in session:
        decoder.begin(TRANSACTION, 0)
        with pytest.raises(DecodeError):
            decoder.decode([data + b"\0"], 0, [])
        message = decoder.decode([data], 0, []) if data[25:26] == b"R" else None
        if isinstance(message, Relation):
            decoder.tables[message.oid] = replies.table_of(message)


@given(st.data())
def test_damaged_bytes_raise_nothing_but_decode_errors(data: st.DataObject) -> None:
    session = replies.captured("17.10")
    decoder = Decoder()
    for payload in session:
        if payload[25:26] == b"R":
            message = decoder.decode([payload], 0, [])
            assert isinstance(message, Relation)
            decoder.tables[message.oid] = replies.table_of(message)
    decoder.begin(TRANSACTION, 0)
    payload = data.draw(st.sampled_from(session))
    place = data.draw(st.integers(0, len(payload) - 1))
    damaged = bytearray(payload)
    damaged[place] = data.draw(st.integers(0, 255))
    events: list[ChangeEvent] = []

    with contextlib.suppress(DecodeError):
        decoder.decode([bytes(damaged)], 0, events)

    assert len(events) <= 2


def test_relation_that_is_not_captured_makes_no_events_but_counts() -> None:
    decoder = Decoder()
    decoder.tables = {1: None, 2: replies.table_of(Relation(2, "s", "t", "d", ()))}
    decoder.begin(TRANSACTION, 0)
    events: list[ChangeEvent] = []

    decoder.decode([replies.insert(1, b"x"), replies.truncate(1, 2), replies.insert(2)], 0, events)

    assert [(event.op, event.ordinal) for event in events] == [("t", 0), ("c", 1)]
    assert decoder.count == 4


def test_skipped_changes_keep_their_ordinals() -> None:
    decoder = Decoder()
    decoder.tables = {2: replies.table_of(Relation(2, "s", "t", "d", ()))}
    decoder.begin(TRANSACTION, 2)
    events: list[ChangeEvent] = []

    decoder.decode([replies.insert(2), replies.truncate(2, 2), replies.insert(2)], 0, events)

    assert [(event.op, event.ordinal) for event in events] == [("t", 2), ("c", 3)]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (replies.insert(9, b"x"), "relation 9, which the server has not described in Insert"),
        (replies.insert(2, b"x", b"y"), "2 columns of s.t, which has 1 in Insert"),
        (replies.xlog_data(b"I\0\0\0\2O" + replies.row(b"x")), "a row was expected in Insert"),
        (replies.xlog_data(b"D\0\0\0\2N" + replies.row(b"x")), "a delete without its old row"),
        (replies.xlog_data(b"I\0\0\0\2N\0\1b\0\0\0\1x"), "unknown form 0x62 in Insert"),
        (replies.xlog_data(b"M\1" + bytes(20)), "length of the message .* in Message at byte 47"),
        (replies.xlog_data(b"P" + bytes(5)), "kind 0x50, which was not asked for"),
        (b"x" * 40, "an unknown kind 0x78 in copy data at byte 0"),
    ],
)
def test_error_says_what_and_where(payload: bytes, message: str) -> None:
    decoder = Decoder()
    table = Relation(2, "s", "t", "d", ())
    decoder.tables = {2: replies.table_of(table._replace(columns=(_column("id"),)))}
    decoder.begin(TRANSACTION, 0)

    with pytest.raises(DecodeError, match=message):
        decoder.decode([payload], 0, [])


STREAMED = (
    (replies.stream_start(7), StreamStart(7, first=True)),
    (replies.stream_start(7, first=False), StreamStart(7, first=False)),
    (replies.stream_stop(), StreamStop()),
    (replies.stream_commit(7, 100, 108, EPOCH_US + 5), StreamCommit(7, 100, 108, EPOCH_US + 5)),
    (replies.stream_abort(7, 9), StreamAbort(7, 9)),
    (
        replies.message("Ünï", b"\0\xff", 96, transactional=True),
        LogicalMessage(96, True, "Ünï", b"\0\xff"),
    ),
    (
        replies.message("", b"", 96, transactional=False),
        LogicalMessage(96, False, "", b""),
    ),
)


@pytest.mark.parametrize(("payload", "message"), STREAMED)
def test_messages_of_protocol_2_are_read_and_nothing_shorter_or_longer_is(
    payload: bytes, message: Message
) -> None:
    assert message == Decoder().decode([payload], 0, [])
    for damaged in [payload[:size] for size in range(len(payload))] + [payload + b"\0"]:
        with pytest.raises(DecodeError):
            Decoder().decode([damaged], 0, [])


def test_change_outside_a_transaction_is_a_decode_error() -> None:
    decoder = Decoder()
    decoder.tables = {2: None}

    with pytest.raises(DecodeError, match="outside a transaction"):
        decoder.decode([replies.insert(2, b"x")], 0, [])
    with pytest.raises(DecodeError, match="outside a transaction"):
        decoder.decode([replies.truncate(2)], 0, [])


def _column(name: str) -> RelationColumn:
    return RelationColumn(name, 25, -1, True)
