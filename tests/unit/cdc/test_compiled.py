import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdc import compiled

ROOT = Path(__file__).parents[3]


def run(code: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_every_declared_module_has_its_declarations_beside_it() -> None:
    for name in compiled.HOT_MODULES:
        source = ROOT.joinpath(*name.split("."))
        assert source.with_suffix(".py").is_file(), name
        assert source.with_suffix(".pxd").is_file(), name


def test_setup_compiles_the_same_modules() -> None:
    text = (ROOT / "setup.py").read_text()
    begin = text.index("HOT_MODULES = [")
    listed = text[begin : text.index("]", begin)]

    assert list(compiled.HOT_MODULES) == [line.split('"')[1] for line in listed.splitlines()[1:]]


def test_pure_python_can_be_forced() -> None:
    out = run("import cdc.compiled as c; print(c.implementation())", CDC_PURE_PYTHON="1")

    assert out == "pure Python"


def test_forcing_twice_installs_one_finder() -> None:
    code = (
        "import sys, cdc.compiled as c; before = len(sys.meta_path); c.force_pure_python();"
        "print(len(sys.meta_path) - before)"
    )

    assert run(code, CDC_PURE_PYTHON="1") == "0"


def test_what_was_asked_for_is_what_runs() -> None:
    if os.environ.get("CDC_REQUIRE_COMPILED"):
        assert compiled.implementation() == "compiled"
    elif os.environ.get("CDC_PURE_PYTHON"):
        assert compiled.implementation() == "pure Python"
    else:
        assert compiled.implementation() in {"compiled", "pure Python"}


def test_partly_compiled_build_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "is_compiled", lambda name: name == "cdc.event")

    assert compiled.implementation() == "partly compiled: cdc.event"


def test_fully_compiled_build_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "is_compiled", lambda _: True)

    assert compiled.implementation() == "compiled"


def test_only_hot_modules_are_found_as_source() -> None:
    finder = compiled._SourceFinder()

    found = finder.find_spec("cdc.event", [str(ROOT / "cdc")])

    assert found is not None
    assert str(found.origin).endswith("event.py")
    assert finder.find_spec("cdc.errors", [str(ROOT / "cdc")]) is None
    assert finder.find_spec("cdc.event", None) is None
    assert importlib.util.find_spec("cdc") is not None
