"""Taking copy data that has arrived out of the client library, message by message.

A hot module: plain Python that setup.py compiles (declarations in copy_drain.pxd).

Source: PostgreSQL manual, libpq, PQgetCopyData and PQconsumeInput.
"""

from collections.abc import Callable

ENDED = -1
DRY = 0
FULL = 1


class Drain:
    """Takes messages from one connection. `get` and `consume` are its methods of these names."""

    __slots__ = ("_consume", "_get", "size_bytes")

    def __init__(
        self, get: Callable[[int], tuple[int, memoryview]], consume: Callable[[], None]
    ) -> None:
        self.size_bytes = 0
        self._get = get
        self._consume = consume

    def into(self, lot: list[bytes], messages_max: int, bytes_max: int) -> int:
        """Append what is there; `size_bytes` grows by it.

        DRY: neither library nor socket has a whole message left. FULL: one of the limits is
        reached. ENDED: the server has ended the copy. Raises what the methods raise.
        """
        get = self._get
        count = len(lot)
        while True:
            length, data = get(1)
            if length == 0:
                # The library has no whole message left; the socket may.
                self._consume()
                length, data = get(1)
                if length == 0:
                    return DRY
            if length < 0:
                return ENDED
            lot.append(bytes(data))
            count += 1
            self.size_bytes += length
            if count >= messages_max or self.size_bytes >= bytes_max:
                return FULL
