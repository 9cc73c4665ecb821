"""What must hold in a World's log and store, whatever happened on the way."""

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from cdc.checkpoint import decode_part
from cdc.event import DELETE, TRUNCATE, UPDATE, Stored
from cdc.testing.memory_database import WalChange
from tests.fault.world import POISON, World

At = tuple[str, int, int, int]
"""Transaction, ordinal, part, copy: the name of one record; copies are those of a truncate."""

TOPICS = ("shop.public.items", "shop.public.lines", "shop.public.notes")


@dataclass(frozen=True, slots=True)
class Written:
    """One record of the log as the judge reads it, without any decoder of ours."""

    sequence: int
    at: At
    stored: Stored

    @property
    def of_snapshot(self) -> bool:
        return self.at[0].startswith("view@")


def judge(world: World) -> None:
    """Raise AssertionError for the first promise that the world broke."""
    written = _written(world)
    _judge_order(world, written)
    _judge_stream(world, [one for one in written if not one.of_snapshot])
    _judge_log_state(world, written)
    _judge_store(world)
    _judge_letters(world, written)
    assert world.database.disconnects == 0, "the database heard nothing for too long"
    parts = set(world.log.checkpoints["shop"].parts)
    assert parts == {"position", "sequence"}, "a part that was to be deleted is still stored"
    # The last commit was acknowledged up to the last transaction, or one ack was lost by a fault.
    assert world.database.confirmed is not None
    assert world.database.confirmed > 100, "nothing was ever acknowledged"


def _written(world: World) -> list[Written]:
    written = [_read(stored) for topic in TOPICS for stored in world.log.stored(topic)]
    return sorted(written, key=lambda one: one.sequence)


def _read(stored: Stored) -> Written:
    headers = dict(stored.headers)
    transaction, ordinal, part = headers["at"].decode().split(":")
    truncate = stored.value is not None and json.loads(stored.value)["op"] == TRUNCATE
    copy = stored.partition if truncate else 0
    sequence = int(headers["cdc"].split(b".")[0])
    return Written(sequence, (transaction, int(ordinal), int(part), copy), stored)


def _judge_order(world: World, written: list[Written]) -> None:
    sequences = [one.sequence for one in written]
    assert len(set(sequences)) == len(sequences), "a sequence was used twice"
    part = world.log.checkpoints["shop"].parts["sequence"]
    assert part is not None
    bound = decode_part("sequence", part)["bound"]
    assert isinstance(bound, int)
    assert sequences[-1] < bound, "a sequence is not below the durable bound"
    offsets: dict[tuple[str, int], int] = defaultdict(lambda: -1)
    partitions: dict[tuple[str, bytes | None], set[int]] = defaultdict(set)
    for one in written:
        place = (one.stored.topic, one.stored.partition)
        assert one.stored.offset > offsets[place], "a later record has a lower sequence"
        offsets[place] = one.stored.offset
        if one.stored.key is not None:
            partitions[one.stored.topic, one.stored.key].add(one.stored.partition)
    assert all(len(numbers) == 1 for numbers in partitions.values()), "a key changed its partition"


def _judge_stream(world: World, written: list[Written]) -> None:
    expected = [
        at
        for transaction in world.database.history
        if transaction.end > world.database.slot_start
        for ordinal, change in enumerate(transaction.changes)
        for at in _records(transaction.id, ordinal, change, world.log.partitions)
    ]
    found = [one.at for one in written]
    if world.plan.exactly_once:
        assert expected == found, "the log is not the history, once and in order"
        return
    assert found[-1:] == expected[-1:], "the end of the history is missing"
    places = {at: place for place, at in enumerate(expected)}
    following = [places[at] for at in found]
    assert following[0] == 0, "the beginning of the history is missing"
    for before, after in pairwise(following):
        # Forward by one, or back to where a replay begins.
        assert after <= before + 1, "there is a gap"
        assert after == before + 1 or before - after < 200, "a replay goes back too far"


def _records(transaction: str, ordinal: int, change: WalChange, partitions: int) -> list[At]:
    if change.op == TRUNCATE:
        return [(transaction, ordinal, 0, copy) for copy in range(partitions)]
    if change.op == UPDATE and change.before is not None:
        return [(transaction, ordinal, part, 0) for part in range(3)]
    if change.op == DELETE:
        return [(transaction, ordinal, part, 0) for part in range(2)]
    return [(transaction, ordinal, 0, 0)]


def _judge_log_state(world: World, written: list[Written]) -> None:
    # Somebody who applies the log from its beginning has the tables.
    state: dict[tuple[str, bytes | None], dict[str, object]] = {}
    for one in written:
        topic, key = one.stored.topic, one.stored.key
        if one.stored.value is None:
            state.pop((topic, key), None)
            continue
        content = json.loads(one.stored.value)
        if content["op"] == TRUNCATE:
            state = {place: row for place, row in state.items() if place[0] != topic}
        elif content["op"] == DELETE:
            state.pop((topic, key), None)
        elif key is not None:
            state[topic, key] = {**state.get((topic, key), {}), **content["after"]}
    for table in ("public.items", "public.lines"):
        found = [_bare(row) for (topic, _), row in state.items() if topic == f"shop.{table}"]
        assert _rows(world, table) == sorted(found, key=repr), f"the log of {table} differs"


def _judge_store(world: World) -> None:
    documents: dict[str, list[dict[str, object]]] = defaultdict(list)
    for (target, _), document in world.store.documents.items():
        documents[target].append(_bare(dict(document)))
    poisoned = world.poisoned
    for table in ("public.items", "public.lines", "public.notes"):
        expected = [row for row in _rows(world, table) if row.get("id") not in poisoned]
        found = [row for row in documents[table] if row.get("id") not in poisoned]
        assert expected == sorted(found, key=repr), f"the documents of {table} differ"
    for write in world.store.writes:
        versions: dict[tuple[str, str], int] = {}
        for mutation in write:
            if mutation.id == "":
                # The copies of a truncate come from all partitions, which have no common order.
                continue
            place = (mutation.target, mutation.id)
            assert mutation.version >= versions.get(place, 0), "one write is out of order"
            versions[place] = mutation.version


def _judge_letters(world: World, written: list[Written]) -> None:
    for one in written:
        stored = one.stored
        if (
            stored.value is not None
            and (json.loads(stored.value)["after"] or {}).get("name") == POISON
        ):
            place = (stored.topic, stored.partition, stored.offset)
            assert place in world.letters.letters, "a rejected record is not among the letters"


def _rows(world: World, table: str) -> list[dict[str, object]]:
    names = [column.name for column in world.database.tables[table].columns]
    rows = world.database.rows[table].values()
    return sorted((_bare(dict(zip(names, row, strict=True))) for row in rows), key=repr)


def _bare(row: dict[str, object]) -> dict[str, object]:
    # A column added later is no change of the rows that were there: they may lack it.
    return {name: row[name] for name in sorted(row) if row[name] is not None}
