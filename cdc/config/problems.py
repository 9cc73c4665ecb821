"""What is wrong with a configuration file: every problem at once, each with its line."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cdc.errors import ConfigError

KeyPath = tuple[str | int, ...]
"""Keys and list indexes from the top of the file, as in `("sinks", "cache", "from", 0)`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct. `line` counts from 1; None when the file has no such line."""

    path: KeyPath
    message: str
    line: int | None = None


class InvalidConfig(ConfigError):
    """A configuration file that cannot be used, with everything that is wrong with it."""

    default_hint = ""

    def __init__(self, file: Path, problems: Iterable[Problem]) -> None:
        ordered = sorted(set(problems), key=lambda problem: (problem.line or 0, problem.message))
        self.file = file
        self.problems = tuple(ordered)
        super().__init__("\n".join(self._text(problem) for problem in ordered))

    def _text(self, problem: Problem) -> str:
        file = _as_typed(self.file)
        where = f"{file}:{problem.line}" if problem.line else file
        subject = f" {dotted(problem.path)}:" if problem.path else ""
        return f"{where}:{subject} {problem.message}"


def _as_typed(file: Path) -> str:
    """The file's name as people write it: from the working directory, if it is below that."""
    try:
        return str(file.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(file)


def dotted(path: KeyPath) -> str:
    """The path as users write it: `sinks.cache.from[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` when a known word is near, else the known words, else nothing."""
    candidates = sorted(set(known))
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    if candidates:
        return f"; known here: {', '.join(candidates)}"
    return ""
