"""The figures on the pages are those of the results file, and the file says where they are from."""

import pytest

from benchmarks import page
from tests.docs.generate import PERFORMANCE, README, blocks, figures, with_blocks
from tests.docs.pages import ROOT

CONTENT = page.load()


@pytest.mark.parametrize("name", ["README.md", "docs/performance.md"])
def test_figures_are_those_that_were_measured(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")

    assert with_blocks(text, figures) == text


def test_the_page_shows_every_part_and_the_readme_the_stream() -> None:
    shown = blocks(PERFORMANCE.read_text("utf-8"))

    assert ["beside debezium", *page.PARTS] == shown
    assert blocks(README.read_text("utf-8")) == ["speed"]


def test_the_results_page_is_that_of_the_results_file() -> None:
    assert page.page(CONTENT) == page.FILE.with_suffix(".md").read_text("utf-8")


@pytest.mark.parametrize("part", sorted(CONTENT["parts"]))
def test_every_part_says_when_and_on_what_it_was_measured(part: str) -> None:
    found = CONTENT["parts"][part]["found"]

    needed = {"date", "commit", "cores", "processor", "python", "postgres", "kafka", "scale"}
    assert set() == needed - set(found)
    assert found["implementation"] == "compiled"
    assert CONTENT["parts"][part]["results"]
