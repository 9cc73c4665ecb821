"""`cdc reset` and `cdc drop`: forget on purpose where a source or a sink was."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cdc.checkpoint import Checkpoint
from cdc.cli.terminal import DEFAULT_FILE, ConfigFile, Yes, confirm, console
from cdc.errors import CdcError, ConfigError, TransientError

if TYPE_CHECKING:
    from cdc.config import Config

LEASE_S: Final = 3.0
COMMIT_S: Final = 30.0
SEQUENCE: Final = "sequence"
"""The part that stays: versions must keep growing, or replays would lose against what is stored."""


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("reset", short_help="Forget how far a source or sink has come.")(reset)
    app.command("drop", short_help="Remove what Tidewire made at a source.")(drop)


def reset(
    name: Annotated[str, typer.Argument(help="A source or a sink.")],
    config: ConfigFile = DEFAULT_FILE,
    yes: Yes = False,
) -> None:
    """Forget how far a source or sink has come. Says what that costs, and asks."""
    from cdc.config import load
    from cdc.config.problems import did_you_mean
    from cdc.state_dir import Claim

    read = load(config, only=[name])
    if name in read.sources:
        cost = (
            f'The source "{name}" takes a new snapshot at the next start: every row of its tables '
            "is read and emitted again. Rows deleted meanwhile are not noticed."
        )
        forget = forget_source
    elif name in read.sinks:
        cost = (
            f'The sink "{name}" reads its topics from the beginning at the next start. '
            "Nothing newer in the store is overwritten."
        )
        forget = forget_sink
    else:
        known = [*read.sources, *read.sinks]
        raise ConfigError(f'{config} has no "{name}"{did_you_mean(name, known)}', hint="")
    console(stderr=True).print(cost, markup=False)
    confirm(f"Forget where {name} was?", yes=yes)
    with Claim(read.state_dir, [name]):
        forget(read, name)
    console().print(f"forgot where {name} was", markup=False)


def forget_source(config: "Config", name: str) -> None:
    """Delete a source's checkpoint but for its sequence. Fences a writer that still runs.

    Raises CdcError when another daemon holds the lease.
    """
    change_source(
        config, name, lambda stored: {part: None for part in stored.parts if part != SEQUENCE}
    )


def change_source(
    config: "Config", name: str, change: Callable[[Checkpoint], Mapping[str, bytes | None]]
) -> None:
    """Change parts of a source's checkpoint. Fences a writer that still runs.

    Raises CdcError when another daemon holds the lease.
    """
    from cdc.registry import Parts

    with closing(Parts(config)) as parts, closing(parts.source(name)) as source:
        try:
            leased = source.acquire(LEASE_S)
        except TransientError as error:
            # The log is ours all the same: opening it fences whoever writes.
            console(stderr=True).print(f"note: {error.message}", markup=False)
            leased = True
        if not leased:
            raise CdcError(
                f'the source "{name}" is run by another daemon', hint="Stop that daemon first."
            )
        with closing(parts.writer(name)) as writer:
            changed = change(writer.open() or Checkpoint())
            if changed:
                _patiently(lambda timeout_s: writer.commit(Checkpoint(changed), timeout_s))


def forget_sink(config: "Config", name: str) -> None:
    """Delete what a sink's group committed."""
    from cdc.registry import Parts

    with closing(Parts(config)) as parts:
        parts.log().forget(name)


def _patiently(call: Callable[[float], bool]) -> None:
    until_s = time.monotonic() + COMMIT_S
    while not call(1.0):
        if time.monotonic() > until_s:
            raise TransientError(
                f"the log did not take the change within {COMMIT_S:g} s",
                hint="Look at the log with `cdc check`, then try again.",
            )


def drop(
    source: Annotated[str, typer.Argument(help="The source's name.")],
    config: ConfigFile = DEFAULT_FILE,
    yes: Yes = False,
) -> None:
    """Remove what Tidewire made at a source: slot, publication, stored state."""
    from cdc.cli.run import load_only
    from cdc.registry import drop as drop_at_source
    from cdc.state_dir import Claim

    read = load_only(config, [source], [])
    confirm(
        f'Remove the replication slot and publication of "{source}" and forget its checkpoint? '
        "Going on later needs a new snapshot",
        yes=yes,
    )
    out = console()
    with Claim(read.state_dir, [source]):
        for line in drop_at_source(read, source):
            out.print(line, markup=False)
        forget_source(read, source)
    out.print(f"forgot the checkpoint of {source}", markup=False)
