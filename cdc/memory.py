"""Copying and looking through bytes, for compiled modules in C (memory.pxd), without a call.

What compiled modules have in memory.pxd under the same names does the same.
"""

import re
from typing import Final

# What cannot stand between the quotes of JSON as it is, and the bytes of characters beyond ASCII.
_NOT_PLAIN: Final = re.compile(rb"[^ !#-\[\]-\x7f]")


def copy(out: bytearray, at: int, source: bytes | bytearray, size: int) -> None:
    """Put the first `size` bytes of `source` at `at`, where there is room."""
    out[at : at + size] = source[:size]


def taken(source: bytearray, size: int) -> bytes:
    """The first `size` bytes."""
    return bytes(source[:size])


def part(source: bytes, start: int, size: int) -> bytes:
    """The bytes from `start` on, `size` of them: in C only a pointer, whose end is not seen."""
    return source[start : start + size]


def plain(raw: bytes, size: int) -> int:
    """How many bytes at the beginning JSON text may hold as they are; or fewer.

    In C it looks at eight at a time and stops in front of the eight that hold another.
    """
    found = _NOT_PLAIN.search(raw, 0, size)
    return size if found is None else found.start()


def find(source: bytes, start: int, end: int, byte: int) -> int:
    """Where `byte` is first from `start` on, -1 if it is not before `end`."""
    return source.find(byte, start, end)
