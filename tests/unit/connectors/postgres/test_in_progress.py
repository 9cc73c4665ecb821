"""What is kept of transactions in progress: frames, files, savepoints, limits."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.errors import ConfigError, DecodeError, StorageFull, TransientError
from cdc.protocols import OpenTransactions
from connectors.postgres.blocks import Block, unframe
from connectors.postgres.in_progress import InProgress, TransactionsInProgress
from connectors.postgres.spill import SpillFolder
from tests.unit.connectors.postgres import replies
from tests.unit.connectors.postgres.replies import insert, streamed

TOP = 0xFFFFFFFE


def block(*messages: tuple[int, bytes]) -> Block:
    """A block of rows: the (sub)transaction of each, and what it holds."""
    made = Block()
    for xid, text in messages:
        made.keep(streamed(insert(1, text), xid))
    return made


def read(transaction: InProgress, gone: frozenset[int] = frozenset()) -> list[bytes]:
    """All its messages, at most two at once."""
    found: list[bytes] = []
    while payloads := transaction.read(2, gone):
        assert len(payloads) <= 2
        found += payloads
    return found


def texts(transaction: InProgress, gone: frozenset[int] = frozenset()) -> list[bytes]:
    """What its rows hold."""
    return [payload[-1:] for payload in read(transaction, gone)]


@pytest.fixture(params=[0, 1, 2, 9], ids="{} blocks in the file".format)
def spilled(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture
def transaction(tmp_path: Path) -> Iterator[InProgress]:
    made = InProgress(TOP, SpillFolder(tmp_path / "files", None))
    yield made
    made.close()
    assert list(tmp_path.glob("files/*")) == []


def keep(transaction: InProgress, spilled: int, *messages: tuple[int, bytes]) -> None:
    """Each message in a block of its own, the first blocks in a file."""
    for number, message in enumerate(messages):
        transaction.extend(block(message), number)
        if number < spilled:
            transaction.spill()


def test_messages_come_back_as_the_protocol_without_streaming_has_them(
    transaction: InProgress, spilled: int
) -> None:
    keep(transaction, spilled, (TOP, b"a"), (TOP, b"b"), (TOP, b"c"))

    assert [insert(1, b"a"), insert(1, b"b"), insert(1, b"c")] == read(transaction)


def test_rollback_to_a_savepoint_cuts_it_and_those_inside(
    transaction: InProgress, spilled: int
) -> None:
    """Ids wrap around: those of the savepoints are smaller numbers than the transaction's."""
    keep(transaction, spilled, (TOP, b"a"), (TOP + 1, b"b"), (1, b"c"), (TOP + 1, b"d"))
    transaction.roll_back(1)
    transaction.roll_back(TOP + 1)
    transaction.roll_back(2)
    keep(transaction, spilled, (3, b"e"), (TOP, b"f"))

    assert transaction.subtransactions() != [TOP + 1, 1]
    assert transaction.subtransactions() == [3]
    assert texts(transaction) == [b"a", b"e", b"f"]


def test_savepoint_whose_first_row_is_behind_those_inside_is_known(
    transaction: InProgress,
) -> None:
    keep(transaction, 0, (TOP, b"a"), (2, b"b"), (1, b"c"), (TOP, b"d"))

    assert transaction.subtransactions() == [2, 1]
    assert texts(transaction, frozenset({1, 2})) == [b"a", b"d"]


def test_relations_of_what_is_left_out_stay(transaction: InProgress) -> None:
    made = Block()
    for payload in (replies.relation(1), insert(1, b"a")):
        made.keep(streamed(payload, 5))
    transaction.extend(made, 3)

    assert transaction.described == {1: 3}
    assert [replies.relation(1)] == transaction.read(9, {5})


def test_rollback_forgets_what_was_described(transaction: InProgress) -> None:
    made = Block()
    made.keep(streamed(replies.relation(1), TOP))
    transaction.extend(made, 3)

    transaction.roll_back(77)

    assert transaction.described == {}


