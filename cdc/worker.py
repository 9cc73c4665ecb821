"""One child process: the capture of one source or the delivery of one sink.

Started by the supervisor with one end of a Channel. The first message is the order; it holds the
text of the configuration, so that an edited file changes nothing before somebody says so. Secrets
are resolved here and travel nowhere.
"""

import contextlib
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from random import SystemRandom
from types import FrameType
from typing import Final, Literal

from cdc.capture import Capture
from cdc.channel import Channel, ChannelClosed
from cdc.clock import SystemClock
from cdc.collector import relax
from cdc.config import Config, read
from cdc.deliver import Deliver, DeliverOptions
from cdc.errors import CdcError
from cdc.journal import Journal, open_journal
from cdc.lifecycle import Command, DeliverUntil, GoOn, Pause, Problem, Progress
from cdc.notes import Note
from cdc.processes import die_with_parent
from cdc.projection import Projection
from cdc.protocols import MarkCurrent
from cdc.registry import Parts
from cdc.retry import Backoff

ORDER_S: Final = 30.0
"""How long the supervisor may take to say what to do."""

STOP_S: Final = 9.5
"""After this the kernel ends us: a stop is promised within ten seconds."""

LAST_WORDS_S: Final = 2.0

Role = Literal["source", "sink"]


class Exit(IntEnum):
    """How a worker ended. Anything else, a signal too, is a crash and is tried again."""

    STOPPED = 0
    RETRY = 75
    """sysexits' EX_TEMPFAIL."""
    TERMINAL = 78
    """sysexits' EX_CONFIG: only a person can change it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told to do. `text` is the configuration that `file` held.

    `heal`: a source begins anew, as if nothing had been captured.
    """

    role: Role
    name: str
    file: str
    text: str
    journal_format: str
    journal_level: str = "info"
    debug: bool = False
    heal: bool = False

    def content(self) -> dict[str, object]:
        """The same as JSON-able content."""
        return {"order": asdict(self)}


class ChannelControl:
    """A lifecycle.Control whose other end is the supervisor; tells every phase change.

    `told` is the message of the last problem that the journal has.
    """

    def __init__(self, channel: Channel, journal: Journal) -> None:
        self._channel = channel
        self.journal = journal
        self._commands: list[Command] = []
        self._stopping = False
        self._phase = ""
        self._error_at_us: int | None = None
        self.told: str | None = None
        self._notes: Mapping[tuple[str, str], Note] = {}

    def stop(self) -> None:
        """From now on `stopping` is True."""
        self._stopping = True

    def stopping(self) -> bool:
        """Whether we were told to stop, or nobody is left to tell us."""
        self._receive()
        return self._stopping

    def commands(self) -> Sequence[Command]:
        """Commands that came since the last call, in order."""
        self._receive()
        commands, self._commands = self._commands, []
        return commands

    def report(self, progress: Progress) -> None:
        """Send progress up, and tell a new phase or problem."""
        self._channel.send_newest({"progress": progress.content()})
        error = progress.last_error
        if error is not None and error.at_us != self._error_at_us:
            self._error_at_us = error.at_us
            self.told = error.message
            tell = self.journal.warning if error.retriable else self.journal.error
            tell("problem", kind=error.kind, message=error.message, hint=error.hint)
        if progress.phase != self._phase:
            self._phase = progress.phase
            position = getattr(progress, "position", None)
            extra = {"position": position} if position else {}
            self.journal.info("phase", phase=str(progress.phase), **extra)
        self._tell_notes(getattr(progress, "notes", ()))

    def _tell_notes(self, notes: tuple[Note, ...]) -> None:
        """A line for each note that is new or worse, and one when it is over."""
        now: dict[tuple[str, str], Note] = {(note.code, note.severity): note for note in notes}
        for known, note in now.items():
            if known not in self._notes:
                tell = self.journal.info if note.severity == "info" else self.journal.warning
                tell("note", code=note.code, message=note.message, hint=note.hint)
        codes = {note.code for note in notes}
        for code in {code for code, _ in self._notes} - codes:
            self.journal.info("note is over", code=code)
        self._notes = now

    def _receive(self) -> None:
        for message in self._channel.receive():
            if "stop" in message:
                self._stopping = True
            elif "mark_current" in message:
                self._commands.append(MarkCurrent(str(message["mark_current"])))
            elif "deliver_until" in message:
                self._commands.append(DeliverUntil(str(message["deliver_until"])))
            elif "pause" in message:
                self._commands.append(Pause())
            elif "go_on" in message:
                self._commands.append(GoOn(heal=message["go_on"] == "heal"))
        if self._channel.closed:
            self._stopping = True


