"""A streaming standby of a lab server, made by the server's own backup functions.

No client program is needed, so that every version can have one.
Source: PostgreSQL manual, Making a Base Backup Using the Low Level API.
"""

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from psycopg import sql

from tests.lab.identity import Account, server_account
from tests.lab.ports import HOST, start_on_free_ports
from tests.lab.postgres import SUPERUSER, PostgresServer
from tests.lab.process import RunFolder

_START = {
    True: "SELECT pg_backup_start('lab', true)",
    False: "SELECT pg_start_backup('lab', true, false)",
}
_STOP = {
    True: "SELECT labelfile FROM pg_backup_stop(false)",
    False: "SELECT labelfile FROM pg_stop_backup(false, false)",
}
# What a backup leaves out: the server's process, and what belongs to this server alone.
_LEFT_OUT = {"postmaster.pid", "postmaster.opts", "pg_internal.init"}
_EMPTIED = {"pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots",
            "pg_stat_tmp", "pg_subtrans"}  # fmt: skip
# So that a promotion after a killed primary takes no five seconds.
_SETTINGS = {"hot_standby_feedback": "on", "wal_retrieve_retry_interval": "100ms"}


def start_standby(
    primary: PostgresServer,
    slot: str = "standby",
    settings: Mapping[str, str] | None = None,
    *,
    conninfo: str = "dbname=postgres",
) -> PostgresServer:
    """Return a standby that streams from `primary` through the physical slot `slot`.

    Makes the slot when it is not there. `settings` go over the primary's; `conninfo` is added to
    primary_conninfo. Raises LabError if it does not start.
    """
    folder = RunFolder("pg", server_account())
    try:
        _copy(primary, folder, slot, conninfo)
        chosen = {**primary.settings, **_SETTINGS, **(settings or {})}
        install = primary.install_for(folder)
        return start_on_free_ports(
            1, lambda ports: PostgresServer(install, folder, ports[0], chosen)
        )
    except BaseException:
        folder.close()
        raise


def _copy(primary: PostgresServer, folder: RunFolder, slot: str, conninfo: str) -> None:
    """A copy of the primary's data that begins as its standby."""
    data = folder.path / "data"
    with contextlib.closing(primary.connect()) as connection:
        connection.execute(
            sql.SQL(
                "SELECT pg_create_physical_replication_slot({slot}, true)"
                " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {slot})"
            ).format(slot=sql.Literal(slot))
        )
        newer = connection.info.server_version >= 150_000
        connection.execute(_START[newer].encode())
        _copy_tree(primary.data_dir, data, folder.account)
        row = connection.execute(_STOP[newer].encode()).fetchone()
        assert row is not None
    source = f"host={HOST} port={primary.port} user={SUPERUSER} {conninfo}"
    _write(data / "backup_label", row[0], folder.account)
    _write(data / "standby.signal", "", folder.account)
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = '{source}'\nprimary_slot_name = '{slot}'\n")


def _copy_tree(source: Path, target: Path, account: Account) -> None:
    target.mkdir(mode=0o700)
    account.own(target)
    with os.scandir(source) as entries:
        for entry in entries:
            copy = target / entry.name
            if entry.name in _LEFT_OUT or entry.name.startswith("pgsql_tmp"):
                continue
            if not entry.is_dir():
                # A server that runs removes files; recovery does not need them.
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(entry.path, copy)
                    copy.chmod(0o600)
                    account.own(copy)
            elif entry.name in _EMPTIED:
                copy.mkdir(mode=0o700)
                account.own(copy)
                if entry.name == "pg_wal":
                    (copy / "archive_status").mkdir(mode=0o700)
                    account.own(copy / "archive_status")
            else:
                _copy_tree(Path(entry.path), copy, account)


def _write(path: Path, text: str, account: Account) -> None:
    path.write_text(text)
    path.chmod(0o600)
    account.own(path)
