"""Resolved facts go into checkpoint parts and come back, and are forgotten in the end."""

import pytest

from cdc.checkpoint import Checkpoint, encode_part
from cdc.errors import DecodeError
from cdc.schema import Array, Column, Enum, Int32, TableSchema
from connectors.postgres.facts import Facts
from connectors.postgres.logical_types import TypeFacts, Types
from connectors.postgres.resolution import KnownColumn, KnownTable

MOOD, MOODS = 90_001, 90_002
TYPES = Types(
    {
        MOOD: TypeFacts(MOOD, "public.mood", "enum", labels=("a", "b"), labels_made=(5, 6)),
        MOODS: TypeFacts(MOODS, "public._mood", "array", MOOD),
        90_009: TypeFacts(90_009, "public.other", "enum", labels=("x",), labels_made=(5,)),
    }
)


def known(oid: int, *types: int) -> KnownTable:
    kinds = {23: Int32(), MOODS: Array(Enum(("a", "b")))}
    columns = tuple(
        KnownColumn(kind, -1, kind == 23, 7, Column(f"c{place}", kinds[kind], kind != 23))
        for place, kind in enumerate(types)
    )
    schema = TableSchema("db", "public", f"t{oid}", tuple(each.logical for each in columns), (0,))
    return KnownTable(oid, schema, columns, ("c0",), True, 8, True, ("public.root",))


def test_facts_come_back_as_they_were_stored() -> None:
    facts = Facts(None)
    facts.remember(known(1, 23, MOODS), TYPES)

    again = Facts(Checkpoint(facts.take_changes()))

    assert again.tables == {1: known(1, 23, MOODS)}
    assert again.types.facts == {oid: TYPES.facts[oid] for oid in (MOOD, MOODS)}
    assert again.take_changes() == {}


def test_only_what_changed_is_stored() -> None:
    facts = Facts(None)
    facts.remember(known(1, 23, MOODS), TYPES)
    assert facts.take_changes().keys() == {"facts:1", f"type:{MOOD}", f"type:{MOODS}"}

    facts.remember(known(1, 23, MOODS), TYPES)
    facts.remember(known(2, 23), TYPES)

    assert facts.take_changes().keys() == {"facts:2"}


def test_types_are_forgotten_with_the_last_table_that_has_them() -> None:
    facts = Facts(None)
    facts.remember(known(1, 23, MOODS), TYPES)
    facts.remember(known(2, 23, MOODS), TYPES)
    facts.take_changes()

    facts.forget([1])
    assert facts.take_changes() == {"facts:1": None}

    facts.forget([2, 3])
    assert facts.take_changes() == {"facts:2": None, f"type:{MOOD}": None, f"type:{MOODS}": None}


@pytest.mark.parametrize(
    "part",
    [
        {"facts:1": encode_part({"oid": 1})},
        {"facts:1": b"{}"},
        {"type:1": encode_part({"types": [{"oid": 1}]})},
        {"type:1": encode_part({"types": None})},
    ],
)
def test_damaged_part_is_refused_by_its_name(part: dict[str, bytes]) -> None:
    with pytest.raises(DecodeError, match=next(iter(part))):
        Facts(Checkpoint(part))
