"""`cdc init`: the beginning at a source."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from cdc.cli.terminal import DEFAULT_FILE, ConfigFile, console
from cdc.errors import ConfigError


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init", short_help="Look at a database; write cdc.yaml and its SQL.")(init)


def init(
    url: Annotated[str, typer.Argument(help="The database, such as postgresql://user@host/db.")],
    config: ConfigFile = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Look at a database and write a commented configuration for it, and the SQL it needs run."""
    from cdc.registry import scaffold

    sql_file = config.with_suffix(".sql")
    for file in (config, sql_file):
        if file.exists() and not force:
            raise ConfigError(f"{file} exists", hint="Add --force to replace it.")
    made = scaffold(url)
    out = console()
    _write(config, made.config)
    out.print(f"wrote {config}", markup=False)
    if made.sql.strip():
        _write(sql_file, made.sql)
        out.print(f"wrote {sql_file}: run it in the database as a superuser", markup=False)
    which = "" if config == DEFAULT_FILE else f" -c {shlex.quote(str(config))}"
    out.print(f"then: cdc check{which} && cdc run{which}", markup=False)


def _write(file: Path, text: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}", hint="") from None
