"""`python -m tests.lab`: start real servers by hand, see what can be had, download ahead."""

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from tests.lab.catalog import CATALOG, Started
from tests.lab.errors import LabError, Unavailable
from tests.lab.runs import noted, stop_all

_POLL_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 1 if something cannot be had or ended early."""
    chosen = _parser().parse_args(arguments)
    # So that a server that is just starting is also stopped in order.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if chosen.command == "list":
            return _list()
        if chosen.command == "fetch":
            return _fetch(chosen.names)
        if chosen.command == "down":
            return _down()
        return _up(chosen.names, as_json=chosen.json)
    except (LabError, Unavailable) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    servers = [name for name, entry in CATALOG.items() if entry.start is not None]
    up = commands.add_parser("up", help="start servers, print their addresses, stop them at Ctrl-C")
    up.add_argument("names", nargs="+", choices=servers, metavar="NAME", help=", ".join(servers))
    up.add_argument("--json", action="store_true", help="print the addresses as one JSON object")
    commands.add_parser("down", help="stop what every running `up` started, and wait for it")
    commands.add_parser("list", help="say what can be started here and from where, or why not")
    fetch = commands.add_parser("fetch", help="download into the cache and start nothing")
    fetch.add_argument(
        "names", nargs="+", choices=[*CATALOG], metavar="NAME", help=", ".join(CATALOG)
    )
    return parser


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _list() -> int:
    width = max(map(len, CATALOG)) + 2
    for name, entry in CATALOG.items():
        try:
            state = entry.describe()
        except Unavailable as missing:
            state = f"not here: {missing}"
        print(f"{name:{width}}{state}")
    return 0


def _fetch(names: Sequence[str]) -> int:
    for name in dict.fromkeys(names):
        CATALOG[name].fetch()
        print(f"{name}: {CATALOG[name].describe()}")
    return 0


def _down() -> int:
    count = stop_all()
    print(f"stopped {count} run{'' if count == 1 else 's'} of `python -m tests.lab up`")
    return 0


def _up(names: Sequence[str], *, as_json: bool) -> int:
    started: dict[str, Started] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(noted())
        for name in dict.fromkeys(names):
            start = CATALOG[name].start
            assert start is not None, "the parser lets only servers through"
            started[name] = start()
            stack.callback(started[name].server.close)
        addresses = {name: entry.address for name, entry in started.items()}
        if as_json:
            print(json.dumps(addresses), flush=True)
        else:
            width = max(map(len, addresses)) + 2
            for name, address in addresses.items():
                print(f"{name:{width}}{address}", flush=True)
            print("Ctrl-C stops them and removes their data.", file=sys.stderr, flush=True)
        while all(entry.server.is_running for entry in started.values()):
            time.sleep(_POLL_S)
        ended = [name for name, entry in started.items() if not entry.server.is_running]
    raise LabError(f"{', '.join(ended)} ended by itself")


if __name__ == "__main__":
    sys.exit(main())
