"""Messages out of the client library's buffer, played by a script of what it answers."""

from collections.abc import Callable

import pytest

from connectors.postgres.copy_drain import DRY, ENDED, FULL, Drain

NOTHING = (0, memoryview(b""))
END = (-1, memoryview(b""))


def message(content: bytes) -> tuple[int, memoryview]:
    return len(content), memoryview(content)


class Library:
    """`get_copy_data` answers from the buffer; `consume_input` moves what the socket has there."""

    def __init__(self, *socket: list[tuple[int, memoryview]]) -> None:
        self._socket = list(socket)
        self._buffer: list[tuple[int, memoryview]] = []

    def get(self, asynchronous: int) -> tuple[int, memoryview]:
        assert asynchronous == 1
        return self._buffer.pop(0) if self._buffer else NOTHING

    def consume(self) -> None:
        if self._socket:
            self._buffer += self._socket.pop(0)


@pytest.fixture
def drained() -> Callable[..., tuple[int, list[bytes], int]]:
    def drain(
        library: Library, messages_max: int = 100, bytes_max: int = 1000
    ) -> tuple[int, list[bytes], int]:
        taking = Drain(library.get, library.consume)
        lot: list[bytes] = []
        found = taking.into(lot, messages_max, bytes_max)
        return found, lot, taking.size_bytes

    return drain


Drained = Callable[..., tuple[int, list[bytes], int]]


def test_everything_there_is_taken_and_the_socket_asked_for_more(drained: Drained) -> None:
    library = Library([message(b"one"), message(b"two")], [message(b"three")])

    assert drained(library) == (DRY, [b"one", b"two", b"three"], 11)


def test_the_end_of_the_copy_comes_behind_its_messages(drained: Drained) -> None:
    assert drained(Library([message(b"one"), END])) == (ENDED, [b"one"], 3)


def test_a_lot_is_full_by_messages_or_by_bytes(drained: Drained) -> None:
    def socket() -> Library:
        return Library([message(b"one"), message(b"two"), message(b"three")])

    assert drained(socket(), messages_max=2) == (FULL, [b"one", b"two"], 6)
    assert drained(socket(), bytes_max=3) == (FULL, [b"one"], 3)


def test_what_is_taken_is_a_copy() -> None:
    content = bytearray(b"one")
    library = Library([(3, memoryview(content))])
    lot: list[bytes] = []

    Drain(library.get, library.consume).into(lot, 10, 10)
    content[:] = b"two"

    assert lot == [b"one"]


def test_an_error_of_the_library_passes_through() -> None:
    def broken() -> None:
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError, match="lost"):
        Drain(Library().get, broken).into([], 10, 10)
