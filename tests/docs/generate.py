"""What is generated for readers: option tables, help texts, figures, the configuration's schema.

`python -m tests.docs.generate` (`make docs`) writes all of it; tests fail while it is out of step.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel
from typer.testing import CliRunner

from benchmarks import page as results
from cdc.cli.main import app
from cdc.config.json_schema import config_schema
from cdc.config.model import (
    Admin,
    HeartbeatKeys,
    Logging,
    LogKeys,
    Pipeline,
    SinkKeys,
    SourceKeys,
)
from cdc.logs.embedded.config import Config as Embedded
from cdc.logs.kafka.config import Config as Kafka
from cdc.logs.kafka.config import TopicsConfig
from cdc.projection import TableMapping
from cdc.serializers.options import Options
from cdc.transforms.columns import Config as Columns
from connectors.postgres.retention import WalGuard
from tests.docs import option_table

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "config" / "cdc.schema.json"
CONFIGURATION = ROOT / "docs" / "configuration.md"
COMMAND_LINE = ROOT / "docs" / "command-line.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"

MODELS: Mapping[str, type[BaseModel]] = {
    "pipeline": Pipeline,
    "log": LogKeys,
    "log embedded": Embedded,
    "log kafka": Kafka,
    "log kafka topics": TopicsConfig,
    "source": SourceKeys,
    "source heartbeat": HeartbeatKeys,
    "postgres wal_guard": WalGuard,
    "format json": Options,
    "transform columns": Columns,
    "sink": SinkKeys,
    "table": TableMapping,
    "admin": Admin,
    "logging": Logging,
}
COMPONENTS = {"format json", "transform columns"}
"""Parts whose `type` is in the heading of their table."""

COMMANDS = (
    *("init", "check", "run", "status", "tail", "topics", "schema"),
    *("heal", "pause", "resume", "reset", "drop"),
)

_PARTS = "(TopicsConfig|Admin|Logging|HeartbeatKeys)"
_BLOCK = re.compile(r"<!-- generated: (?P<name>.*?) -->\n.*?<!-- generated: end -->", re.DOTALL)


def options(name: str) -> str:
    """The option table of a part of the file."""
    lines = option_table.table(MODELS[name]).splitlines()[1:-1]
    if name in COMPONENTS:
        lines = [line for line in lines if not line.startswith("| `type` |")]
    return "\n".join(_yaml_words(line) for line in lines)


def _yaml_words(line: str) -> str:
    """A row of the table in the words of a YAML file."""
    line = line.replace("`from_`", "`from`").replace(" bool ", " true or false ")
    line = re.sub(rf" \| {_PARTS} \| `.*?` \|", " | mapping, see below | - |", line)
    line = re.sub(rf" \| {_PARTS} \|", " | mapping, see below |", line)
    return re.sub(r"`(True|False)`", lambda found: found[0].lower(), line)


def help_text(command: str) -> str:
    """What `cdc COMMAND --help` prints."""
    result = CliRunner().invoke(
        app, [command, "--help"], prog_name="cdc", env={"COLUMNS": "100", "NO_COLOR": "1"}
    )
    if result.exit_code != 0:
        raise RuntimeError(f"cdc {command} --help failed") from result.exception
    text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
    return f"```text\n{text}\n```"


def figures(name: str) -> str:
    """A table of what `make bench` found."""
    content = results.load()
    if name == "speed":
        return results.summary(content)
    if name == "beside debezium":
        return results.beside_debezium(content)
    return results.table(content, name)


def schema_text() -> str:
    """The configuration's JSON Schema, as `cdc schema` prints it."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def with_blocks(page: str, make: Callable[[str], str]) -> str:
    """The page with each generated block made anew."""
    return _BLOCK.sub(
        lambda found: (
            f"<!-- generated: {found['name']} -->\n{make(found['name'])}\n<!-- generated: end -->"
        ),
        page,
    )


def blocks(page: str) -> list[str]:
    """The names of a page's generated blocks, in order."""
    return [found["name"] for found in _BLOCK.finditer(page)]


PAGES_WITH_BLOCKS: tuple[tuple[Path, Callable[[str], str]], ...] = (
    (CONFIGURATION, options),
    (COMMAND_LINE, help_text),
    (PERFORMANCE, figures),
    (README, figures),
)


def write() -> None:
    """Write everything anew."""
    SCHEMA.write_text(schema_text(), "utf-8")
    for page, make in PAGES_WITH_BLOCKS:
        page.write_text(with_blocks(page.read_text("utf-8"), make), "utf-8")
    for name, model in option_table.models().items():
        path = option_table.PAGES / f"{name}.md"
        path.write_text(option_table.with_table(path.read_text("utf-8"), model), "utf-8")


if __name__ == "__main__":
    write()
