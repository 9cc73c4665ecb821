"""Structures are found in the schemas topic, waited for, and missed by name."""

from collections.abc import Mapping, Sequence

import pytest

from cdc.errors import DecodeError, SchemaError
from cdc.event import Stored
from cdc.protocols import LogReader, Partition, SeekTo
from cdc.schema import Column, Int32, TableSchema
from cdc.schemas.topic import TopicSchemas

TABLE = TableSchema("shop", "public", "t", (Column("id", Int32()),))


class ScriptedReader:
    """A log reader that gives prepared records and makes time pass."""

    def __init__(self, polls: list[list[Stored]]) -> None:
        self.polls = polls
        self.now_s = 0.0
        self.closed = False

    def poll(self, records_max: int, timeout_s: float) -> Sequence[Stored]:
        if self.polls:
            return self.polls.pop(0)
        self.now_s += max(timeout_s, 0.01)
        return []

    def commit(self, stored: Sequence[Stored]) -> None:
        raise AssertionError("this reader has no group")

    def ends(self) -> Mapping[Partition, int]:
        return {}

    def positions(self) -> Mapping[Partition, int]:
        return {}

    def seek(self, where: SeekTo) -> None:
        raise AssertionError(where)

    def pause(self, seconds: float) -> None:
        raise AssertionError(seconds)

    def close(self) -> None:
        self.closed = True


def schema_record(table: TableSchema = TABLE, key: bytes | None = None) -> Stored:
    key = table.id.encode() if key is None else key
    return Stored("__cdc.p.schemas", 0, 3, key, table.canonical().encode(), (), 0)


def schemas(reader: ScriptedReader) -> TopicSchemas:
    contract: LogReader = reader
    return TopicSchemas(contract, 5.0, lambda: reader.now_s)


def test_structure_is_found_and_remembered() -> None:
    tombstone = Stored("__cdc.p.schemas", 0, 1, b"gone", None, (), 0)
    found = schemas(ScriptedReader([[tombstone, schema_record()]]))

    assert found.find(TABLE.id) == TABLE
    assert found.find(TABLE.id) is found.find(TABLE.id)


def test_structure_that_becomes_readable_later_is_waited_for() -> None:
    assert schemas(ScriptedReader([[], [], [schema_record()]])).find(TABLE.id) == TABLE


def test_unknown_structure_is_missed_by_name_after_the_wait() -> None:
    reader = ScriptedReader([])

    with pytest.raises(SchemaError, match=r"0123456789abcdef is not in the log after waiting 5 s"):
        schemas(reader).find("0123456789abcdef")

    assert 5.0 <= reader.now_s < 6.0


def test_structure_that_was_waited_for_in_vain_is_not_waited_for_again() -> None:
    """A thousand records of one lost structure must not take a thousand waits."""
    reader = ScriptedReader([])
    found = schemas(reader)
    with pytest.raises(SchemaError):
        found.find(TABLE.id)
    waited_s = reader.now_s

    with pytest.raises(SchemaError):
        found.find(TABLE.id)
    again_s = reader.now_s - waited_s
    reader.polls = [[schema_record()]]

    assert again_s < 0.1
    assert found.find(TABLE.id) == TABLE


def test_damaged_structure_does_not_hide_those_behind_it() -> None:
    reader = ScriptedReader([[schema_record(key=b"0123456789abcdef"), schema_record()]])
    found = schemas(reader)
    with pytest.raises(DecodeError):
        found.find(TABLE.id)

    assert found.find(TABLE.id) == TABLE


def test_structure_under_the_wrong_key_is_damage() -> None:
    with pytest.raises(DecodeError, match="another structure"):
        schemas(ScriptedReader([[schema_record(key=b"ffff")]])).find(TABLE.id)


def test_reader_is_given_back() -> None:
    reader = ScriptedReader([])

    schemas(reader).close()

    assert reader.closed
