"""Links lead somewhere, examples load, command lines parse, and tests that are named exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.main import get_command

from cdc.cli.main import app
from cdc.config import read
from tests.docs.pages import PAGES, ROOT, Block, blocks, command_lines, prose

SECRETS = ("SHOP_DB_PASSWORD", "CDC_DB_PASSWORD", "SEARCH_PASSWORD", "KAFKA_PASSWORD")
NO_COMPLAINT = "none"
LINES = sorted(set(command_lines()))
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def whole_configurations() -> list[Block]:
    """YAML blocks that begin a pipeline; others show a part of one."""
    return [block for block in blocks("yaml") if re.search(r"^name: ", block.text, re.MULTILINE)]


def anchors(page: Path) -> set[str]:
    """What a link can name behind `#`: headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def complaint(command: Any, name: str, words: list[str]) -> str:
    """What the command says of these arguments."""
    if {"-h", "--help"} & set(words):
        return NO_COMPLAINT
    try:
        command.make_context(name, list(words)).close()
    except typer.TyperException as error:
        return getattr(error, "format_message", error.__str__)()
    return NO_COMPLAINT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_there_are_whole_configurations_on_the_pages_that_begin_with_one() -> None:
    pages = {str(block.page.relative_to(ROOT)) for block in whole_configurations()}

    assert {"README.md", "docs/tutorial.md", "docs/sinks/README.md"} <= pages


@pytest.mark.parametrize("block", whole_configurations(), ids=str)
def test_every_whole_configuration_loads(block: Block, tmp_path: Path) -> None:
    config = read(block.text, tmp_path / "cdc.yaml", environment=dict.fromkeys(SECRETS, "secret"))

    assert config.sources
    assert config.sinks


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_piece_of_yaml_is_yaml(block: Block) -> None:
    # A block may be indented as it stands in the file.
    assert yaml.safe_load(block.text) is not None or block.text.startswith("#")


def test_command_lines_are_found_in_blocks_and_in_sentences() -> None:
    found = {line for _, line in LINES}

    assert {"cdc check", "cdc run --until-current", "cdc reset SINK", "cdc topics"} <= found
    assert any(line.startswith("cdc tail shop.public.products --from-start") for line in found)


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line for _, line in LINES])
def test_every_command_line_parses(page: Path, line: str) -> None:
    del page
    # Dots stand for what the reader fills in.
    words = [word for word in shlex.split(line)[1:] if not re.fullmatch(r"\.+|…", word)]
    group = get_command(app)
    context = group.make_context("cdc", list(words), resilient_parsing=True)
    if not words or words[0].startswith("-"):
        return
    name, command, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}

    assert name == words[0]
    given = {word for word in rest if word.startswith("-")}
    assert given - options - {"-h", "--help", "--debug"} == set()
    # A sentence may name a command without its argument.
    assert re.match(f"{NO_COMPLAINT}|Missing argument", complaint(command, name, rest))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    missing = [
        (file, name)
        for file, name in _TEST.findall(page.read_text("utf-8"))
        if not (ROOT / file).is_file()
        or (name and f"\ndef {name}(" not in (ROOT / file).read_text("utf-8"))
    ]

    assert missing == []


def test_every_promise_names_its_proof() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    kept, _, later = page.partition("## Not yet")
    promises = re.split(r"^\*\*", kept, flags=re.MULTILINE)[1:]

    assert len(promises) > 12
    assert [text.splitlines()[0] for text in promises if not _TEST.search(text)] == []
    assert _TEST.search(later) is None


def test_every_decision_is_listed_under_a_number_of_its_own() -> None:
    folder = ROOT / "docs" / "adr"
    listed = re.findall(
        r"^\| \[(\d{4})\]\((\S+)\)", (folder / "README.md").read_text(), re.MULTILINE
    )

    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert pages == [name for _, name in listed]
    assert [name[:4] for name in pages] == [number for number, _ in listed]
    assert len({name[:4] for name in pages}) == len(pages)


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")), ids=lambda page: page.name
)
def test_every_decision_has_context_decision_and_consequences(page: Path) -> None:
    text = page.read_text("utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)

    assert text.startswith(f"# {page.name[:4]}: ")
    assert {"Context", "Decision", "Consequences"} <= set(headings)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text("utf-8"))}
    # Pages of a folder with an index of its own are listed there.
    for page in [path for path in linked if path.name == "README.md"]:
        text = page.read_text("utf-8")
        linked |= {(page.parent / link).resolve() for link in _LINK.findall(text)}

    pages = {page.resolve() for page in PAGES if page.is_relative_to(ROOT / "docs")} - {index}
    assert [str(page.relative_to(ROOT)) for page in sorted(pages - linked)] == []
