"""Starts a worker for every source and sink, keeps them running, and says how they are.

One loop in one thread; `status`, `topics` and `stop` may be called from any other.
"""

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Final, Protocol

from cdc.children import Child
from cdc.compiled import implementation
from cdc.config import Config
from cdc.errors import CdcError, ConfigError, with_remedy
from cdc.journal import Journal
from cdc.lifecycle import Clock
from cdc.protocols import TopicInfo
from cdc.registry import Parts, topics_of
from cdc.state_dir import Claim
from cdc.status import Action, Daemon, PipelineStatus, overall
from cdc.until_current import PATIENCE_S, UntilCurrent
from cdc.version import version
from cdc.worker import Order

TICK_S: Final = 0.25
STOP_S: Final = 10.0
"""A worker that has not ended by then is killed; it commits nothing half."""


class Admin(Protocol):
    """What serves a Daemon while the supervisor runs: cdc.admin.server.AdminServer."""

    def start(self) -> None:
        """Begin; returns when requests are answered. Raises ConfigError."""
        ...

    def stop(self) -> None:
        """End. Repeatable."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `problems` say what failed, each with its remedy; empty when all is well."""

    problems: tuple[str, ...] = ()


class Supervisor:
    """Runs one pipeline, or the named part of it. Satisfies status.Daemon."""

    def __init__(  # noqa: PLR0913 - each is a choice of the command line or of a test
        self,
        config: Config,
        *,
        clock: Clock,
        journal: Journal,
        journal_format: str,
        journal_level: str = "info",
        only: Collection[str] = (),
        until_current: bool = False,
        patience_s: float = PATIENCE_S,
        debug: bool = False,
        rng: Random | None = None,
        make_admin: Callable[[Daemon], Admin] | None = None,
        watch: Callable[[PipelineStatus], None] | None = None,
    ) -> None:
        """Nothing is started before `run`.

        `patience_s` is how long `until_current` waits for a worker that makes no progress.
        `watch` is called with the status a few times a second, in the supervisor's thread.
        """
        self._config = config
        self._clock = clock
        self._journal = journal.bind(pipeline=config.name)
        self._only = frozenset(only)
        self._watch = watch
        self._make_admin = make_admin
        self._until = UntilCurrent(patience_s) if until_current else None
        self._lock = threading.Lock()
        self._started_us = clock.wall_us()
        self._stop_asked = threading.Event()
        self._kill_asked = threading.Event()
        self._wake: socket.socket | None = None
        self._stop_by_s: float | None = None
        self._problems: tuple[str, ...] = ()
        style = (journal_format, journal_level)
        self._children = self._make_children(style, rng or SystemRandom(), debug=debug)

    def _make_children(self, style: tuple[str, str], rng: Random, *, debug: bool) -> list[Child]:
        config = self._config
        children = []
        sources = [(name, "source", each.keys.type) for name, each in config.sources.items()]
        sinks = [(name, "sink", each.keys.type) for name, each in config.sinks.items()]
        for name, role, type_ in sources + sinks:
            if self._only and name not in self._only:
                continue
            order = Order(
                role="source" if role == "source" else "sink",
                name=name,
                file=str(config.file),
                text=config.text,
                journal_format=style[0],
                journal_level=style[1],
                debug=debug,
            )
            reads = tuple(topics_of(config, name)) if role == "sink" else ()
            children.append(Child(order, type_, reads, self._clock, rng, self._journal))
        if not children:
            raise ConfigError(
                f"{config.file} names no source and no sink to run",
                hint="Add one under `sources:` or `sinks:`.",
            )
        return children

    # --- from any thread --------------------------------------------------------------------------

    def status(self) -> PipelineStatus:
        """The newest status; cheap."""
        with self._lock:
            workers = tuple(child.status() for child in self._children)
        return PipelineStatus(
            pipeline=self._config.name,
            state="stopping" if self._stop_asked.is_set() else overall(workers),
            version=version(),
            implementation=implementation(),
            log_type=self._config.log.component.name,
            started_at_us=self._started_us,
            now_us=self._clock.wall_us(),
            workers=workers,
        )

    def topics(self) -> list[TopicInfo]:
        """Topics of the log; may ask a broker, bounded. Raises CdcError when it cannot say."""
        return Parts(self._config).topics()

    def stop(self) -> None:
        """Begin a graceful stop; returns at once. Repeatable."""
        self._stop_asked.set()
        self._wake_up()

    def act(self, name: str, action: Action) -> str:
        """Do something to one worker; says what follows. Raises CdcError when it cannot be done."""
        with self._lock:
            for child in self._children:
                if child.name == name:
                    told = child.act(action)
                    self._journal.info(action, worker=name)
                    return told
        raise CdcError(f'this daemon does not run "{name}"', hint="See `cdc status`.")

    def kill(self) -> None:
        """End now; nothing is lost, what was not committed is read again. Returns at once."""
        self._kill_asked.set()
        self.stop()

    def _wake_up(self) -> None:
        # Full: so many wakes wait already that one more changes nothing. Closed: nobody waits.
        with contextlib.suppress(OSError):
            if self._wake is not None:
                self._wake.send(b"x")

    # --- the loop ---------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run until told to stop, until current when asked for, or until nothing is left to run.

        Raises ConfigError, StorageFull and AlreadyRunning before anything was started.
        """
        names = [child.name for child in self._children]
        with Claim(self._config.state_dir, names):
            admin = self._make_admin(self) if self._make_admin else None
            if admin is not None:
                admin.start()
            self._journal.info("started", pid=os.getpid(), version=version(), workers=names)
            try:
                self._watch_over()
            finally:
                self._end_all()
                if admin is not None:
                    admin.stop()
                self._journal.info("stopped")
        return Outcome(self._problems)

    def _watch_over(self) -> None:
        self._wake, woken = socket.socketpair()
        with self._wake, woken:
            self._wake.settimeout(0.0)
            self._loop(woken)
        self._note_failures()

    def _loop(self, woken: socket.socket) -> None:
        with self._lock:
            for child in self._children:
                child.start()
        while not all(child.ended for child in self._children):
            self._wait(woken)
            with self._lock:
                for child in self._children:
                    child.tick()
                self._advance()
                self._stop_children()
            if self._watch is not None:
                self._watch(self.status())

    def _wait(self, woken: socket.socket) -> None:
        """Until somebody says something, or a tick has passed."""
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            for child in self._children:
                if child.channel is not None and not child.channel.closed:
                    selector.register(child.channel, selectors.EVENT_READ)
            ready = selector.select(TICK_S)
        if any(key.fileobj is woken for key, _ in ready):
            woken.recv(4096)

    def _advance(self) -> None:
        if self._until is None or self._stop_asked.is_set():
            return
        verdict = self._until.step(self._children, self._clock.monotonic_s())
        if verdict is not None:
            self._problems = verdict
            self._stop_asked.set()

    def _stop_children(self) -> None:
        if not self._stop_asked.is_set():
            return
        now_s = self._clock.monotonic_s()
        if self._stop_by_s is None:
            self._stop_by_s = now_s + STOP_S
            for child in self._children:
                child.stop()
        if self._kill_asked.is_set() or now_s >= self._stop_by_s:
            for child in self._children:
                child.kill()

    def _note_failures(self) -> None:
        if not self._problems:
            self._problems = tuple(failure(child) for child in self._children if child.terminal)

    def _end_all(self) -> None:
        """No worker outlives us, whatever went wrong here."""
        for child in self._children:
            if child.pid is not None:
                child.kill()
        while any(child.pid is not None for child in self._children):
            for child in self._children:
                child.tick()
            self._clock.sleep_s(0.02)


def failure(child: Child) -> str:
    """One line that says which worker failed, why, and what to do."""
    problem = child.problem
    told = with_remedy(problem.message, problem.hint) if problem else "it ended without a word"
    return f'{child.order.role} "{child.name}" failed: {told}'
