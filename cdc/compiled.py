"""Which hot modules run compiled, and how to choose.

Hot modules are plain Python that setup.py compiles when a C compiler is there. Both forms pass the
same tests; this module is the only place that can tell them apart.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

HOT_MODULES = (
    "cdc.event",
    "cdc.logs.kafka.queueing",
    "cdc.rows",
    "cdc.serializers.debezium_json",
    "cdc.serializers.json_numbers",
    "cdc.serializers.json_rows",
    "cdc.serializers.json_text",
    "cdc.serializers.json_time",
    "connectors.postgres.blocks",
    "connectors.postgres.pgoutput",
    "connectors.postgres.values",
    "connectors.postgres.copy_drain",
    "connectors.postgres.copy_text",
)


def is_compiled(name: str) -> bool:
    """Whether the hot module `name` was imported from a compiled extension."""
    file = importlib.import_module(name).__file__ or ""
    return file.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))


def implementation() -> str:
    """`compiled`, `pure Python`, or, after a broken build, which modules are which."""
    compiled = [name for name in HOT_MODULES if is_compiled(name)]
    if len(compiled) == len(HOT_MODULES):
        return "compiled"
    if not compiled:
        return "pure Python"
    return "partly compiled: " + ", ".join(compiled)


class _SourceFinder(importlib.abc.MetaPathFinder):
    """Finds the `.py` file of a hot module where the import system would prefer the extension."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of the source file, or None for every module that is not hot."""
        del target
        if fullname not in HOT_MODULES or path is None:
            return None
        source = Path(path[0]) / (fullname.rpartition(".")[2] + ".py")
        return importlib.util.spec_from_file_location(fullname, source)


def force_pure_python() -> None:
    """Make imports of hot modules from now on load their source. May be called twice."""
    if not any(isinstance(finder, _SourceFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _SourceFinder())
