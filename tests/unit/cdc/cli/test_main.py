"""What every command shares: exit codes, one clear line, no traceback unless asked for."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from cdc.cli import main as cli
from cdc.cli.main import app, main
from cdc.errors import CdcError, ConfigError

ROOT = Path(__file__).parents[4]


@pytest.fixture
def failing() -> Iterator[Callable[[BaseException], None]]:
    """Makes `cdc check` raise."""

    def replace(error: BaseException) -> None:
        def check() -> None:
            raise error

        (command,) = [each for each in app.registered_commands if each.name == "check"]
        monkeypatch.setattr(command, "callback", check)

    monkeypatch = pytest.MonkeyPatch()
    yield replace
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("the name is wrong", hint="Correct it."), 2, "the name is wrong. Correct it."),
        (CdcError("the log is away", hint="Start it."), 1, "the log is away. Start it."),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    error: CdcError,
    code: int,
    line: str,
) -> None:
    failing(error)

    assert main(["check"]) == code
    captured = capsys.readouterr()
    assert captured.err == f"cdc: {line}\n"
    assert captured.out == ""


def test_debug_anywhere_in_the_line_adds_the_traceback(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(CdcError("the log is away"))

    assert main(["check", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_mistake_of_ours_is_one_line_without_its_text(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(KeyError("hunter2"))

    assert main(["check"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("cdc: unexpected KeyError at test_main.py:")
    assert "--debug" in error
    assert "hunter2" not in error
    assert len(error.splitlines()) == 1


def test_ctrl_c_has_the_shells_exit_code(failing: Callable[[BaseException], None]) -> None:
    failing(KeyboardInterrupt())

    assert main(["check"]) == 128 + signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'? See `cdc --help`."),
        (["run", "--bogus"], "No such option: --bogus. See `cdc run --help`."),
        (["tail"], "Missing argument 'topic'. See `cdc tail --help`."),
        (["tail", "x", "--limit", "0"], "See `cdc tail --help`."),
    ],
)
def test_a_usage_error_says_where_to_read_on(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_nothing_at_all_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "check" in capsys.readouterr().out


def test_the_version_says_which_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("Tidewire ")


def test_markup_in_an_error_is_text(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(CdcError("sinks.cache.from[0] [red]is wrong"))

    main(["check"])

    assert capsys.readouterr().err == "cdc: sinks.cache.from[0] [red]is wrong\n"


def test_help_imports_no_component_and_no_client() -> None:
    code = (
        "import sys; from cdc.cli.main import main; main(['--help']); "
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    for name in ("connectors", "sinks", "psycopg", "uvicorn", "starlette", "redis", "pydantic"):
        assert f"'{name}'" not in done.stderr


@pytest.mark.parametrize("command", ["schema", "--help", "--version"])
def test_output_that_nobody_reads_any_more_is_no_error(command: str) -> None:
    code = f"import sys; from cdc.cli.main import main; sys.exit(main(['{command}']))"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")


def test_an_exit_that_is_not_about_output_keeps_its_code(
    failing: Callable[[BaseException], None],
) -> None:
    failing(SystemExit(7))

    with pytest.raises(SystemExit, match="7"):
        main(["check"])


def test_a_question_that_is_not_answered_ends_as_ctrl_c_does(
    failing: Callable[[BaseException], None],
) -> None:
    failing(typer.Abort())

    assert main(["check"]) == 128 + signal.SIGINT


def test_ctrl_c_before_a_command_began_has_the_same_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*arguments: object, **options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)

    assert main(["check"]) == 128 + signal.SIGINT


def test_every_command_takes_a_configuration_and_says_what_it_does() -> None:
    assert cli.app.registered_commands
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__
        if command.name != "schema":
            assert "config" in command.callback.__annotations__


def test_the_list_of_commands_is_whole_and_in_the_order_of_their_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2].strip().splitlines()
    commands = ["init", "check", "run", "status", "tail", "topics", "schema"]
    commands += ["heal", "pause", "resume", "reset", "drop"]
    assert commands == [line.split()[0] for line in listed]
    assert [line for line in listed if "..." in line] == []


def test_a_misspelled_command_is_asked_about_in_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["statsu"]) == 2
    error = capsys.readouterr().err
    assert error == "cdc: No such command 'statsu'. Did you mean 'status'? See `cdc --help`.\n"
