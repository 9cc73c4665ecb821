"""The stored form of batches."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from cdc.logs.embedded import batches

PART = st.none() | st.binary(max_size=40)
RECORDS = st.lists(st.tuples(PART, PART, PART, PART), max_size=20)


@given(RECORDS, st.booleans())
def test_what_is_encoded_is_decoded(
    records: list[tuple[bytes | None, ...]], with_offsets: bool
) -> None:
    fields = [part for record in records for part in record]
    offsets = [3 * index for index in range(len(records))] if with_offsets else None

    decoded, found = batches.decode(batches.encode(fields, offsets))

    assert decoded == fields
    assert list(found) == (offsets if with_offsets else list(range(len(records))))


@given(st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=9)), min_size=1, max_size=5))
def test_headers_keep_names_values_and_order(headers: list[tuple[str, bytes]]) -> None:
    stored = batches.encode_headers(headers)

    assert stored is not None
    assert batches.decode_headers(stored) == tuple(headers)


def test_one_changed_byte_anywhere_is_noticed() -> None:
    stored = batches.encode([b"key", b"value", None, None])

    for place in range(len(stored)):
        # Bytes 2 and 3 are reserved: nothing depends on them. Byte 1 has unused flags.
        if place in {1, 2, 3}:
            continue
        changed = bytearray(stored)
        changed[place] ^= 0x40
        with pytest.raises(DecodeError):
            batches.decode(bytes(changed))


def test_a_batch_that_ends_early_is_noticed() -> None:
    stored = batches.encode([b"key", b"value", None, None])

    for length in range(len(stored)):
        with pytest.raises(DecodeError):
            batches.decode(stored[:length])


def test_a_header_that_ends_early_is_noticed() -> None:
    stored = batches.encode_headers([("name", b"value")])

    assert stored is not None
    for length in range(1, len(stored)):
        with pytest.raises(DecodeError):
            batches.decode_headers(stored[:length])


def test_no_headers_take_no_room() -> None:
    assert batches.encode_headers([]) is None


def test_lengths_that_do_not_fill_the_batch_are_noticed() -> None:
    body = struct.pack("<4I", 1, 1, batches.NONE, batches.NONE) + b"key"
    head = struct.pack("<BBHII", batches.FORM, 0, 0, 1, zlib.crc32(body))

    with pytest.raises(DecodeError, match="wrong length"):
        batches.decode(head + body)
