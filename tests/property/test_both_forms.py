"""Compiled and in plain Python, the same messages give the same records, byte for byte."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdc.compiled import implementation

ROOT = Path(__file__).parents[2]
MESSAGES = 1500


def run(seed: int, *, pure: bool) -> tuple[str, list[str]]:
    """Which form ran, and what became of each message."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    variables.pop("CDC_PURE_PYTHON", None)
    if pure:
        variables["CDC_PURE_PYTHON"] = "1"
        variables.pop("CDC_REQUIRE_COMPILED", None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.property.both_forms", str(seed), str(MESSAGES)],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stderr.strip(), done.stdout.splitlines()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_forms_give_the_same_records_for_the_same_messages(seed: int) -> None:
    if implementation() != "compiled":
        pytest.skip("needs the compiled modules: `make build`; CI runs this form after the plain")

    form, compiled = run(seed, pure=False)
    other, plain = run(seed, pure=True)

    assert (form, other) == ("compiled", "pure Python")
    assert len(compiled) == MESSAGES + MESSAGES // 4
    assert sum(line.startswith("[(") for line in compiled) > MESSAGES // 2
    assert any("Error" in line for line in compiled)
    assert compiled == plain


def test_the_generated_messages_are_those_of_every_run() -> None:
    pure = implementation() != "compiled"

    assert run(4, pure=pure) == run(4, pure=pure)
