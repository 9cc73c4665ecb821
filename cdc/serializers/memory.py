"""Copying of bytes, for compiled modules in C (memory.pxd), which need no call for it."""


def copy(out: bytearray, at: int, source: bytes | bytearray, size: int) -> None:
    """Put the first `size` bytes of `source` at `at`, where there is room."""
    out[at : at + size] = source[:size]


def taken(source: bytearray, size: int) -> bytes:
    """The first `size` bytes."""
    return bytes(source[:size])
