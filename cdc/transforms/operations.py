"""Leaves out changes by their operation, and updates that change no captured column.

Made from keys of the source (`skipped_operations`, `skip_unchanged`), and last in its chain: what
the transforms before it took away is no change either.
"""

from collections.abc import Callable, Collection

from cdc.event import UNCHANGED, UPDATE, ChangeEvent, RawRow, Row
from cdc.schema import TableSchema

Change = Callable[[ChangeEvent], ChangeEvent | None]


class Operations:
    """A Transform. `skipped` are letters of operations."""

    def __init__(self, skipped: Collection[str], *, skip_unchanged: bool) -> None:
        self._skipped = frozenset(skipped)
        self._skip_unchanged = skip_unchanged

    def bind(self, table: TableSchema) -> Change | None:
        """The same for every table."""
        del table
        return self._kept

    def _kept(self, event: ChangeEvent) -> ChangeEvent | None:
        if event.op in self._skipped:
            return None
        if self._skip_unchanged and event.op == UPDATE and is_unchanged(event.before, event.after):
            return None
        return event


def is_unchanged(before: Row | None, after: Row | None) -> bool:
    """Whether both rows are there whole, and equal.

    Without replica identity FULL there is no whole old row, and nothing can be said.
    """
    if before is None or after is None:
        return False
    if isinstance(before, RawRow) and isinstance(after, RawRow) and before.layout is after.layout:
        # The same bytes are the same value; other bytes are too little to tell of.
        return before.raw == after.raw and UNCHANGED not in before.raw
    return tuple(before) == tuple(after) and UNCHANGED not in tuple(before)
