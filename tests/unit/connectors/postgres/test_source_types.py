"""Names and sizes of the server's types."""

import pytest

from connectors.postgres.logical_types import BUILT_IN_OIDS, TypeFacts, Types
from connectors.postgres.source_types import source_type

MOOD, MOODS, AMOUNT, AMOUNTS = 50_001, 50_002, 50_003, 50_004
TYPES = Types(
    {
        MOOD: TypeFacts(MOOD, "shop.mood", "enum", labels=("sad",)),
        MOODS: TypeFacts(MOODS, "shop._mood", "array", MOOD),
        AMOUNT: TypeFacts(AMOUNT, "shop.amount", "domain", 1700, (12 << 16 | 2) + 4),
        AMOUNTS: TypeFacts(AMOUNTS, "shop._amount", "array", AMOUNT),
    }
)


@pytest.mark.parametrize(
    ("oid", "modifier", "expected"),
    [
        (23, -1, "int4 10 0"),
        (701, -1, "float8 17 17"),
        (25, -1, "text 2147483647 0"),
        (1043, 44, "varchar 40 0"),
        (1043, -1, "varchar 2147483647 0"),
        (1015, 24, "_varchar 20 0"),
        (1700, (10 << 16 | 2) + 4, "numeric 10 2"),
        (1700, (5 << 16 | 2046) + 4, "numeric 5 -2"),
        (1700, -1, "numeric 131089 0"),
        (1083, 0, "time 8 0"),
        (1114, 1, "timestamp 25 1"),
        (1184, 3, "timestamptz 32 3"),
        (1266, -1, "timetz 21 6"),
        (1186, 4 << 16 | 0xFFFF, "interval 49 65535"),
        (1560, 12, "bit 12 0"),
        (3220, -1, "pg_lsn 2147483647 0"),
        (MOOD, -1, "mood 2147483647 0"),
        (MOODS, -1, "_mood 2147483647 0"),
        (AMOUNT, -1, "amount 12 2"),
        (AMOUNTS, -1, "_amount 12 2"),
    ],
)
def test_type_has_its_name_length_and_scale(oid: int, modifier: int, expected: str) -> None:
    found = source_type(oid, modifier, TYPES)

    assert tuple(name for name, _ in found) == ("type_name", "length", "scale")
    assert expected == " ".join(text for _, text in found)


def test_every_built_in_type_has_a_name() -> None:
    assert all(source_type(oid, -1, Types()) for oid in BUILT_IN_OIDS)


def test_type_that_is_not_known_has_none() -> None:
    assert source_type(60_000, -1, Types()) == ()
