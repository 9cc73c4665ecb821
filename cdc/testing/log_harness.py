"""What the log contract needs from a log, which logs there are, and words for its tests."""

import pkgutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from cdc.checkpoint import Checkpoint
from cdc.event import Record, Stored, Topic
from cdc.protocols import Log, LogReader, LogWriter

MARK: Final = b".0123456789abcdef"
STEP_S: Final = 0.5


class LogHarness(Protocol):
    """An empty log for one test."""

    waivers: Mapping[str, str]
    """Claims (names of tests) that do not hold for this log, each with the reason."""

    prefix: str
    """What the names of this test's topics must begin with."""

    patience_s: float
    """How long what must happen may take."""

    def make(self) -> Log:
        """The log as another process of the same pipeline would make it."""
        ...


def logs_of(package: Path) -> list[str]:
    """The logs in a package's folder: its modules and packages that have `create`."""
    found: list[str] = []
    for module in pkgutil.iter_modules([str(package)]):
        file = package / f"{module.name}.py"
        file = file if file.exists() else package / module.name / "__init__.py"
        if "\ndef create(" in file.read_text("utf-8"):
            found.append(module.name)
    return found


def record(topic: Topic, number: int, key: bytes | None = b"k") -> Record:
    """A record whose value says its number."""
    return Record(topic, key, b"value %d" % number, MARK, sequence=number + 1)


def numbers(stored: Iterable[Stored]) -> list[int]:
    """The numbers of records made by `record`, in order."""
    return [int((one.value or b"").removeprefix(b"value ")) for one in stored]


def append(writer: LogWriter, records: Sequence[Record], patience_s: float) -> None:
    """Append all of them, calling again as the contract says."""
    deadline_s = time.monotonic() + patience_s
    while not writer.append(records, STEP_S):
        assert time.monotonic() < deadline_s, "append is not done in time"


def commit(writer: LogWriter, parts: Mapping[str, bytes | None], patience_s: float) -> None:
    """Commit, calling again as the contract says."""
    deadline_s = time.monotonic() + patience_s
    checkpoint = Checkpoint(parts)
    while not writer.commit(checkpoint, STEP_S):
        assert time.monotonic() < deadline_s, "commit is not done in time"


def write(writer: LogWriter, records: Sequence[Record], patience_s: float) -> None:
    """Append and commit."""
    append(writer, records, patience_s)
    commit(writer, {"position": b"written"}, patience_s)


def take(reader: LogReader, count: int, patience_s: float) -> list[Stored]:
    """Poll until there are `count` records, or nothing has come for as long as patience lasts."""
    found: list[Stored] = []
    deadline_s = time.monotonic() + patience_s
    while len(found) < count and time.monotonic() < deadline_s:
        found += reader.poll(count - len(found), STEP_S)
    return found


def until(condition: Callable[[], bool], patience_s: float, what: str) -> None:
    """Ask again until the condition holds; conditions wait in what they ask."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not in time: {what}"
