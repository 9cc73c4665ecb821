"""The stored form of a batch of records of one topic.

Layout, little endian:

    u8 form, u8 flags (1: offsets follow), u16 0, u32 records, u32 CRC-32 of what follows
    u32 * records          only with flag 1: offset of each record minus the batch's first offset
    u32 * records * 4      lengths of key, value, `cdc` header, other headers; 0xFFFFFFFF means None
    the bytes themselves, in the same order

Other headers, each: u16 length of the name, u32 length of the value, name in UTF-8, value.
Without offsets, records have the offsets first, first + 1, ...
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final

from cdc.errors import DecodeError
from cdc.event import Stored

FORM: Final = 1
OFFSETS: Final = 1
NONE: Final = 0xFFFFFFFF
LENGTH_MAX: Final = NONE - 1
FIELDS: Final = 4
_HEAD: Final = struct.Struct("<BBHII")
_HEADER: Final = struct.Struct("<HI")

Fields = list[bytes | None]
"""Key, value, `cdc` header, other headers of every record, one behind the other."""


def encode(fields: Fields, offsets: Sequence[int] | None = None) -> bytes:
    """The stored form; `offsets` are relative to the batch's first, None when they are dense."""
    lengths = [NONE if part is None else len(part) for part in fields]
    body = [struct.pack(f"<{len(lengths)}I", *lengths)]
    if offsets is not None:
        body.insert(0, struct.pack(f"<{len(offsets)}I", *offsets))
    body.extend(part for part in fields if part)
    content = b"".join(body)
    flags = 0 if offsets is None else OFFSETS
    head = _HEAD.pack(FORM, flags, 0, len(fields) // FIELDS, zlib.crc32(content))
    return head + content


def decode(stored: bytes) -> tuple[Fields, Sequence[int]]:
    """The fields and the relative offsets. Raises DecodeError for damage or a newer form."""
    if len(stored) < _HEAD.size:
        raise _damaged("is too short", len(stored))
    form, flags, _, count, checksum = _HEAD.unpack_from(stored)
    if form != FORM:
        raise DecodeError(
            f"a batch of the embedded log has form {form}, this Tidewire knows {FORM}",
            kind="batch",
            hint="Run the newer Tidewire that wrote it, or one that is newer still.",
        )
    position = _HEAD.size
    if zlib.crc32(memoryview(stored)[position:]) != checksum:
        raise _damaged("has a wrong checksum", position)
    offsets: Sequence[int] = range(count)
    needed = position + 4 * count * (FIELDS + (1 if flags & OFFSETS else 0))
    if len(stored) < needed:
        raise _damaged("is too short", len(stored))
    if flags & OFFSETS:
        offsets = struct.unpack_from(f"<{count}I", stored, position)
        position += 4 * count
    lengths = struct.unpack_from(f"<{count * FIELDS}I", stored, position)
    position = needed
    fields: Fields = []
    take = fields.append
    for length in lengths:
        if length == NONE:
            take(None)
        else:
            end = position + length
            take(stored[position:end])
            position = end
    if position != len(stored):
        raise _damaged("has a wrong length", position)
    return fields, offsets


def encode_headers(headers: Sequence[tuple[str, bytes]]) -> bytes | None:
    """The stored form of headers other than `cdc`; None when there are none."""
    if not headers:
        return None
    parts: list[bytes] = []
    for name, value in headers:
        encoded = name.encode()
        parts += (_HEADER.pack(len(encoded), len(value)), encoded, value)
    return b"".join(parts)


def decode_headers(stored: bytes) -> tuple[tuple[str, bytes], ...]:
    """The headers given to `encode_headers`. Raises DecodeError."""
    headers: list[tuple[str, bytes]] = []
    position = 0
    while position < len(stored):
        if len(stored) - position < _HEADER.size:
            raise _damaged("ends inside a header", position)
        name_length, value_length = _HEADER.unpack_from(stored, position)
        name_end = position + _HEADER.size + name_length
        end = name_end + value_length
        if end > len(stored):
            raise _damaged("ends inside a header", position)
        name = stored[position + _HEADER.size : name_end].decode()
        headers.append((name, stored[name_end:end]))
        position = end
    return tuple(headers)


def records(
    stored: bytes, topic: str, partition: int, first_offset: int, timestamp_us: int
) -> list[Stored]:
    """The records of a batch, in offset order."""
    fields, offsets = decode(stored)
    found: list[Stored] = []
    position = 0
    for relative in offsets:
        mark, others = fields[position + 2], fields[position + 3]
        headers = () if others is None else decode_headers(others)
        if mark is not None:
            headers = (("cdc", mark), *headers)
        found.append(
            Stored(
                topic,
                partition,
                first_offset + relative,
                fields[position],
                fields[position + 1],
                headers,
                timestamp_us,
            )
        )
        position += FIELDS
    return found


def _damaged(how: str, offset: int) -> DecodeError:
    return DecodeError(
        f"a batch of the embedded log {how}",
        offset=offset,
        kind="batch",
        hint="The disk returned other bytes than were written: check it, then restore state_dir "
        "or run `cdc reset`.",
    )
