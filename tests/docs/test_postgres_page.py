"""The page of the Postgres source keeps up with the code."""

import re
from pathlib import Path

import yaml

import connectors.postgres
from connectors.postgres.config import Config

PAGE = (Path(__file__).parents[2] / "docs" / "sources" / "postgres.md").read_text("utf-8")
FOLDER = Path(connectors.postgres.__path__[0])
_FINDING = re.compile(r'Finding\(\s*"(?:error|warning|ok)"(?: if .*)?,\s*"([a-z-]+)"')


def test_every_code_of_the_doctor_is_explained() -> None:
    source = "".join(path.read_text("utf-8") for path in FOLDER.glob("doctor*.py"))
    codes = set(_FINDING.findall(source)) - {"tables", "keys", "types", "table-rights"}
    table = PAGE.rpartition("## What `cdc check` finds")[2]

    assert len(codes) > 20
    assert [code for code in sorted(codes) if f"`{code}`" not in table] == []


def test_the_example_is_a_configuration() -> None:
    (example,) = re.findall(r"```yaml\nsources:\n(.*?)```", PAGE, re.DOTALL)
    (settings,) = yaml.safe_load(example).values()

    assert (
        Config.model_validate(
            {key: value for key, value in settings.items() if key != "type"}
        ).snapshot
        == "initial"
    )
