"""Rows of COPY in text format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from cdc.rows import FORM_TEXT, RowLayout, packed_row
from connectors.postgres.copy_text import fields, pack

# As the server escapes. Source: PostgreSQL src/backend/commands/copyto.c, CopyAttributeOutText.
ESCAPES = {8: b"\\b", 12: b"\\f", 10: b"\\n", 13: b"\\r", 9: b"\\t", 11: b"\\v", 92: b"\\\\"}

VALUES = st.none() | st.binary().filter(lambda value: b"\0" not in value)


def written(values: list[bytes | None]) -> bytes:
    return (
        b"\t".join(
            b"\\N"
            if value is None
            else b"".join(ESCAPES.get(byte, bytes([byte])) for byte in value)
            for value in values
        )
        + b"\n"
    )


@given(st.lists(VALUES, min_size=1))
def test_values_come_back_as_they_were(values: list[bytes | None]) -> None:
    assert values == fields(written(values), len(values))


def test_text_that_looks_like_null_is_not_null() -> None:
    assert fields(b"\\\\N\t\\N\tN\n", 3) == [b"\\N", None, b"N"]


def test_row_without_columns_is_empty() -> None:
    assert fields(b"\n", 0) == []


@pytest.mark.parametrize(
    ("line", "width"), [(b"a\tb\n", 1), (b"a\n", 2), (b"a", 1), (b"x\n", 0), (b"", 1), (b"", 0)]
)
def test_other_number_of_columns_is_a_decode_error(line: bytes, width: int) -> None:
    with pytest.raises(DecodeError, match="columns"):
        fields(line, width)


@pytest.mark.parametrize("line", [b"\\x41\n", b"a\\\n", b"\\.\n"])
def test_unknown_escape_is_a_decode_error(line: bytes) -> None:
    with pytest.raises(DecodeError, match="unknown escape"):
        fields(line, 1)


_PIECES = st.sampled_from(
    [b"\\N", b"\\", b"\\\\", b"\\t", b"\\n", b"\t", b"\n", b"a", b"b", b"\xff", b"", b"x" * 300]
)


@given(st.lists(_PIECES, max_size=12).map(b"".join), st.integers(0, 6))
def test_a_packed_line_has_the_fields_of_the_line(content: bytes, width: int) -> None:
    line = content + b"\n"
    out = bytearray(len(line) + 5 * width)

    size = pack(line, len(line), width, out)

    if size >= 0:
        row = packed_row(RowLayout((bytes,) * width, (FORM_TEXT,) * width), bytes(out[:size]), 0)
        assert fields(line, width) == row.raw
    elif width:
        with pytest.raises(DecodeError):
            fields(line, width)


def test_a_line_without_its_end_is_not_packed() -> None:
    assert pack(b"", 0, 1, bytearray(10)) == -1
    assert pack(b"a", 1, 1, bytearray(10)) == -1