def test_message_larger_than_what_is_read_at_once_is_whole(transaction: InProgress) -> None:
    value = bytes(3 << 20)
    transaction.extend(block((TOP, b"a"), (TOP, value), (TOP, b"b")), 0)
    transaction.spill()

    assert [insert(1, b"a"), insert(1, value), insert(1, b"b")] == read(transaction)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (replies.begin(1, 2), "a Begin in a streamed block"),
        (replies.xlog_data(b"?xyz"), "kind 0x3f in a streamed block"),
        (replies.xlog_data(b"I\0\0"), "length of the message .* in Insert"),
    ],
)
def test_what_no_block_has_is_a_decode_error(payload: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        Block().keep(payload)


def test_unframe_leaves_an_unfinished_frame() -> None:
    frames = bytes(block((TOP, b"a"), (TOP, b"b")).frames)
    half = len(frames) // 2
    payloads: list[bytes] = []

    assert half == unframe(frames[:-1], 0, 9, frozenset(), payloads)
    assert [insert(1, b"a")] == payloads


# --- all of a stream ------------------------------------------------------------------------------


def test_the_largest_goes_to_a_file_and_the_bound_holds(tmp_path: Path) -> None:
    kept = TransactionsInProgress(SpillFolder(tmp_path, None), 200_000)
    kept.start(1, first=True)
    kept.start(2, first=True)
    kept.extend(1, block((1, bytes(70_000))), 0)
    for _ in range(10):
        kept.extend(2, block((2, bytes(70_000))), 0)
        assert kept.held().memory_bytes <= 200_000

    assert [file.name for file in tmp_path.iterdir()] == ["2.transaction"]
    assert kept.held().count == 2
    kept.abort(2, 2)
    kept.abort(7, 7)
    assert kept.held().spilled_bytes == 0
    assert list(tmp_path.iterdir()) == []
    kept.close()
    assert OpenTransactions(0, 0, 0) == kept.held()


def test_commit_of_an_unknown_transaction_is_a_decode_error(tmp_path: Path) -> None:
    kept = TransactionsInProgress(SpillFolder(tmp_path, None), 1)

    with pytest.raises(DecodeError, match="transaction 9 is committed, of which nothing"):
        kept.commit(9)


_GROWTH = """
import resource, sys
from pathlib import Path
from connectors.postgres.blocks import Block
from connectors.postgres.in_progress import TransactionsInProgress
from connectors.postgres.spill import SpillFolder
from tests.unit.connectors.postgres.replies import insert, streamed

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

kept = TransactionsInProgress(SpillFolder(Path(sys.argv[1]), None), 1 << 20)
row = streamed(insert(1, bytes(1000)), 7)
kept.start(7, first=True)
before = peak()
for number in range(200):
    block = Block()
    for _ in range(500):
        block.keep(row)
    kept.extend(7, block, number)
transaction, rows = kept.commit(7), 0
while lot := transaction.read(1000):
    rows += len(lot)
print(rows, peak() - before)
"""


def test_process_does_not_grow_with_the_transaction(tmp_path: Path) -> None:
    """100 MB with a bound of 1 MiB: what is read and written at once comes on top."""
    done = subprocess.run(
        [sys.executable, "-c", _GROWTH, str(tmp_path)], capture_output=True, text=True, check=True
    )
    rows, grown_bytes = map(int, done.stdout.split())

    assert rows == 100_000
    assert grown_bytes < 16 << 20


# --- files ----------------------------------------------------------------------------------------


def test_start_removes_what_was_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "5.transaction").write_bytes(b"left")
    (tmp_path / "other").write_bytes(b"mine")

    SpillFolder(tmp_path, None).clear()

    assert [file.name for file in tmp_path.iterdir()] == ["other"]


def test_limit_of_the_system_is_a_full_storage(tmp_path: Path) -> None:
    file = SpillFolder(tmp_path, None).file("1")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageFull, match="no room for a transaction in progress"):
            file.append(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file.close()
    file.close()

    assert list(tmp_path.iterdir()) == []


def test_bound_counts_all_files_and_what_is_cut_is_free_again(tmp_path: Path) -> None:
    folder = SpillFolder(tmp_path, 100)
    first, second = folder.file("1"), folder.file("2")
    first.append(bytes(60))
    with pytest.raises(StorageFull, match="more than 100 bytes of files"):
        second.append(bytes(60))
    first.cut(40)
    second.append(bytes(60))

    assert folder.size_bytes == 100
    assert bytes(40) == first.read(0, 99)


@pytest.mark.parametrize("change", ["shorter", "gone"])
def test_file_that_somebody_changed_is_read_again_from_the_database(
    tmp_path: Path, change: str
) -> None:
    file = SpillFolder(tmp_path, None).file("1")
    file.append(b"abc")
    path = tmp_path / "1.transaction"
    path.write_bytes(b"a") if change == "shorter" else path.unlink()

    with pytest.raises(TransientError, match=r"1\.transaction"):
        file.read(0, 9)
    with pytest.raises(TransientError, match=r"1\.transaction"):
        file.append(b"d")


def test_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ConfigError, match="file"):
        SpillFolder(tmp_path / "file", None).file("1")
