"""Rows in one piece of bytes are those rows of lists, and give the same records."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.event import ChangeEvent, Transaction
from cdc.rows import (
    FORM_INTEGER,
    FORM_OPAQUE,
    FORM_TEXT,
    UNCHANGED,
    RawRow,
    RowLayout,
    cut,
    packed_row,
    place_behind,
)
from cdc.schema import Column, Int64, String, TableSchema
from cdc.serializers.options import Options
from tests.property.strategies import TEXT
from tests.property.test_debezium_json import serializer

EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TRANSACTION = Transaction("7", 1_789_369_509_123_456, 7)
# Wider than the bits of any number of C.
COLUMNS = (
    Column("id", Int64(), nullable=False),
    *(Column(f"c{number}", String()) for number in range(69)),
    Column("last", String(), nullable=False),
)
TABLE = TableSchema("shop", "public", "wide", COLUMNS, (70, 0))
LAYOUT = RowLayout(
    (int, *(bytes.decode for _ in range(70))), (FORM_INTEGER, *[FORM_TEXT, FORM_OPAQUE] * 35)
)


def packed(values: list[object]) -> bytes:
    parts = []
    for value in values:
        if isinstance(value, bytes):
            parts.append(b"t" + len(value).to_bytes(4, "big") + value)
        else:
            parts.append(b"n" if value is None else b"u")
    return b"".join(parts)


VALUES: st.SearchStrategy[list[object]] = st.lists(
    st.none() | st.just(UNCHANGED) | TEXT.map(str.encode), min_size=69, max_size=69
)


@EXAMPLES
@given(st.integers(-(2**63), 2**63 - 1), VALUES, TEXT, st.binary(max_size=9))
def test_a_packed_row_is_the_row_of_its_list(
    number: int, values: list[object], last: str, before: bytes
) -> None:
    values = [b"%d" % number, *values, last.encode()]

    row = packed_row(LAYOUT, before + packed(values) + b"more", len(before))

    listed = RawRow(LAYOUT, values)
    assert values == row.raw
    assert row == listed
    assert len(row) == len(listed)
    made = [
        [
            (record.key, record.value, record.mark)
            for record in serializer(Options()).encode(
                [ChangeEvent("u", TABLE, None, form, TRANSACTION)]
            )
        ]
        for form in (packed_row(LAYOUT, before + packed(values), len(before)), listed, tuple(row))
    ]
    assert made[0] == made[1] == made[2]


ONE = st.none() | st.just(UNCHANGED) | st.binary(max_size=3) | st.text("t\0nu").map(str.encode)


@EXAMPLES
@given(st.lists(ONE, max_size=6), st.binary(max_size=9), st.sampled_from([b"", b"n", b"t", b"x"]))
def test_values_that_are_cut_are_those_that_are_there_or_none(
    values: list[object], before: bytes, more: bytes
) -> None:
    found = cut(before + packed(values) + more, len(before), len(values))

    # What is none is looked at value by value.
    assert found is None or (values == found and not more)


@EXAMPLES
@given(st.lists(st.none() | st.just(UNCHANGED) | TEXT.map(str.encode), max_size=9))
def test_short_text_is_always_cut(values: list[object]) -> None:
    values = [v.replace(b"\0", b"")[:255] if isinstance(v, bytes) else v for v in values]

    assert values == cut(packed(values), 0, len(values))


def test_a_long_value_and_a_wrong_number_of_them_are_not_cut() -> None:
    assert cut(packed([b"x" * 255]), 0, 1) == [b"x" * 255]
    assert cut(packed([b"x" * 256]), 0, 1) is None
    assert cut(packed([b"x", None]), 0, 1) is None
    assert cut(packed([b"x"]), 0, 2) is None
    assert cut(packed([b"xy"])[:-1], 0, 1) is None


@EXAMPLES
@given(st.binary(max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_the_place_behind_a_value_is_inside_whatever_the_bytes_are(
    content: bytes, place: int, end: int
) -> None:
    end = min(end, len(content))

    behind = place_behind(content, place, end)

    assert behind in {-1, -2} or place < behind <= end


def test_a_value_that_does_not_end_or_is_none_has_no_place_behind() -> None:
    assert place_behind(b"t\0\0\0\3abcn", 0, 9) == 8
    assert place_behind(b"t\0\0\0\3abcn", 8, 9) == 9
    assert place_behind(b"u", 0, 1) == 1
    assert place_behind(b"t\0\0\0\3ab", 0, 7) == -1
    assert place_behind(b"t\xff\xff\xff\xffab", 0, 7) == -1
    assert place_behind(b"t\0\0\0", 0, 4) == -1
    assert place_behind(b"", 0, 0) == -1
    assert place_behind(b"b\0\0\0\0", 0, 5) == -2


def test_plain_python_writes_packed_rows_as_compiled_modules_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What plain Python does not choose by itself, and coverage sees only there."""
    values: list[object] = [b"7", *[b'a "quote"', None, UNCHANGED, b"plain"] * 17, b"x", b"9"]
    listed = ChangeEvent("c", TABLE, None, RawRow(LAYOUT, values), TRANSACTION)
    row = ChangeEvent("c", TABLE, None, packed_row(LAYOUT, packed(values), 0), TRANSACTION)
    expected = serializer(Options()).encode([listed])[-1]

    monkeypatch.setattr("cdc.serializers.json_rows._DIRECT", True, raising=False)
    written = serializer(Options()).encode([row])[-1]

    assert (expected.key, expected.value) == (written.key, written.value)