def stop_on_signal(control: ChannelControl) -> None:
    """SIGTERM: finish the batch and commit, at most STOP_S; a second one: now. SIGINT is ignored.

    The kernel does the ending, since a call into a client library may keep Python's own handlers
    from running. Ctrl-C reaches the supervisor, which tells us.
    """

    def graceful(number: int, frame: FrameType | None) -> None:
        del number, frame
        control.stop()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, STOP_S)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, graceful)


def run(order: Order, config: Config, control: ChannelControl) -> None:
    """Work until told to stop. Raises the CdcError that needs a person."""
    clock = SystemClock()
    backoff = Backoff(SystemRandom())
    with contextlib.closing(Parts(config)) as parts:
        relax()
        if order.role == "source":
            Capture(
                make_source=lambda: parts.source(order.name),
                make_writer=lambda: parts.writer(order.name),
                make_serializer=lambda: parts.serializer(order.name),
                transforms=parts.transforms(order.name),
                clock=clock,
                control=control,
                backoff=backoff,
                heartbeat=parts.heartbeat(order.name),
            ).run(heal=order.heal)
            return
        keys = config.sinks[order.name].keys
        Deliver(
            make_reader=lambda: parts.reader(order.name),
            make_sink=lambda: parts.sink(order.name),
            decode=parts.decoder(order.name),
            projection=Projection(keys.mapping()),
            dead_letters=parts.dead_letters(order.name),
            clock=clock,
            control=control,
            backoff=backoff,
            options=DeliverOptions(on_undecodable=keys.on_undecodable),
        ).run()


def work(channel: Channel) -> Exit:
    """Take the order, do it, and say how it ended."""
    die_with_parent()
    message = channel.wait(ORDER_S)["order"]
    assert isinstance(message, dict), "the first message is the order"
    order = Order(**message)
    journal = open_journal(order.journal_format, order.journal_level, worker=order.name)
    control = ChannelControl(channel, journal)
    stop_on_signal(control)
    try:
        config = read(order.text, Path(order.file), only={order.name})
        control.journal = journal = journal.bind(pipeline=config.name)
        run(order, config, control)
    except CdcError as error:
        if control.told != error.message:
            journal.error(
                "problem", kind=type(error).__name__, message=error.message, hint=error.hint
            )
        _last_words(channel, error)
        return Exit.RETRY if error.retriable else Exit.TERMINAL
    except Exception as error:  # noqa: BLE001 - the last place where it can be told
        _tell_mistake(journal, error, debug=order.debug)
        _last_words(channel, _mistake(error))
        return Exit.RETRY
    return Exit.STOPPED


def _mistake(error: Exception) -> CdcError:
    """An error that nobody foresaw: its text may hold values, so only its kind and place remain."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}:{last.lineno}"
    return CdcError(
        f"unexpected {type(error).__name__} at {place}",
        hint="This is a mistake in Tidewire or a component: run with --debug for the traceback, "
        "and please report it.",
    )


def _tell_mistake(journal: Journal, error: Exception, *, debug: bool) -> None:
    journal.error("crashed", message=_mistake(error).message)
    if debug:
        traceback.print_exception(error)


def _last_words(channel: Channel, error: CdcError) -> None:
    problem = Problem.of(error, SystemClock().wall_us())
    channel.send({"ended": asdict(problem)})
    channel.flush(LAST_WORDS_S)


def main(arguments: Sequence[str]) -> int:
    """Run as a child process; the only argument is the number of the channel's descriptor."""
    channel = Channel(socket.socket(fileno=int(arguments[0])))
    try:
        return work(channel)
    except ChannelClosed:
        return Exit.STOPPED
    finally:
        channel.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
