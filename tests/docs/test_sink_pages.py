"""Every sink has a page, whose option table is the model and whose example is a configuration."""

import importlib
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from cdc.config.model import SinkKeys
from tests.docs.option_table import PAGES, models, with_table

SINKS = sorted(models())
_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


@pytest.fixture(params=SINKS)
def name(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def model(name: str) -> type[BaseModel]:
    return models()[name]


@pytest.fixture
def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text("utf-8")


def test_every_page_is_of_a_sink() -> None:
    assert sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "README") == SINKS


def test_the_option_table_is_the_model(page: str, model: type[BaseModel]) -> None:
    assert page == with_table(page, model), "run: python -m tests.docs.option_table"


def test_every_option_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_settings_are_frozen_and_refuse_unknown_keys(model: type[BaseModel]) -> None:
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"


def test_a_page_begins_with_what_its_reader_can_do_afterwards(page: str) -> None:
    title, _, first = page.split("\n")[:3]

    assert title.startswith("# ")
    assert first.startswith("After this page you ")


def test_the_examples_on_the_page_are_configurations(page: str, model: type[BaseModel]) -> None:
    found = [yaml.safe_load(block)["sinks"] for block in _YAML.findall(page)]

    assert found
    for sinks in found:
        for values in sinks.values():
            core = set(SinkKeys.model_fields) | {"from", "key"}
            SinkKeys.model_validate({k: v for k, v in values.items() if k in core})
            model.model_validate({k: v for k, v in values.items() if k not in core})


def test_every_code_of_a_finding_is_on_the_page(page: str, name: str) -> None:
    module = importlib.import_module(f"sinks.{name}")
    assert module.__file__ is not None
    files = Path(module.__file__).parent.glob(f"{name}*.py")
    codes = {
        code
        for file in files
        for code in re.findall(rf'Finding\(\s*"\w+",\s*"({name}[a-z0-9-]*)"', file.read_text())
    }

    assert codes
    assert {code for code in codes if f"`{code}`" not in page} == set()
