"""The capture's side of its readers: processes that read rows beside it and encode them.

Each has a socket of its own, whose buffer is the only place where lots wait: a reader that is ahead
of the writer blocks. What a reader says goes to the writer as it is.
"""

import contextlib
import select
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Final, cast

from cdc import errors
from cdc.errors import CdcError, TransientError
from cdc.frames import Frames, PeerGone
from cdc.lots import Packed, Unpacker
from cdc.processes import environment, module_command
from cdc.reading import Plain, ReaderLot

MODULE: Final = "cdc.reader"

TASKS_EACH: Final = 2
"""A reader has the next task at hand when it ends one."""

END_S: Final = 0.5
"""How long a reader may take to end by itself, and then to die of SIGTERM, before SIGKILL."""


LastWords = tuple[str, str, str, float | None, bool]
"""Of an error: name of its class, message, hint, the peer's wish, and whether it is retriable."""


@dataclass(frozen=True, slots=True)
class ReaderOrder:
    """What a reader reads its configuration from; `source` is whose rows it reads."""

    file: Path
    text: str
    source: str


class _Reader:
    """One process. `tasks` are those it was given and has not ended, in order."""

    def __init__(self, process: subprocess.Popen[bytes], frames: Frames) -> None:
        self.process = process
        self.frames = frames
        self.tasks: list[int] = []


class ReaderPool:
    """Satisfies `cdc.protocols.Readers`."""

    def __init__(self, order: ReaderOrder, count: int, opening: Plain) -> None:
        """Start `count` readers; `opening` is what the source's own code tells each of them."""
        self._readers: list[_Reader] = []
        self._unpacker = Unpacker()
        self._poll = select.poll()
        self._by_descriptor: dict[int, _Reader] = {}
        self._task = 0
        try:
            for _ in range(count):
                self._start(order, opening)
        except BaseException:
            self.close()
            raise

    @property
    def room(self) -> int:
        """How many more tasks can be given now."""
        return sum(TASKS_EACH - len(reader.tasks) for reader in self._readers)

    def give(self, task: Plain) -> int:
        """Give a task to the reader with the least to do; its number. There must be room."""
        reader = min(self._readers, key=lambda each: len(each.tasks))
        self._task += 1
        try:
            reader.frames.send((self._task, task))
        except PeerGone as error:
            raise self._lost(reader) from error
        reader.tasks.append(self._task)
        return self._task

    def poll(self, timeout_s: float) -> Sequence[ReaderLot]:
        """What has come, at most one lot of each reader; empty after `timeout_s`.

        Raises what a reader raised, TransientError when one is gone.
        """
        lots: list[ReaderLot] = []
        for descriptor, _ in self._poll.poll(max(0.0, timeout_s) * 1000):
            reader = self._by_descriptor[descriptor]
            try:
                message = reader.frames.receive(wait=False)
            except PeerGone as error:
                raise self._lost(reader) from error
            if message is not None:
                lots.append(self._lot(reader, message))
        return lots

    def close(self) -> None:
        """End all: those that work at once, the others when they see that we are gone."""
        for reader in self._readers:
            if reader.tasks:
                reader.process.terminate()
            reader.frames.close()
        for reader in self._readers:
            _end(reader.process)
        self._readers = []

    def _start(self, order: ReaderOrder, opening: Plain) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - the command is ours alone
                module_command(MODULE, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment(),
            )
        reader = _Reader(process, Frames(ours))
        self._readers.append(reader)
        self._by_descriptor[ours.fileno()] = reader
        self._poll.register(ours, select.POLLIN)
        try:
            reader.frames.send((str(order.file), order.text, order.source, opening))
        except PeerGone as error:
            raise self._lost(reader) from error

    def _lot(self, reader: _Reader, message: tuple[Plain, ...]) -> ReaderLot:
        if message[0] == "error":
            # Its last words: it ends by itself.
            reader.tasks.clear()
            raise _error(*cast("LastWords", message[1:]))
        task, packed, rows, size_bytes, note = cast(
            "tuple[int, Packed | None, int, int, Plain]", message
        )
        if packed is None:
            reader.tasks.remove(task)
            return ReaderLot(task, [], 0, 0, None, ended=True)
        return ReaderLot(task, self._unpacker.records(packed), rows, size_bytes, note, ended=False)

    def _lost(self, reader: _Reader) -> CdcError:
        # It may have said why before it went.
        with contextlib.suppress(PeerGone):
            while (message := reader.frames.receive(wait=False)) is not None:
                if message[0] == "error":
                    reader.tasks.clear()
                    return _error(*cast("LastWords", message[1:]))
        try:
            code = reader.process.wait(END_S)
        except subprocess.TimeoutExpired:
            how = "has closed its connection"
        else:
            how = f"ended with exit code {code}"
            if code < 0:
                how = f"ended with signal {Signals(-code).name}"
        return TransientError(
            f"a reader of the snapshot {how}",
            hint="The tables that were not finished are read again; nothing is lost.",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    for ask in (process.terminate, process.kill):
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            ask()
        else:
            return
    process.wait()


def _error(
    name: str,
    message: str,
    hint: str,
    retry_after_s: float | None,
    retriable: bool,  # noqa: FBT001 - as it comes
) -> CdcError:
    """The error that a reader raised, as one of the same class where the class is ours."""
    kind = getattr(errors, name, None)
    if kind is errors.StorageFull:
        return errors.StorageFull(message, hint=hint)
    if retriable:
        return TransientError(message, hint=hint, retry_after_s=retry_after_s)
    if isinstance(kind, type) and issubclass(kind, CdcError) and kind is not errors.MissingExtra:
        return kind(message, hint=hint)
    return CdcError(message, hint=hint)
