"""`cdc status`."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cdc.cli.figures import done, duration, lag, open_transactions, rate, snapshot, snapshot_left
from cdc.cli.terminal import (
    DEFAULT_FILE,
    FAILED,
    AsJson,
    ConfigFile,
    console,
    print_json,
    print_json_line,
)

if TYPE_CHECKING:
    from cdc.status import PipelineStatus, WorkerStatus

EVERY_S: Final = 1.0

COLUMNS_MAX: Final = 10_000
"""Wider than any terminal, to ask how wide the table would like to be."""

COLOURS: Final = {
    "failed": "red",
    "retrying": "yellow",
    "paused": "yellow",
    "degraded": "yellow",
    "starting": "cyan",
    "snapshot": "cyan",
    "waiting": "cyan",
    "healthy": "green",
    "streaming": "green",
    "delivering": "green",
}


NOTE_COLOURS: Final = {"info": "cyan", "warning": "yellow", "alert": "red"}

SHOWN_PROBLEM: Final = frozenset({"failed", "retrying", "starting", "stopped", "paused"})
"""Phases in which the last problem is still one."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status", short_help="Show what the running daemon does.")(status)


def status(
    config: ConfigFile = DEFAULT_FILE,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every second.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the running daemon does: phases, positions, lag, rates, errors.

    Exits 1 when no daemon runs, or when a source or sink has failed.
    """
    from cdc.cli.daemon import statuses
    from cdc.config import load

    # Nothing of a component is needed to ask.
    read = load(config, only=())
    if watch:
        _watch(lambda: statuses(read), as_json=as_json)
    found = statuses(read)
    if as_json:
        print_json(_content(found))
    else:
        out = console()
        out.print(view(found, out))
    if any(each.state == "failed" for each in found):
        raise typer.Exit(FAILED)


def _watch(ask: Callable[[], "list[PipelineStatus]"], *, as_json: bool) -> NoReturn:
    if as_json:
        while True:
            print_json_line(_content(ask()))
            time.sleep(EVERY_S)
    out = console()
    with Live(console=out, auto_refresh=False, screen=False) as live:
        while True:
            live.update(view(ask(), out), refresh=True)
            time.sleep(EVERY_S)


def _content(found: "list[PipelineStatus]") -> object:
    contents = [each.content() for each in found]
    # Several daemons share a pipeline only where each was narrowed to a part of it.
    return contents[0] if len(contents) == 1 else contents


def view(found: "list[PipelineStatus]", out: Console) -> RenderableType:
    """What people see: a table where it fits, else lines."""
    return Group(*(part for each in found for part in _pipeline(each, out)))


def _pipeline(status: "PipelineStatus", out: Console) -> list[RenderableType]:
    up_s = (status.now_us - status.started_at_us) / 1e6
    head = (
        f"[bold]{escape(status.pipeline)}[/bold] {_coloured(status.state)}"
        f"  up {duration(up_s)}, log {escape(status.log_type)}, Tidewire {escape(status.version)}"
    )
    table = _table(status)
    wanted = Measurement.get(out, out.options.update_width(COLUMNS_MAX), table).maximum
    workers = [table] if wanted <= out.width else [_lines(worker) for worker in status.workers]
    return [Text.from_markup(head), *workers, *_notes(status)]


def _table(status: "PipelineStatus") -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("", "name", "type", "phase", "position", "done", "rate", "lag", "restarts"):
        table.add_column(column, overflow="fold")
    for worker in status.workers:
        table.add_row(
            worker.kind,
            escape(worker.name),
            escape(worker.type),
            _coloured(worker.phase),
            escape(_position(worker)),
            done(worker),
            rate(worker.rate_per_s),
            lag(worker),
            str(worker.restarts),
        )
    return table


def _lines(worker: "WorkerStatus") -> Text:
    """What a row of the table says, for a terminal too narrow for it."""
    place = _position(worker)
    restarts = f", {worker.restarts} restarts" if worker.restarts else ""
    return Text.from_markup(
        f"{worker.kind} {escape(worker.name)} ({escape(worker.type)}): {_coloured(worker.phase)}"
        f"{f', {escape(place)}' if place else ''}\n"
        f"    {done(worker)}, {rate(worker.rate_per_s)}, lag {lag(worker)}{restarts}"
    )


def _position(worker: "WorkerStatus") -> str:
    rows, estimated = snapshot(worker)
    if worker.phase == "snapshot":
        count = f"{rows:,} of about {estimated:,} rows" if estimated else f"{rows:,} rows"
        left = snapshot_left(worker)
        return f"{count}, {left}" if left else count
    return str(getattr(worker.progress, "position", None) or "")


def _notes(status: "PipelineStatus") -> list[RenderableType]:
    """Why a worker does not work, or what it does that takes long."""
    from cdc.errors import with_remedy

    notes: list[RenderableType] = []
    for worker in status.workers:
        error = worker.last_error
        if error is not None and worker.phase in SHOWN_PROBLEM:
            colour = "red" if worker.phase == "failed" else "yellow"
            text = with_remedy(error.message, error.hint)
            notes.append(Text(f"{worker.name}: {text}", style=colour))
        for note in getattr(worker.progress, "notes", ()):
            text = with_remedy(note.message, note.hint)
            notes.append(Text(f"{worker.name}: {text}", style=NOTE_COLOURS[note.severity]))
        if worker.phase == "waiting":
            text = "another instance works on it; this one takes over when that one is gone"
            notes.append(Text(f"{worker.name}: {text}", style="cyan"))
        if kept := open_transactions(worker):
            notes.append(Text(f"{worker.name}: {kept}", style="cyan"))
    return notes


def _coloured(word: str) -> str:
    colour = COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word
