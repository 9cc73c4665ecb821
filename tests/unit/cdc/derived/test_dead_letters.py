"""Dead letters keep a record's bytes, survive a kill, and are never doubled."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cdc.derived.dead_letters import DeadLetterFile
from cdc.errors import ConfigError, StorageFull, TransientError
from cdc.event import Stored
from cdc.protocols import DeadLetter, DeadLetters

ROOT = Path(__file__).parents[4]


def letter(offset: int, *, value: bytes | None = b"\xff\x00", reason: str = "no") -> DeadLetter:
    headers = (("cdc", b"7.00"), ("cdc", b"\xfe"), ("empty", b""))
    stored = Stored("shop.public.products", 0, offset, b'{"id":1}', value, headers, 1_700_000)
    return DeadLetter(stored, reason, 1_800_000)


def content(one: DeadLetter) -> tuple[object, ...]:
    stored = one.stored
    place = (stored.topic, stored.partition, stored.offset, stored.timestamp_us)
    return (*place, stored.key, stored.value, stored.headers, one.reason, one.failed_at_us)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead-letters.sqlite"


@pytest.fixture
def kept(path: Path) -> Iterator[DeadLetterFile]:
    with closing(DeadLetterFile(path)) as kept:
        yield kept


def test_a_record_comes_back_with_all_its_bytes(kept: DeadLetters, path: Path) -> None:
    letters = [letter(1), letter(2, value=None)]

    kept.put(letters)

    with closing(DeadLetterFile(path)) as other:
        assert [content(one) for one in letters] == [content(one) for one in other.letters()]


def test_a_record_put_again_is_replaced(kept: DeadLetterFile) -> None:
    kept.put([letter(1, reason="first"), letter(2)])

    kept.put([letter(1, reason="second")])

    assert kept.count() == 2
    assert [one.reason for one in kept.letters()] == ["second", "no"]


def test_every_letter_is_listed_once_over_pages(kept: DeadLetterFile) -> None:
    kept.put([letter(offset) for offset in range(61)])

    assert list(range(61)) == [one.stored.offset for one in kept.letters()]


def test_put_is_durable_when_the_process_is_killed_behind_it(path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.cdc.derived.test_dead_letters import letter\n"
        "from cdc.derived.dead_letters import DeadLetterFile\n"
        "DeadLetterFile(Path(sys.argv[1])).put([letter(1), letter(2)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, cwd=ROOT)

    assert done.returncode == -signal.SIGKILL
    with closing(DeadLetterFile(path)) as kept:
        assert kept.count() == 2


def test_only_its_owner_can_read_the_files(kept: DeadLetterFile, path: Path) -> None:
    kept.put([letter(1)])

    files = list(path.parent.glob("dead-letters.sqlite*"))

    assert len(files) > 1
    assert {0o600} == {file.stat().st_mode & 0o777 for file in files}


def test_another_process_reads_while_one_writes(kept: DeadLetterFile, path: Path) -> None:
    kept.put([letter(1)])

    with closing(DeadLetterFile(path)) as reader:
        letters = reader.letters()
        next(letters)
        kept.put([letter(2)])

        assert [one.stored.offset for one in letters] == [2]


def test_a_full_disk_is_named_and_keeps_what_was_there(kept: DeadLetterFile) -> None:
    kept.put([letter(1)])
    pages = kept._connection.execute("PRAGMA page_count").fetchone()[0]
    kept._connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StorageFull, match="no room"):
        kept.put([letter(2, value=bytes(100_000))])

    assert [one.stored.offset for one in kept.letters()] == [1]


def test_a_locked_file_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc.derived.dead_letters.BUSY_S", 0.01)
    with closing(DeadLetterFile(path)) as kept, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(TransientError, match="locked"):
            kept.put([letter(1)])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="No such file"):
        DeadLetterFile(tmp_path / "missing" / "letters.sqlite")


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (
            lambda path: path.write_text("not a database, but long enough to be read as one"),
            "damaged",
        ),
        (lambda path: _set_version(path, 2), "format version 2, this Tidewire knows 1"),
    ],
)
def test_a_file_of_somebody_else_is_refused(path: Path, prepare: object, says: str) -> None:
    assert callable(prepare)
    prepare(path)

    with pytest.raises(ConfigError, match=says):
        DeadLetterFile(path)


def _set_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version = {version}")


def test_letters_that_cannot_be_kept_leave_none_of_their_batch(
    kept: DeadLetterFile, path: Path
) -> None:
    kept._connection.execute(
        'CREATE TEMP TRIGGER full BEFORE INSERT ON main.letters WHEN NEW."offset" = 2'
        " BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )

    with pytest.raises(TransientError, match="no room"):
        kept.put([letter(1), letter(2)])

    assert kept.count() == 0
    kept.put([letter(3)])
    with closing(DeadLetterFile(path)) as other:
        assert [one.stored.offset for one in other.letters()] == [3]
