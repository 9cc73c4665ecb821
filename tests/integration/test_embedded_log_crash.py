"""The embedded log under kill -9 and on a disk that is full: real processes, a real small disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cdc.logs.embedded import Config, create
from cdc.protocols import LogContext
from cdc.testing.log_harness import numbers, take
from tests.lab.errors import Unavailable

ROOT = Path(__file__).parents[2]
TOPIC = "shop.numbers"
KILLS = 12
PATIENCE_S = 60.0
SETTINGS = {"segment_bytes": 65536, "compaction_time_share": 0.5, "retention_age_s": None}

# Writes the numbers that follow its checkpoint, in commits of different sizes, until it is killed.
WRITE = """
import itertools, sys
from pathlib import Path
from cdc.checkpoint import Checkpoint
from cdc.event import Record, Topic
from cdc.logs.embedded import Config, create
from cdc.protocols import LogContext

settings = eval(sys.argv[2])
writer = create(Config(**settings), LogContext("shop", Path(sys.argv[1]))).writer("shop")
stored = writer.open()
number = int(stored.parts["position"]) if stored else 0
plain, compacted = Topic("shop.numbers", False), Topic("shop.keys", True)
for step in itertools.count():
    count = 1 + step * 7 % 40
    records = []
    for number in range(number, number + count):
        value = b"value %d" % number
        records.append(Record(plain, None, value, None, (), None, number + 1))
        records.append(Record(compacted, b"%d" % (number % 5), value * 20, None, (), None, 1))
    number += 1
    assert writer.append(records, 1.0)
    assert writer.commit(Checkpoint({"position": b"%d" % number}), 1.0)
"""

# Fills the disk, finds it full, makes room, and goes on.
FILL = """
import sys
from pathlib import Path
from cdc.checkpoint import Checkpoint
from cdc.errors import StorageFull
from cdc.event import Record, Topic
from cdc.logs.embedded import Config, create
from cdc.protocols import LogContext

folder = Path(sys.argv[1])
log = create(Config(segment_bytes=1 << 20), LogContext("shop", folder))
ballast = folder / "ballast"
ballast.write_bytes(bytes(18 << 20))
topic = Topic("shop.numbers", False)
done, refusals = 0, 0
while done < 6000:
    writer = log.writer("shop")
    try:
        stored = writer.open()
        assert done == (int(stored.parts["position"]) if stored else 0), (done, stored)
        while done < 6000:
            records = [
                Record(topic, None, b"value %d" % number + b" " * 1000, None, (), None, 1)
                for number in range(done, done + 100)
            ]
            assert writer.append(records, 1.0)
            assert writer.commit(Checkpoint({"position": b"%d" % (done + 100)}), 1.0)
            done += 100
    except StorageFull as full:
        assert "space" in full.message, full
        refusals += 1
        ballast.unlink()
    finally:
        writer.close()
reader = log.reader([topic.name], None)
found = []
while batch := reader.poll(1000, 0.0):
    found += [int(stored.value.split()[1]) for stored in batch]
reader.close()
assert found == list(range(6000)), len(found)
print("refusals", refusals)
"""


def test_a_killed_writer_leaves_exactly_what_it_committed(tmp_path: Path) -> None:
    log = create(Config.model_validate(SETTINGS), LogContext("shop", tmp_path))
    reader = log.reader([TOPIC], "sink")
    found: list[int] = []

    for _ in range(KILLS):
        before = len(found)
        with _python(WRITE, str(tmp_path), repr(SETTINGS)) as writer:
            while len(found) < before + 300:
                batch = reader.poll(1000, 5.0)
                assert writer.poll() is None
                found += numbers(batch)
                reader.commit(batch)
            writer.kill()
    # A writer killed between its last frame and the shared index leaves a commit that only whoever
    # opens the file next makes valid, as a whole, or not at all: open it before reading the rest.
    last = log.writer("shop")
    stored = last.open()
    assert stored is not None
    position = int(stored.parts["position"] or b"")
    found += numbers(take(reader, position - len(found), PATIENCE_S))
    beyond = take(reader, 1, 0.5)
    reader.close()
    last.close()

    assert beyond == []
    assert list(range(position)) == found
    keys = log.reader(["shop.keys"], None)
    states = {one.key: one.value for one in take(keys, 1_000_000, 5.0)}
    keys.close()
    assert {int(key or b"") for key in states} == set(range(5))
    for key, value in states.items():
        newest = max(number for number in found if number % 5 == int(key or b""))
        assert value == b"value %d" % newest * 20


def test_a_full_disk_is_told_and_left_behind_without_loss(tmp_path: Path) -> None:
    _need_small_disks()
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f'mount -t tmpfs -o size=24m none "{disk}" && exec "$0" -c "$1" "{disk}"'

    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, sys.executable, FILL],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=PATIENCE_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "refusals 1\n"


def _need_small_disks() -> None:
    if shutil.which("unshare") is None:
        raise Unavailable("a private small disk cannot be mounted", "install util-linux")
    tried = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        raise Unavailable("a private small disk cannot be mounted", "allow user namespaces")


def _python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
