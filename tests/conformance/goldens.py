"""Records that Debezium wrote, kept beside the repository, as exact text."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TIDEWIRE_GOLDENS", ROOT.parent / "shared" / "goldens")) / "postgres"

needs_goldens = pytest.mark.skipif(
    not FOLDER.is_dir() and "CI" not in os.environ,
    reason="Debezium's records are not there (TIDEWIRE_GOLDENS names their folder)",
)
"""Skips where the records are not there; in CI the test then fails at reading them."""


@dataclass(frozen=True, slots=True)
class Side:
    """A key or value: the text of its inline schema, None without, and of its payload."""

    schema: str | None
    payload: str

    def text(self) -> bytes:
        """The record's bytes."""
        if self.schema is None:
            return self.payload.encode()
        return f'{{"schema":{self.schema},"payload":{self.payload}}}'.encode()


@dataclass(frozen=True, slots=True)
class Golden:
    """One record. `headers` are names and texts in order; Kafka's null is None."""

    topic: str
    offset: int
    headers: tuple[tuple[str, str], ...]
    key: Side | None
    value: Side | None


def side_of(text: bytes | None) -> Side | None:
    """The parts of a record's key or value, with every character as it was."""
    if text is None:
        return None
    whole = text.decode()
    opening, middle = '{"schema":', ',"payload":'
    if not whole.startswith(opening):
        return Side(None, whole)
    _, end = json.JSONDecoder().raw_decode(whole, len(opening))
    assert whole[end:].startswith(middle)
    return Side(whole[len(opening) : end], whole[end + len(middle) : -1])


def records(variant: str) -> list[Golden]:
    """The records of one run of Debezium, by topic and offset."""
    return list(_read(variant))


def _read(variant: str) -> Iterator[Golden]:
    schemas: dict[str, str] = {}

    def side(content: dict[str, str] | None) -> Side | None:
        if content is None:
            return None
        if "text" in content:
            return Side(None, content["text"])
        return Side(schemas[content["schema"]], content["payload"])

    for line in (FOLDER / f"{variant}.jsonl").read_text("utf-8").splitlines():
        content = json.loads(line)
        if "schema_id" in content:
            schemas[content["schema_id"]] = content["schema_text"]
            continue
        headers = tuple((name, text) for name, text in content["headers"])
        yield Golden(
            content["topic"],
            content["offset"],
            headers,
            side(content["key"]),
            side(content["value"]),
        )


def connector(variant: str) -> dict[str, str]:
    """The configuration of that run."""
    content = json.loads((FOLDER / f"{variant}.connector.json").read_text("utf-8"))
    return {str(name): str(value) for name, value in content.items()}


def setup_script(scenario: str) -> str:
    """The SQL that ran before the snapshot; variants of a scenario (`types_full`) share it."""
    path = FOLDER / f"{scenario}_setup.sql"
    return path.read_text("utf-8") if path.exists() else setup_script(scenario.rpartition("_")[0])


def changes_script(scenario: str) -> str:
    """The SQL that ran while the stream was followed; some scenarios have none."""
    path = FOLDER / f"{scenario}_changes.sql"
    return path.read_text("utf-8") if path.exists() else ""
