"""Transactions in one order: which of them wrote what the catalog says now.

A transaction id has 32 bits and wraps around; the server counts 64 and tells the next one. Whatever
is written somewhere is one of the last 2**32 before that.
Source: PostgreSQL manual, Transactions and Identifiers; transam.h (ids below 3 are special).
"""

from typing import Final

READ_NEXT_XID: Final = """
SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
       ::pg_catalog.text::pg_catalog.int8
"""


def full_xid(xid: int, next_xid: int) -> int:
    """The 64-bit id of a transaction that is named with 32 bits.

    `next_xid` is one that was not given out yet when the transaction had ended.
    """
    return next_xid - ((next_xid - xid) & 0xFFFFFFFF)


def made_by(xmin: int, next_xid: int) -> int:
    """The 64-bit id of the transaction that wrote a row; 0: the server itself, or long ago."""
    return 0 if xmin < 3 else full_xid(xmin, next_xid)
