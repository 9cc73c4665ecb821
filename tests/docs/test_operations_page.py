"""The page about operating a daemon knows every state that it shows, and every path it serves."""

import re
from pathlib import Path

from cdc.lifecycle import SinkPhase, SourcePhase

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
ADMIN = (ROOT / "cdc" / "admin" / "app.py").read_text("utf-8")


def test_every_phase_that_lasts_is_explained() -> None:
    table = PAGE.partition("| phase | means |")[2].partition("\n\n")[0]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    explained = {word for first in firsts for word in re.findall(r"`(\w+)`", first)}

    lasting = {str(phase) for phase in (*SourcePhase, *SinkPhase)} - {"stopping", "stopped"}
    assert lasting == explained


def test_every_path_that_is_served_is_explained() -> None:
    served = {
        re.sub(r"{(\w+)}", lambda part: part[1].upper(), path)
        for path in re.findall(r'Route\("(/[\w/{}]*)"', ADMIN)
    }
    table = PAGE.partition("| path |")[2].partition("\n\n")[0]
    explained = set(re.findall(r"^\| `(?:GET|POST) (/[\w/]*)", table, re.MULTILINE))

    assert len(served) > 8
    # The form on the page itself, which asks for the token.
    assert served - {"/login"} == explained
