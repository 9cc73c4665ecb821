"""What the sink contract needs from a store, and which sinks there are."""

import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cdc.protocols import Document, Sink


class SinkHarness(Protocol):
    """A store for one test, and how to look into it."""

    waivers: Mapping[str, str]
    """Claims (names of tests) that do not hold for this sink, each with the reason."""

    examples: int
    """How many random histories are worth their time."""

    def reset(self) -> None:
        """Empty the store: nothing of earlier documents, deletes or truncates is remembered."""
        ...

    def make(self) -> Sink:
        """A new sink on the store; the suite closes it."""
        ...

    def documents(self, target: str) -> Mapping[str, Document]:
        """What readers of the store find of this table now, by id."""
        ...


def sinks_of(package: Path) -> list[str]:
    """The sinks in a package's folder: its modules that have `create`."""
    return [
        module.name
        for module in pkgutil.iter_modules([str(package)])
        if "\ndef create(" in (package / f"{module.name}.py").read_text("utf-8")
    ]
