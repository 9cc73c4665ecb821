"""What every command prints with: colours only where they are wanted, errors in one place."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from cdc.errors import CdcError, ConfigError

FAILED: Final = 1
"""Exit code of a failed check or pipeline."""
USAGE: Final = 2
"""Exit code of a usage or configuration error."""

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

PIPE_COLUMNS: Final = 200
"""How wide tables may be where no terminal says so."""

DEFAULT_FILE: Final = Path("cdc.yaml")


def console(*, stderr: bool = False) -> Console:
    """Plain text in a pipe, no colour with NO_COLOR; long lines are left to the terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_COLUMNS
    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, width=width)


def print_json(content: object) -> None:
    """JSON on standard output, indented for people."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def print_json_line(content: object) -> None:
    """JSON on one line, at once."""
    sys.stdout.write(json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_error(error: CdcError) -> None:
    """What failed, where and what to do, on standard error."""
    print_errors([str(error)])


def print_errors(texts: Sequence[str]) -> None:
    """Each text behind `cdc:`, in red where that is wanted."""
    out = console(stderr=True)
    for text in texts:
        for line in text.splitlines():
            out.print(f"[red]cdc:[/red] {escape(line)}")


def exit_code(error: CdcError) -> int:
    """2 for what is wrong with the command or the configuration, 1 for what failed."""
    return USAGE if isinstance(error, ConfigError) else FAILED


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless `yes`. Ends the command when the answer is no; without a terminal it must be."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("this cannot be asked without a terminal", hint="Add --yes to agree.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(FAILED)


def wants_progress() -> bool:
    """Whether a moving display makes sense: somebody looks, and the terminal can."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
