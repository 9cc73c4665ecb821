"""Records on their way between processes."""

from cdc.event import EVERY_PARTITION, Record, Topic
from cdc.lots import Unpacker, pack

TABLE = Topic("my.t", True)
OTHER = Topic("my.u", False)
SCHEMAS = Topic("__cdc.shop.schemas", True, True)
HEADERS = (("a", b"1"),)


def content(record: Record) -> tuple[object, ...]:
    topic = record.topic
    return (
        *(topic.name, topic.compacted, topic.internal),
        *(record.key, record.value, record.mark, record.headers, record.partition),
    )


def test_unpacked_records_are_those_that_were_packed() -> None:
    records = [
        Record(SCHEMAS, b"id", b"{}"),
        Record(TABLE, b"1", b"one", b".m", HEADERS),
        Record(TABLE, b"2", None, b".m.1", HEADERS),
        Record(TABLE, b"3", b"three", b".m"),
        Record(OTHER, None, b"four", b".n"),
        Record(OTHER, None, b"all", b".n", (), EVERY_PARTITION),
        Record(OTHER, None, b"first", None, (), 0),
    ]

    unpacked = Unpacker().records(pack(records))

    assert [content(record) for record in records] == [content(record) for record in unpacked]
    assert Unpacker().records(pack([])) == []


def test_records_of_one_topic_share_it_over_all_lots() -> None:
    unpacker = Unpacker()

    (first,) = unpacker.records(pack([Record(TABLE, b"1", b"one", b".m")]))
    (second,) = unpacker.records(pack([Record(TABLE, b"2", b"two", b".m")]))

    assert first.topic is second.topic


def test_a_structure_that_came_already_is_left_out() -> None:
    unpacker = Unpacker()
    structure = Record(SCHEMAS, b"id", b"{}")
    unpacker.records(pack([structure]))

    again = unpacker.records(pack([structure, Record(SCHEMAS, b"other", b"{}")]))

    assert [record.key for record in again] == [b"other"]
