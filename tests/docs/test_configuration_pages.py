"""The pages, the schema and the examples say what the code does."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from cdc.cli.main import app
from cdc.config import Config, read
from cdc.config.components import PACKAGES, known
from cdc.config.json_schema import CORE_KEYS, config_schema, missing, shipped
from cdc.config.words import key_names
from tests.docs.generate import (
    COMMAND_LINE,
    COMMANDS,
    COMPONENTS,
    CONFIGURATION,
    MODELS,
    ROOT,
    SCHEMA,
    blocks,
    help_text,
    options,
    schema_text,
    with_blocks,
)

EXAMPLES = sorted(
    path for path in (ROOT / "config").glob("*.yaml") if "\nname:" in f"\n{path.read_text()}"
)


def loaded(example: Path) -> Config:
    """The example with every secret set: to a text, or to a file that is there."""
    text = re.sub(r"\$\{file:[^}]*\}", f"${{file:{example}}}", example.read_text())
    names = ("SHOP_DB_PASSWORD", "TIDEWIRE_TOKEN")
    return read(text, example, environment=dict.fromkeys(names, "secret"))


def test_the_schema_file_is_the_schema() -> None:
    assert missing() == []
    assert SCHEMA.read_text("utf-8") == schema_text(), "run: make docs"


@pytest.mark.parametrize(
    ("page", "make"), [(CONFIGURATION, options), (COMMAND_LINE, help_text)], ids=str
)
def test_the_generated_blocks_are_in_step(page: Path, make: object) -> None:
    assert callable(make)
    text = page.read_text("utf-8")

    assert text == with_blocks(text, make), "run: make docs"


def test_every_part_of_the_file_and_every_command_is_on_its_page() -> None:
    commands = [command.name for command in app.registered_commands]

    assert blocks(CONFIGURATION.read_text("utf-8")) == list(MODELS)
    assert blocks(COMMAND_LINE.read_text("utf-8")) == list(COMMANDS)
    assert sorted(COMMANDS) == sorted(str(name) for name in commands)


@pytest.mark.parametrize("name", MODELS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    fields = MODELS[name].model_fields
    said_elsewhere = {"type"} if name in COMPONENTS else set()

    undescribed = {key for key, field in fields.items() if not field.description}
    assert undescribed <= said_elsewhere


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_loads(example: Path) -> None:
    config = loaded(example)

    assert config.sources
    assert config.sinks


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_fits_the_schema(example: Path) -> None:
    jsonschema.validate(yaml.safe_load(example.read_text()), config_schema())


@pytest.mark.parametrize(
    "text",
    [
        "name: shop\nnam: x",
        "name: shop\nsinks: {a: {type: redis, from: [a.b]}}",
        "name: shop\nsinks: {a: {type: blackhole, from: [a.b], url: x}}",
        "name: shop\nsinks: {A-B: {type: blackhole, from: [a.b]}}",
        "name: shop\nlog: {type: embedded, segment_bytes: x}",
        "name: shop\nlogging: {level: loud}",
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), config_schema())


@pytest.mark.parametrize(
    "text",
    [
        "name: shop\nlog: {type: embedded, segment_bytes: '${env:SIZE}'}",
        "name: shop\nlogging: {level: '${env:LEVEL}'}",
        "name: shop\nsinks: {a: {type: my.own.module, from: [a.b], whatever: 1}}",
        "name: shop\nsinks: {a: {type: blackhole, from: [a.b], key: 'x{id}'}}",
    ],
)
def test_the_schema_allows_references_and_components_of_others(text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), config_schema())


@pytest.mark.parametrize("kind", PACKAGES)
def test_no_component_takes_a_key_that_is_the_cores(kind: str) -> None:
    assert kind in CORE_KEYS
    for component in shipped(kind):
        ours = set(key_names(CORE_KEYS[kind])) - {"type"}
        assert ours & set(key_names(component.model)) == set(), component.name


def test_everything_that_is_shipped_is_known() -> None:
    assert {"embedded", "kafka"} <= set(known("logs"))
    assert {"opensearch", "redis", "sqlite", "stdout", "blackhole"} <= set(known("sinks"))
    assert known("sources") == ["postgres"]
    assert known("serializers") == ["json"]
    assert known("transforms") == ["columns"]
    assert json.loads(schema_text())["title"] == "Tidewire configuration"
