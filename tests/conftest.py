"""What all tests share: fixtures that start real servers, and what must hold before any test."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.lab.fixtures"]

ROOT = Path(__file__).parents[1]

# The same examples in each run, so that a run that passed passes again. To look for new ones:
# HYPOTHESIS_PROFILE=default.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test compiled modules that are older than their source."""
    del config
    if os.environ.get("CDC_PURE_PYTHON"):
        return
    for package in ("cdc", "connectors"):
        for extension in (ROOT / package).rglob("*.so"):
            source = extension.with_name(extension.name.partition(".")[0] + ".py")
            if source.is_file() and source.stat().st_mtime > extension.stat().st_mtime:
                raise pytest.UsageError(
                    f"{extension.relative_to(ROOT)} is older than its source: "
                    "run `make build`, or `make clean-compiled` for plain Python"
                )
