"""What the README and the other pages tell a newcomer to type works, in the order given."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, prose
from tests.integration.command_line import Folder
from tests.lab import PostgresDatabase

README = ROOT / "README.md"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
SHELL = [block for block in blocks("sh") if block.page == README]


def typed() -> list[str]:
    """The README's shell lines, without comments."""
    lines = [line for block in SHELL for line in block.text.splitlines()]
    return [line.partition("#")[0].strip() for line in lines]


def test_every_kind_of_line_is_known_to_a_test() -> None:
    """`make demo` runs in tests/integration/test_demo.py, `make test` is what runs this."""
    kinds = {tuple(line.split()[:2]) for line in typed()}

    assert kinds == {
        ("make", "demo"),
        ("make", "test"),
        ("pip", "install"),
        ("cdc", "init"),
        ("cdc", "check"),
        ("cdc", "run"),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_and_every_extra_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    code = [*re.findall(r"`([^`\n]+)`", prose(page)), *re.findall(r"^make .*$", text, re.MULTILINE)]
    targets = {found for line in code for found in re.findall(r"^make ([a-z-]+)", line)}
    named = re.findall(r"(?:tidewire|'\.)\[([\w,]+)\]", text)

    assert targets - TARGETS == set()
    assert {extra for group in named for extra in group.split(",")} - set(EXTRAS) == set()


@pytest.mark.postgres
def test_the_commands_lead_from_a_database_to_an_index(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL)",
        "INSERT INTO products VALUES (1, 'Desk lamp'), (2, 'Stool')",
    )
    folder = Folder(tmp_path)
    init, check, run = (line.split()[1:] for line in typed() if line.startswith("cdc "))

    began = folder.cdc(*[postgres_database.url if "://" in word else word for word in init])
    checked = folder.cdc(*check)
    # The README's daemon runs until it is stopped; this one until there is nothing left to do.
    ran = folder.cdc(*run, "--until-current")

    assert began.code == 0, began.err
    assert began.out.endswith("then: cdc check && cdc run\n")
    assert {"cdc.yaml", "cdc.sql"} <= {path.name for path in tmp_path.iterdir()}
    assert checked.code == 0, checked.out + checked.err
    assert ran.code == 0, ran.err
    assert "2 changes" in ran.err
