"""What a source wants a person to know while it works: values only."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the operator, there as long as it is true.

    `info` explains a wait, a `warning` may become a problem, an `alert` needs a person soon: the
    pipeline then counts as degraded. `code` is stable, in kebab case, one for each kind of note.
    Never holds row values, secrets or the text of anybody's query.
    """

    severity: Literal["info", "warning", "alert"]
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of its own log a database keeps because of a source, as last heard.

    `state` is where that is against the configured limits.
    """

    size_bytes: int
    state: Literal["ok", "warning", "limit"]
