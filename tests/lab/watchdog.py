"""Ends the processes of one server folder, and the folder, when the process that made them is gone.

Started by `RunFolder` as a plain script of its own session with nothing but the standard library
(`python -I -S watchdog.py FOLDER`), because it must outlive its parent and start in milliseconds.
Commands come on standard input, one a line: `watch PID SIGNAL`, `forget PID`, `close`.
End of input, `close` or a dead parent end what is watched, remove the folder and end the watchdog.
"""

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FOLDER_VARIABLE = "TIDEWIRE_LAB_FOLDER"
_GRACE_S = 10.0
_PARENT_POLL_S = 0.5
_POLL_S = 0.02


class Running(NamedTuple):
    """One process, told apart from a later one with the same number by its start time."""

    pid: int
    start_ticks: int


class _Stat(NamedTuple):
    parent: int
    group: int
    state: str
    start_ticks: int


def running(pid: int) -> Running | None:
    """Return the process with this number, or None if there is none or it is a zombie."""
    stat = _stat(pid)
    return None if stat is None or stat.state in "ZX" else Running(pid, stat.start_ticks)


def tree(pid: int) -> set[Running]:
    """Return the process `pid`, all its descendants and its process group, without zombies."""
    stats = {number: stat for number in _pids() if (stat := _stat(number)) is not None}
    members = {pid} | {number for number, stat in stats.items() if stat.group == pid}
    grown = True
    while grown:
        children = {number for number, stat in stats.items() if stat.parent in members} - members
        members |= children
        grown = bool(children)
    return {
        Running(number, stats[number].start_ticks)
        for number in members
        if number in stats and stats[number].state not in "ZX"
    }


def of_folder(folder: str) -> set[Running]:
    """Return the processes whose environment names `folder` as theirs (see FOLDER_VARIABLE).

    It finds those that left their process group and lost their parent.
    """
    mark = f"{FOLDER_VARIABLE}={folder}".encode()
    found = set()
    for pid in _pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or of another user: not ours
        if mark in environment and (process := running(pid)) is not None:
            found.add(process)
    return found


def wait_gone(processes: Iterable[Running], timeout_s: float) -> set[Running]:
    """Wait until none of `processes` runs; return those that still do after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    left = set(processes)
    while True:
        left = {process for process in left if running(process.pid) == process}
        if not left or time.monotonic() >= deadline_s:
            return left
        time.sleep(_POLL_S)


def send(processes: Iterable[Running], signal_number: int) -> None:
    """Send a signal to those of `processes` that still run."""
    for process in processes:
        if running(process.pid) == process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal_number)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - one call, many names


def _stat(pid: int) -> _Stat | None:
    """Source: proc_pid_stat(5); the command in parentheses may hold spaces and parentheses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return _Stat(int(fields[1]), int(fields[2]), fields[0], int(fields[19]))


def _follow(watched: dict[Running, int]) -> None:
    """Keep `watched` (process -> stop signal) up to date until it is time to clean up."""
    parent = os.getppid()
    pending = b""
    while True:
        ready, _, _ = select.select([0], [], [], _PARENT_POLL_S)
        if ready:
            chunk = os.read(0, 4096)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                command, *numbers = line.decode().split()
                if command == "close":
                    return
                _note(watched, command, [int(number) for number in numbers])
        # A forked child of the parent may hold the pipe open; the parent's end still counts.
        if os.getppid() != parent:
            return


def _note(watched: dict[Running, int], command: str, numbers: list[int]) -> None:
    pid = numbers[0]
    for former in [former for former in watched if former.pid == pid]:
        del watched[former]
    if command == "watch" and (process := running(pid)) is not None:
        watched[process] = numbers[1]


def _clean_up(folder: str, watched: dict[Running, int]) -> None:
    trees: set[Running] = set()
    for process, stop_signal in watched.items():
        if running(process.pid) == process:
            trees |= tree(process.pid)
            send([process], stop_signal)
    left = wait_gone(trees, _GRACE_S) | of_folder(folder)
    while left:
        send(left, signal.SIGKILL)
        left = wait_gone(left, _GRACE_S)
        left |= of_folder(folder)
    shutil.rmtree(folder, ignore_errors=False)


def main() -> None:
    """Run until told to clean up, then clean up."""
    # The folder belongs to the parent: signals of a terminal must not end it early.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: dict[Running, int] = {}
    _follow(watched)
    _clean_up(sys.argv[1], watched)


if __name__ == "__main__":
    main()
