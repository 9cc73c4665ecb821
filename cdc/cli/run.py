"""`cdc run`."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cdc.cli.terminal import DEFAULT_FILE, FAILED, ConfigFile, console, print_errors, wants_progress
from cdc.errors import ConfigError
from cdc.until_current import PATIENCE_S

if TYPE_CHECKING:
    from cdc.config import Config
    from cdc.status import Daemon
    from cdc.supervisor import Admin, Supervisor

Names = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be given again.")
]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", short_help="Capture and deliver, until SIGTERM or Ctrl-C.")(run)


def run(
    context: typer.Context,
    config: ConfigFile = DEFAULT_FILE,
    source: Names = None,
    sink: Names = None,
    until_current: Annotated[
        bool,
        typer.Option(
            "--until-current",
            help="Stop when all that was committed before the start is in every sink.",
        ),
    ] = False,
    patience_s: Annotated[
        float,
        typer.Option(
            "--patience-s",
            min=1.0,
            metavar="SECONDS",
            help="With --until-current: give up when a source or sink that is waited for makes no "
            "progress for so long.",
        ),
    ] = PATIENCE_S,
) -> None:
    """Run everything in the file, until SIGTERM or Ctrl-C; a second one ends it at once.

    Exits 1 when something failed that only a person can change.
    """
    from cdc.cli.progress import Progress
    from cdc.clock import SystemClock
    from cdc.journal import open_journal, resolved_format
    from cdc.supervisor import Supervisor

    only = [*(source or ()), *(sink or ())]
    read = load_only(config, source or [], sink or [])
    debug = bool(context.obj)
    format_ = resolved_format(read.logging.format)
    level = "debug" if debug else read.logging.level
    if until_current and wants_progress() and level == "info":
        # The moving display says what the lines would, and they would tear it apart.
        level = "warning"
    journal = open_journal(format_, level)
    with Progress(enabled=until_current) as progress:
        supervisor = Supervisor(
            read,
            clock=SystemClock(),
            journal=journal,
            journal_format=format_,
            journal_level=level,
            only=only,
            until_current=until_current,
            patience_s=patience_s,
            debug=debug,
            make_admin=lambda daemon: make_admin(read, daemon, only),
            watch=progress.show,
        )
        restore = _stop_on_signals(supervisor)
        try:
            outcome = supervisor.run()
        finally:
            restore()
    if until_current:
        _report(supervisor, failed=bool(outcome.problems))
    if outcome.problems:
        print_errors(outcome.problems)
        raise typer.Exit(FAILED)


def load_only(file: ConfigFile, sources: list[str], sinks: list[str]) -> "Config":
    """The configuration for these sources and sinks, all when none is named."""
    from cdc.config import load
    from cdc.config.problems import did_you_mean

    only = {*sources, *sinks} or None
    config = load(file, only=only)
    for kind, names, known in (
        ("source", sources, config.sources),
        ("sink", sinks, config.sinks),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(
                    f'{file} has no {kind} "{name}"{did_you_mean(name, known)}', hint=""
                )
    return config


def make_admin(config: "Config", daemon: "Daemon", only: list[str]) -> "Admin":
    """The server of the Unix socket and, where configured, of the status page."""
    from cdc.admin.server import AdminServer
    from cdc.registry import searches
    from cdc.state_dir import socket_path

    admin = config.admin
    return AdminServer(
        daemon,
        socket_path(config.state_dir, only),
        listen=admin.listen if admin else None,
        token=admin.token.reveal() if admin and admin.token else None,
        searches=searches(config, only),
    )


def _stop_on_signals(supervisor: "Supervisor") -> Callable[[], None]:
    """Let SIGTERM and SIGINT stop it, and a second one end it; returns what undoes that."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del number, frame
        if asked:
            supervisor.kill()
        else:
            supervisor.stop()
        asked = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


def _report(supervisor: "Supervisor", *, failed: bool) -> None:
    from cdc.cli.figures import done

    out = console(stderr=True)
    status = supervisor.status()
    for worker in status.workers:
        out.print(f"{worker.kind} {worker.name}: {done(worker)}", markup=False)
    if not failed:
        out.print("everything that was committed before the start is in every sink", markup=False)
