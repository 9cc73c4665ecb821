"""Tidewire's core: it knows no database and no store.

`CDC_PURE_PYTHON=1` makes the plain Python of the hot modules run even where compiled
ones are installed.
"""

import os

from cdc.compiled import force_pure_python

if os.environ.get("CDC_PURE_PYTHON"):
    force_pure_python()
