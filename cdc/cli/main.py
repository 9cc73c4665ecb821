"""`cdc`: finds the command, and turns whatever goes wrong into one clear line and an exit code."""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cdc.cli.terminal import FAILED, USAGE, exit_code, print_error, print_errors
from cdc.errors import CdcError

app = typer.Typer(
    name="cdc",
    help="Change data capture: a database into a log, and on into stores that follow it.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        from cdc.compiled import implementation
        from cdc.version import version

        typer.echo(f"Tidewire {version()} ({implementation()})")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks, and log more. Anywhere in the line.")
    ] = False,
) -> None:
    """Change data capture: a database into a log, and on into stores that follow it."""
    del version, debug


# Imported when `cdc` starts: the modules import the rest of Tidewire only when they are called.
for _module in ("init", "check", "run", "status", "records", "schema", "heal", "reset"):
    _add: Callable[[typer.Typer], None] = importlib.import_module(f"cdc.cli.{_module}").add
    _add(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0, 1 (failed), 2 (usage, configuration), 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        code = _run(given, debug=debug)
        # Here and not at the interpreter's end, where a closed pipe could only be complained about.
        sys.stdout.flush()
    except CdcError as error:
        if debug:
            traceback.print_exc()
        print_error(error)
        return exit_code(error)
    except (BrokenPipeError, SystemExit) as ended:
        # Typer and rich turn a closed pipe into an exit of their own, with code 1.
        if not isinstance(ended.__context__ or ended, BrokenPipeError):
            raise
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the last place where it can be told
        if debug:
            traceback.print_exc()
        print_errors([_mistake(error)])
        return FAILED
    return code


def _run(arguments: Sequence[str], *, debug: bool) -> int:
    if not arguments:
        arguments = ["--help"]
    try:
        result = app(list(arguments), prog_name="cdc", standalone_mode=False, obj=debug)
    except typer.TyperException as error:
        print_errors([_usage(error)])
        return USAGE
    except typer.Abort:
        return 128 + signal.SIGINT
    return result if isinstance(result, int) else 0


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the command line, and where to read on."""
    says = getattr(error, "format_message", lambda: str(error))()
    command = getattr(getattr(error, "ctx", None), "command_path", "cdc")
    says = says.strip().rstrip(".")
    return f"{says}{'' if says.endswith('?') else '.'} See `{command} --help`."


def _mistake(error: Exception) -> str:
    """Its text may hold values, so only its kind and place are shown."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}:{last.lineno}"
    return (
        f"unexpected {type(error).__name__} at {place}. This is a mistake in Tidewire: "
        "run the command with --debug for the traceback, and please report it."
    )
