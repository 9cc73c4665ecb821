"""`cdc heal`, `cdc pause` and `cdc resume`: what a person does to a source."""

from typing import TYPE_CHECKING, Annotated

import typer

from cdc.checkpoint import HEAL, encode_part
from cdc.cli.terminal import (
    DEFAULT_FILE,
    AsJson,
    ConfigFile,
    Yes,
    confirm,
    console,
    print_json,
)

if TYPE_CHECKING:
    from cdc.config import Config
    from cdc.status import Action

Source = Annotated[str, typer.Argument(help="The source's name.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("heal", short_help="Begin anew after a lost slot, with a new snapshot.")(heal)
    app.command("pause", short_help="Let a source stand still.")(pause)
    app.command("resume", short_help="Let a paused source go on.")(resume)


def heal(
    source: Source,
    config: ConfigFile = DEFAULT_FILE,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Begin anew after a lost slot: a new slot, and a snapshot of every row.

    Says first what it will do, and asks. A daemon that runs begins at once, else the next one does.
    """
    from cdc.cli.daemon import NoDaemon, act
    from cdc.cli.run import load_only
    from cdc.registry import heal_plan

    read = load_only(config, [source], [])
    plan = heal_plan(read, source)
    if not as_json:
        for sentence in plan.sentences:
            console(stderr=True).print(sentence, markup=False)
    confirm(f"Begin {source} anew?", yes=yes)
    try:
        told = act(read, source, "heal")
    except NoDaemon:
        told = _ask_the_next(read, source)
    if as_json:
        print_json({**plan.content(), "told": told})
    else:
        console().print(told, markup=False)


def _ask_the_next(config: "Config", source: str) -> str:
    """Leave word in the checkpoint; the position stays until the new beginning replaces it."""
    from cdc.cli.reset import change_source
    from cdc.state_dir import Claim

    with Claim(config.state_dir, [source]):
        # Nothing stored means that the next start begins anew in any case.
        change_source(
            config, source, lambda stored: {HEAL: encode_part({})} if stored.parts else {}
        )
    return f'the source "{source}" begins anew at the next `cdc run`'


def pause(source: Source, config: ConfigFile = DEFAULT_FILE) -> None:
    """Let a source of the running daemon stand still until it is resumed, or the daemon started."""
    _act(source, config, "pause")


def resume(source: Source, config: ConfigFile = DEFAULT_FILE) -> None:
    """Let a paused source of the running daemon go on, also when a limit had paused it."""
    _act(source, config, "resume")


def _act(name: str, file: ConfigFile, action: "Action") -> None:
    from cdc.cli.daemon import act
    from cdc.config import load
    from cdc.config.problems import did_you_mean
    from cdc.errors import ConfigError

    config = load(file, only=())
    # The daemon has the last word on what a sink can do.
    known = [*config.sources, *config.sinks]
    if name not in known:
        raise ConfigError(f'{file} has no source "{name}"{did_you_mean(name, known)}', hint="")
    console().print(act(config, name, action), markup=False)
