"""The cyclic garbage collector, set for workers that make and drop many objects without cycles."""

import gc
from typing import Final

# Rows, events and records make no cycles. By default the collector looks at them again and again,
# which took a seventh of a capture's CPU time; now it looks once for about ten batches.
_OBJECTS_BETWEEN_LOOKS: Final = 50_000


def relax() -> None:
    """Leave what is there now alone for good, and look seldom. Once in a process, after imports."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS, 20, 20)
