"""The daemon is killed while several readers read the snapshot; then everything is compared.

The judges are SQL on the source, SQLite's own client on the sink, and the list of processes.
"""

import json
import os
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.integration.command_line import Daemon, Folder, until
from tests.integration.test_postgres_source_snapshot import SEQUENCE, WRITE
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

ROWS = 15_000


def readers_of(folder: Path) -> list[int]:
    """The processes of readers whose working directory is the folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes()
            if b"cdc.reader" in command and (process / "cwd").resolve() == folder.resolve():
                found.append(int(process.name))
        except (OSError, ValueError):
            continue
    return found


def documents(folder: Path) -> dict[int, tuple[str, int]]:
    """What the sink holds: v and n by id."""
    with closing(sqlite3.connect(folder / "rows.sqlite")) as file:
        rows = file.execute("SELECT document FROM documents WHERE deleted_at_us IS NULL")
        found = [json.loads(document) for (document,) in rows]
    return {row["id"]: (row["v"], row["n"]) for row in found}


def kill(what: str, daemon: Daemon) -> set[int] | None:
    """Kill one while readers read; returns these, or None when there was none to kill."""
    readers = readers_of(daemon.folder.path)
    worker = daemon.worker("shop")
    if not readers or worker is None or worker["pid"] is None:
        return None
    victims = {"reader": readers[-1], "worker": worker["pid"], "daemon": daemon.process.pid}
    os.kill(victims[what], signal.SIGKILL)
    return set(readers)


def none_of(readers: set[int], folder: Path) -> bool:
    """Whether these are gone."""
    return readers.isdisjoint(readers_of(folder))


def test_killed_readers_workers_and_daemons_lose_no_row_of_a_snapshot(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    """Killed as a reader, as the capture and as the whole daemon; nobody outlives its parent."""
    postgres_database.execute(
        SEQUENCE,
        "CREATE TABLE t (id int PRIMARY KEY, v text, n int)",
        f"INSERT INTO t SELECT g, repeat('row ', 50) || g, 0 FROM generate_series(1, {ROWS}) g",
    )
    folder = Folder(tmp_path)
    folder.write(
        f"""
name: shop
state_dir: ./state
log: {{type: embedded}}
sources:
  shop:
    type: postgres
    url: {postgres_database.url}
    tables: [public.t]
    snapshot_readers: 3
    snapshot_chunk_bytes_max: 65536
    snapshot_lot_rows_max: 20
sinks:
  rows: {{type: sqlite, from: [public.t], path: rows.sqlite}}
"""
    )
    with folder.start() as daemon:
        for what in ("reader", "worker", "daemon"):
            gone = until(f"a {what} is killed", partial(kill, what, daemon))
            until("its readers are gone", partial(none_of, gone, tmp_path))
            postgres_database.execute(*WRITE, *WRITE)
    done = folder.cdc("run", "--until-current")

    assert done.code == 0, done.err
    with postgres_database.connect() as judge:
        expected = {row[0]: row[1:] for row in judge.execute("SELECT id, v, n FROM t")}
    assert expected == documents(tmp_path)
    assert len(expected) > ROWS // 2
    assert readers_of(tmp_path) == []
