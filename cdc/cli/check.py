"""`cdc check`: every problem at once, each with what mends it."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer
from rich.markup import escape

from cdc.cli.terminal import DEFAULT_FILE, FAILED, AsJson, ConfigFile, console, print_json
from cdc.errors import CdcError

if TYPE_CHECKING:
    from cdc.config import Config
    from cdc.protocols import Finding

MARKS = {
    "ok": "[green]ok[/green]",
    "warning": "[yellow]warning[/yellow]",
    "error": "[red]error[/red]",
}


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check", short_help="Find every problem, each with what fixes it.")(check)


def check(config: ConfigFile = DEFAULT_FILE, as_json: AsJson = False) -> None:
    """Look at configuration, databases, log and stores; print every problem with what fixes it.

    Changes nothing. Exits 1 when there is an error.
    """
    from cdc.config import load

    found = findings(load(config))
    if as_json:
        print_json(_content(found))
    else:
        _print(found, config)
    if any(finding.severity == "error" for _, of_part in found for finding in of_part):
        raise typer.Exit(FAILED)


def findings(config: "Config") -> list[tuple[str, list["Finding"]]]:
    """What every part of the pipeline finds, in the order of the file: log, sources, sinks."""
    from contextlib import closing

    from cdc.registry import Parts

    with closing(Parts(config)) as parts:
        found = [(f"log ({config.log.component.name})", _found(lambda: parts.log().check()))]
        for name, source in config.sources.items():
            checked = _found(partial(_check, partial(parts.source, name)))
            found.append((f"source {name} ({source.keys.type})", checked))
        for name, sink in config.sinks.items():
            checked = _found(partial(_check, partial(parts.sink, name)))
            found.append((f"sink {name} ({sink.keys.type})", checked))
    return found


class Checkable(Protocol):
    """A source or a sink."""

    def check(self) -> list["Finding"]:
        """Every precondition."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


def _check(make: Callable[[], Checkable]) -> list["Finding"]:
    part = make()
    try:
        return part.check()
    finally:
        part.close()


def _found(run: Callable[[], list["Finding"]]) -> list["Finding"]:
    from cdc.protocols import Finding

    try:
        return run()
    except CdcError as error:
        return [Finding("error", "check-failed", "connection", error.message, error.hint)]


def _print(found: list[tuple[str, list["Finding"]]], file: Path) -> None:
    out = console()
    for title, of_part in found:
        out.print(f"[bold]{escape(title)}[/bold]")
        for finding in of_part:
            text = f"{finding.subject}: {finding.message}" if finding.subject else finding.message
            out.print(f"  {MARKS[finding.severity]} {escape(text)}")
            for line in finding.fix.splitlines():
                out.print(f"      {escape(line)}")
    counts = {
        severity: sum(f.severity == severity for _, of_part in found for f in of_part)
        for severity in ("error", "warning")
    }
    if counts["error"]:
        summary = f"{counts['error']} to fix, {counts['warning']} to consider"
    elif counts["warning"]:
        summary = f"ready; {counts['warning']} to consider"
    else:
        summary = "ready"
    out.print(f"{file}: {summary}", markup=False)


def _content(found: list[tuple[str, list["Finding"]]]) -> list[dict[str, object]]:
    return [
        {"part": title, **dataclasses.asdict(finding)}
        for title, of_part in found
        for finding in of_part
    ]
