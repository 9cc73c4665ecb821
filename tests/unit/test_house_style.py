"""Style rules that a program can check: sizes, names, prints, machine paths."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# What is longer, each with its reason. An entry that is no longer needed fails the test too.
LONG_MODULES: dict[str, str] = {
    "cdc/protocols.py": "every contract on one page is its purpose",
}
LONG_FUNCTIONS: dict[str, str] = {}
BANNED_NAMES = {"utils", "util", "common", "helpers", "manager", "base", "impl", "misc"}


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def tracked_text_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_modules_are_short_or_listed_with_a_reason() -> None:
    long = {
        str(path.relative_to(ROOT))
        for path in modules("cdc", "connectors", "sinks")
        if len(path.read_text().splitlines()) > MODULE_LINES_MAX
    }

    assert set(LONG_MODULES) == long


def test_functions_are_short_or_listed_with_a_reason() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in modules("cdc", "connectors", "sinks")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    }

    assert set(LONG_FUNCTIONS) == long


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [path for path in modules("cdc", "connectors", "sinks") if path.stem in BANNED_NAMES]


def test_shipped_code_never_depends_on_the_test_data_beside_the_project() -> None:
    for path in modules("cdc", "connectors", "sinks"):
        assert "../shared" not in path.read_text(), path


def test_hot_modules_do_no_io_and_read_no_clock() -> None:
    banned = {"socket", "time", "logging", "structlog", "threading", "datetime.now", "open"}

    for name in ("cdc/event", "cdc/serializers/debezium_json", "connectors/postgres/pgoutput"):
        path = ROOT / f"{name}.py"
        if not path.exists():
            pytest.fail(f"{name}.py is missing")
        tree = ast.parse(path.read_text())
        imported = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not banned & (imported | called), name


def test_committed_files_name_no_machine_path() -> None:
    pattern = re.compile(r"(?<![\w.$}/~-])/(?:work|root|home)/\w")

    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked_text_files()
        if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".html", ".js", ".css"}
        for line in path.read_text(errors="replace").splitlines()
        if pattern.search(line)
    ]

    assert not found


def test_prose_has_one_sentence_a_line() -> None:
    for path in [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        fenced = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("```"):
                fenced = not fenced
            if fenced or line.startswith(("|", "#", "    ")):
                continue
            prose = re.sub(r"`[^`]*`", "", line)
            assert not re.search(r"[a-z)]\. [A-Z]", prose), f"{path.name}:{number}"


def test_every_page_begins_with_what_the_reader_can_do_after_it() -> None:
    for path in sorted((ROOT / "docs").rglob("*.md")):
        if re.match(r"\d{4}-", path.name):
            continue
        text = [line for line in path.read_text().splitlines() if line.strip()]
        assert text[0].startswith("# "), path
        assert text[1].startswith("After this page you"), path
