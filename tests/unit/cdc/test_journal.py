"""One line for each thing, on standard error, in either format."""

import json
import logging
import re

import pytest
import structlog

from cdc.journal import open_journal, resolved_format


@pytest.fixture(autouse=True)
def _restore_root_logger() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    # What was configured writes to this test's captured stream.
    structlog.reset_defaults()


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    open_journal("json", "info", pipeline="shop").info("phase", phase="streaming")

    (line,) = capsys.readouterr().err.splitlines()
    content = json.loads(line)
    assert content.pop("timestamp").endswith("Z")
    assert content == {
        "event": "phase",
        "level": "info",
        "phase": "streaming",
        "pipeline": "shop",
    }


@pytest.mark.parametrize("format_", ["json", "console"])
def test_text_with_newlines_stays_on_its_line(
    format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    open_journal(format_, "info").warning("problem", message="one\n  two")

    (line,) = capsys.readouterr().err.splitlines()
    assert "one two" in line


@pytest.mark.parametrize(
    ("event", "content", "words"),
    [
        ("phase", {"phase": "streaming", "position": "0/17"}, "shop: streaming position=0/17"),
        (
            "problem",
            {"message": "Kafka is away", "hint": "Start it.", "kind": "TransientError"},
            "shop: Kafka is away. Start it. kind=TransientError",
        ),
        ("worker ended", {"restart_in_s": 1.0}, "shop: worker ended restart_in_s=1.0"),
    ],
)
def test_on_a_terminal_a_line_is_a_sentence_about_a_worker(
    event: str, content: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = open_journal("console", "info", pipeline="acme", worker="shop")

    journal.info(event, **content)

    line = capsys.readouterr().err.rstrip("\n")
    assert re.fullmatch(rf"\d\d:\d\d:\d\d \[info +\] {re.escape(words)}", line), line


def test_a_library_on_a_terminal_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    open_journal("console", "info")

    logging.getLogger("library").warning("lost the connection")

    assert "lost the connection" in capsys.readouterr().err


def test_what_is_less_important_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    open_journal("json", "warning").info("phase")

    assert capsys.readouterr().err == ""


def test_a_library_warning_is_a_line_without_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    open_journal("json", "info")

    try:
        raise ValueError("hunter2")
    except ValueError:
        logging.getLogger("library").warning("lost the connection", exc_info=True)
    logging.getLogger("library").info("not worth a line")

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "lost the connection"
    assert "hunter2" not in line


def test_nothing_is_coloured_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    open_journal("console", "info").error("problem", kind="Crash")

    assert "\x1b[" not in capsys.readouterr().err


def test_auto_is_json_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    del capsys

    assert (resolved_format("auto"), resolved_format("console")) == ("json", "console")
