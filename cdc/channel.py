"""The pipe between the supervisor and one worker: JSON lines both ways over a socket pair.

Down go the order and commands, up go progress and the last words. The end of the stream means that
the other process is gone, however it went.
"""

import json
import selectors
import socket
import time
from collections.abc import Mapping
from typing import Final

from cdc.errors import TransientError

Message = Mapping[str, object]

READ_BYTES: Final = 65_536
MESSAGE_BYTES_MAX: Final = 16 * 1_048_576


class ChannelClosed(TransientError):
    """The process at the other end is gone."""


class Channel:
    """One end. Nothing blocks except `wait` and `flush`, and these not beyond their time-out."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0.0)
        self._connection = connection
        self._received = bytearray()
        self._unsent = bytearray()
        self._newest: bytes | None = None
        self._waiting: list[Message] = []
        self.closed = False

    def fileno(self) -> int:
        """For selectors."""
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        """Send, as soon as there is room. What the other end misses when it is gone is lost."""
        self._unsent += _line(message)
        self._write()

    def send_newest(self, message: Message) -> None:
        """Send unless a newer one comes before there is room: progress replaces progress."""
        self._newest = _line(message)
        self._write()

    def receive(self) -> list[Message]:
        """Every whole message that has come, in order; sets `closed` at the end of the stream."""
        while not self.closed and len(self._received) <= MESSAGE_BYTES_MAX:
            try:
                read = self._connection.recv(READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                read = b""
            self._received += read
            self.closed = not read
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        messages, self._waiting = self._waiting, []
        return messages + [json.loads(line) for line in lines]

    def wait(self, timeout_s: float) -> Message:
        """The first message of a channel. Raises ChannelClosed when none comes in time."""
        until_s = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            while not self.closed and (left_s := until_s - time.monotonic()) > 0:
                selector.select(left_s)
                messages = self.receive()
                if messages:
                    self._waiting = messages[1:]
                    return messages[0]
        raise ChannelClosed("the other process ended or said nothing", hint="")

    def flush(self, timeout_s: float) -> None:
        """Send what is left, as far as the other end takes it in time."""
        until_s = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_WRITE)
            while (self._unsent or self._newest) and not self.closed:
                left_s = until_s - time.monotonic()
                if left_s <= 0 or not selector.select(left_s):
                    return
                self._write()

    def close(self) -> None:
        """Close this end. Repeatable."""
        self.closed = True
        self._connection.close()

    def _write(self) -> None:
        while not self.closed and (self._unsent or self._newest):
            if not self._unsent and self._newest:
                # Whole lines only: the newest progress waits until the line before it is out.
                self._unsent += self._newest
                self._newest = None
            try:
                sent = self._connection.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                # The end of the stream is seen, and told, by `receive`.
                self._unsent.clear()
                self._newest = None
                return
            del self._unsent[:sent]


def pair() -> tuple[Channel, socket.socket]:
    """Our end, and the socket to hand to the other process."""
    ours, theirs = socket.socketpair()
    return Channel(ours), theirs


def _line(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
