"""Every client library that a component imports has an extra that the user is told of."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from cdc.config.components import CLIENTS

ROOT = Path(__file__).parents[4]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"cdc", "connectors", "sinks"}


def distribution(requirement: str) -> str:
    """The bare name, as in `redis` of `redis>=6.0`."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found[0].lower().replace("_", "-")


CORE = {distribution(each) for each in PROJECT["dependencies"]}
WITH_CORE = {"pydantic_core", "cython"}
"""Parts of a dependency of the core, and what plain Python does without."""


def imported() -> Iterator[tuple[str, str]]:
    """Each module of ours and each package from outside that it imports."""
    for folder in OURS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.is_relative_to(ROOT / "cdc" / "testing"):
                # For tests only, which bring their own libraries.
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [node.module]
                for name in names:
                    top = name.partition(".")[0]
                    if top not in OURS and top not in sys.stdlib_module_names:
                        yield str(path.relative_to(ROOT)), top


def test_what_is_no_dependency_of_the_core_is_known_with_its_extra() -> None:
    distributions = packages_distributions()
    unknown = {
        (path, package)
        for path, package in imported()
        if package not in CLIENTS
        and package not in WITH_CORE
        and not {name.lower().replace("_", "-") for name in distributions.get(package, ())} & CORE
    }

    assert unknown == set()


@pytest.mark.parametrize("extra", sorted(set(CLIENTS.values())))
def test_every_extra_that_users_are_told_to_install_exists(extra: str) -> None:
    assert extra in PROJECT["optional-dependencies"]
