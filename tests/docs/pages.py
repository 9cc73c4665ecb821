"""The pages that users read, and what stands in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its page, its language (may be empty) and its text."""

    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        """The page and the first line, as names of tests."""
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0]}"


def blocks(*languages: str) -> list[Block]:
    """Every fenced block of these languages on any page, in order."""
    return [
        Block(page, found[1], found[2])
        for page in PAGES
        for found in _FENCE.finditer(page.read_text("utf-8"))
        if found[1] in languages
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def command_lines() -> Iterator[tuple[Path, str]]:
    """Every `cdc ...` on any page: lines of shell blocks, and code inside sentences."""
    for block in blocks("sh"):
        # A comment, a pipe or a next command ends ours.
        for line in block.text.splitlines():
            for part in re.split(r"\s#|\||&&|;", line):
                if part.strip().startswith("cdc "):
                    yield block.page, part.strip()
    for page in PAGES:
        for code in re.findall(r"`(cdc [^`]+)`", prose(page)):
            for part in re.split(r"\||&&|;", code):
                if part.strip().startswith("cdc "):
                    yield page, part.strip()
