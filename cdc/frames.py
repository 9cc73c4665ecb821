"""Messages between a capture and its readers: plain values, each behind its length, on a socket.

A message is what `marshal` writes: tuples, lists, bytes, str, int and None, without code. Both ends
are the same Python on the same machine, and it is the fastest form that copies no value twice.
"""

import marshal
import socket
import struct
from typing import Any, Final, cast

from cdc.reading import Plain

_LENGTH: Final = struct.Struct("<Q")
# Without references between objects, which would be looked up for every value.
_VERSION: Final = 2
# What the kernel gives of it saves wake-ups: a message is often larger than the usual buffer.
_BUFFER_BYTES: Final = 1 << 20


class PeerGone(Exception):
    """The process at the other end has closed its end, or died."""


class Frames:
    """One end. A message that has come in part is kept until the rest comes."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._connection = connection
        self._head = memoryview(bytearray(_LENGTH.size))
        self._body: memoryview | None = None
        self._filled = 0

    def send(self, message: Plain) -> None:
        """Send all of it; waits as long as the other end has no room. Raises PeerGone."""
        content = marshal.dumps(cast("Any", message), _VERSION)
        try:
            self._connection.sendall(_LENGTH.pack(len(content)))
            self._connection.sendall(content)
        except OSError as error:
            raise PeerGone from error

    def receive(self, *, wait: bool) -> tuple[Plain, ...] | None:
        """The next message; None when it is not here yet and `wait` is False. Raises PeerGone."""
        if self._body is None and self._fill(self._head, wait=wait):
            self._body = memoryview(bytearray(_LENGTH.unpack(self._head)[0]))
        if self._body is None or not self._fill(self._body, wait=wait):
            return None
        message = marshal.loads(self._body)  # noqa: S302 - written by a process of ours, no code
        self._body = None
        assert isinstance(message, tuple), "every message is a tuple"
        return message

    def close(self) -> None:
        """Close this end. Repeatable."""
        self._connection.close()

    def _fill(self, part: memoryview, *, wait: bool) -> bool:
        """Whether `part` is full; what has come is in it."""
        flags = 0 if wait else socket.MSG_DONTWAIT
        while self._filled < len(part):
            try:
                read = self._connection.recv_into(part[self._filled :], 0, flags)
            except BlockingIOError:
                return False
            except OSError as error:
                raise PeerGone from error
            if read == 0:
                raise PeerGone
            self._filled += read
        self._filled = 0
        return True
