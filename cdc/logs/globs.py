"""Topic patterns: a name, or a name with `*` for any characters, dots included."""

import re
from collections.abc import Sequence
from typing import Final

INTERNAL_PREFIX: Final = "__"
"""Topics that begin so are bookkeeping; only a pattern that begins so as well means them."""

HEARTBEATS: Final = "__debezium-heartbeat."
"""Topics of heartbeats begin so: bookkeeping too, but of sources, and worth a look."""


def is_glob(pattern: str) -> bool:
    """Whether the pattern can mean more than one topic."""
    return "*" in pattern


def expression(pattern: str) -> str:
    """The pattern as a POSIX extended regular expression that is anchored at both ends.

    A leading `*` does not mean topics that begin with INTERNAL_PREFIX, nor the name `_` alone.
    """
    # Only what a regular expression could take for something else: `\\-` means nothing in POSIX.
    text = re.sub(r"[^\w*-]", r"\\\g<0>", pattern).replace("*", ".*")
    if pattern.startswith("*"):
        text = f"([^_]|_[^_]){text}" if set(pattern) == {"*"} else f"(([^_]|_[^_]).*)?{text[2:]}"
    return f"^{text}$"


class Patterns:
    """Several patterns; a topic is meant when one of them means it."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.names = frozenset(pattern for pattern in patterns if not is_glob(pattern))
        self.expressions = tuple(expression(pattern) for pattern in patterns if is_glob(pattern))
        self._compiled = tuple(re.compile(text) for text in self.expressions)

    def means(self, topic: str) -> bool:
        """Whether a topic of this name is meant."""
        if topic in self.names:
            return True
        return any(compiled.search(topic) for compiled in self._compiled)
