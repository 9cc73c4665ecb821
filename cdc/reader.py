"""A reader: a process that reads rows for a capture, and encodes them as the capture would.

Started by a ReaderPool with one end of a socket. The first message is the order: the text of the
configuration, as in a worker's order. Secrets are resolved here. Then come tasks; each is answered
by lots and an end. An error is the last thing a reader says.
"""

import contextlib
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from cdc.chain import Chain
from cdc.collector import relax
from cdc.config import read
from cdc.errors import CdcError, TransientError
from cdc.frames import Frames, PeerGone
from cdc.lots import pack
from cdc.processes import die_with_parent
from cdc.reading import Plain
from cdc.registry import Parts


def serve(frames: Frames) -> None:
    """Take the order, then do tasks until the capture closes its end (PeerGone)."""
    order = cast("tuple[str, str, str, Plain]", frames.receive(wait=True))
    file, text, source, opening = order
    config = read(text, Path(file), only={source})
    with contextlib.closing(Parts(config)) as parts:
        chain = Chain(parts.transforms(source))
        serializer = parts.serializer(source)
        reader = parts.task_reader(source, opening)
        relax()
        with contextlib.closing(reader):
            while True:
                number, task = cast("tuple[int, Plain]", frames.receive(wait=True))
                for lot in reader.read(task):
                    events = chain.apply(lot.events)
                    records = serializer.encode(events) if events else []
                    rows = len(lot.events)
                    frames.send((number, pack(records), rows, lot.size_bytes, lot.note))
                frames.send((number, None, 0, 0, None))


def main(arguments: Sequence[str]) -> int:
    """Run as a child process; the only argument is the number of the socket's descriptor."""
    # Nothing of a reader is worth an orderly end: what was not committed is read again.
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.closing(Frames(socket.socket(fileno=int(arguments[0])))) as frames:
        try:
            try:
                serve(frames)
            except CdcError as error:
                frames.send(_last_words(error))
            except PeerGone:
                raise
            except Exception as error:  # noqa: BLE001 - the last place where it can be told
                frames.send(_last_words(_mistake(error)))
        except PeerGone:
            return 0
    return 1


def _last_words(error: CdcError) -> tuple[Plain, ...]:
    retry_after_s = error.retry_after_s if isinstance(error, TransientError) else None
    name = type(error).__name__
    return ("error", name, error.message, error.hint, retry_after_s, error.retriable)


def _mistake(error: Exception) -> CdcError:
    """An error that nobody foresaw: its text may hold values, so only its kind and place remain.

    Tried again, as a worker is that ends so.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    return TransientError(
        f"unexpected {type(error).__name__} at {Path(last.filename).name}:{last.lineno} in a "
        "reader of the snapshot",
        hint="This is a mistake in Tidewire or a component; please report it.",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
