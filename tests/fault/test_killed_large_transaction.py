"""The daemon is killed inside a large transaction: while it comes, and while it is written.

The server streams the transaction before its commit, and all but a little of it is in files. Where
the daemon was is judged by those files and by what is in the log at its end; the judges of the
outcome are the statements of the test.
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.integration.command_line import Folder, until
from tests.integration.test_records_without_rows import stored, until_stored, values
from tests.lab.postgres_database import PostgresDatabase

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

# So many that writing them takes seconds, in the compiled form too.
ROWS = 120_000
TOPIC = "shop.public.t"
MEMORY_BYTES = 1 << 16
# Of some 16 MB that the transaction takes.
SPILLED_BYTES = 1 << 20


@pytest.fixture
def folder(postgres_database: PostgresDatabase) -> Iterator[Folder]:
    # Short, because of the Unix socket in it.
    path = Path(mkdtemp(prefix="tw"))
    folder = Folder(path)
    folder.write(
        f"""
name: shop
state_dir: ./state
log: {{type: embedded}}
sources:
  shop:
    type: postgres
    url: "{postgres_database.url}"
    tables: [public.t]
    transaction_memory_bytes: {MEMORY_BYTES}
"""
    )
    yield folder
    shutil.rmtree(path)


def insert(first: int, last: int) -> bytes:
    """Rows whose keys do not follow one another: an order by key would not be theirs."""
    return (
        f"INSERT INTO t SELECT (g * 7919) % 1000003, repeat('x', 100) "
        f"FROM generate_series({first}, {last}) g"
    ).encode()


def spill_files(folder: Folder) -> dict[tuple[str, int], int]:
    """Bytes in files of transactions in progress, by name and time of the last change."""
    found = {}
    path = folder.path / "state" / "sources" / "shop" / "in-progress"
    for file in path.glob("*"):
        # The daemon may remove it meanwhile.
        with suppress(FileNotFoundError):
            state = file.stat()
            found[file.name, state.st_mtime_ns] = state.st_size
    return found


def spilled(folder: Folder) -> int:
    """Bytes in all these files."""
    return sum(spill_files(folder).values())


def test_kills_while_a_large_transaction_comes_and_while_it_is_written_cost_and_repeat_nothing(
    folder: Folder, postgres_database: PostgresDatabase
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        f"ALTER DATABASE {postgres_database.name} SET logical_decoding_work_mem = '64kB'",
    )
    with postgres_database.connect() as writer:
        with folder.start() as daemon:
            daemon.until_phase("shop", "streaming")
            writer.execute("BEGIN")
            writer.execute(insert(1, ROWS // 2))
            until("half of it is in a file", lambda: spilled(folder) > SPILLED_BYTES)
            daemon.kill_all()
        left, written_in_progress = spill_files(folder), len(stored(folder, TOPIC))

        with folder.start() as daemon:
            until(
                "it comes anew",
                lambda: (
                    spilled(folder) > SPILLED_BYTES and not left.keys() & spill_files(folder).keys()
                ),
            )
            # What came before an interruption the server may stream and not abort.
            writer.execute("SAVEPOINT s")
            writer.execute(insert(ROWS + 1, ROWS + 9_000))
            writer.execute("ROLLBACK TO s")
            writer.execute(insert(ROWS // 2 + 1, ROWS))
            writer.execute("COMMIT")
            until_stored(folder, TOPIC, 1)
            daemon.kill_all()
        left_in_replay, written = spilled(folder), len(stored(folder, TOPIC))
    done = folder.cdc("run", "--until-current")

    assert sum(left.values()) > SPILLED_BYTES
    assert written_in_progress == 0
    assert left_in_replay > SPILLED_BYTES
    assert 0 < written < ROWS
    assert done.code == 0, done.err
    expected = [number * 7919 % 1000003 for number in range(1, ROWS + 1)]
    assert expected == [record["after"]["id"] for record in values(folder, TOPIC)]
    assert spill_files(folder) == {}
