"""A folder that its user may not use, also when the tests run as root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def forbidden(folder: Path) -> Iterator[None]:
    """Nobody may list, enter or change the folder."""
    before = folder.stat().st_mode
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(before)
