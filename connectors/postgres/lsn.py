"""Log sequence numbers: places in the write-ahead log, in bytes."""

from typing import Final, Self

from cdc.errors import DecodeError

# Sizes of the headers that begin every WAL page and every WAL segment.
# Source: PostgreSQL src/include/access/xlog_internal.h, SizeOfXLogShortPHD and SizeOfXLogLongPHD.
_PAGE_HEADER_BYTES_MAX: Final = 40


class Lsn(int):
    """A place in the log: an unsigned 64-bit number that prints as the server prints it."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The number in `16/B374D848` notation. Raises DecodeError for anything else."""
        high, slash, low = text.partition("/")
        if not (slash and 1 <= len(high) <= 8 and 1 <= len(low) <= 8):
            raise DecodeError(f"{text!r} is no log sequence number", kind="LSN")
        try:
            number = (_hexadecimal(high) << 32) | _hexadecimal(low)
        except ValueError as error:
            raise DecodeError(f"{text!r} is no log sequence number", kind="LSN") from error
        return cls(number)

    def __str__(self) -> str:
        number = int(self)
        return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({self})"


def _hexadecimal(digits: str) -> int:
    # int() also takes signs, underscores, spaces and foreign digits.
    if not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(digits)
    return int(digits, 16)


def end_of_record_before(insert_lsn: int, page_bytes: int) -> Lsn:
    """Where the record that ends right before the insert position ends.

    The server's insert position is where the next record would begin: behind a page header when the
    last record filled its page. Nothing is ever streamed up to there while the server is idle.
    """
    into_page = insert_lsn % page_bytes
    return Lsn(insert_lsn - into_page if into_page <= _PAGE_HEADER_BYTES_MAX else insert_lsn)
