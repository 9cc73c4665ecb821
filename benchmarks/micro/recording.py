"""What a real server sent, kept in files, so that single parts can be measured without it.

One recording has the messages of a stream in lots as they were read, the lines of a COPY, and the
structure of the table.
"""

import marshal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.e2e import workload
from cdc.event import RowLayout
from cdc.schema import TableSchema
from cdc.secret import Secret
from connectors.postgres.catalog import describe
from connectors.postgres.connection import Dialer
from connectors.postgres.copy_stream import CopyStream, next_result
from connectors.postgres.decoders import decoder, form
from connectors.postgres.lsn import Lsn
from connectors.postgres.pgoutput import Table
from connectors.postgres.replication import ReplicationConnection
from tests.lab import PostgresServer

SETS: Final = {1: 100_000, 100: 200_000, 10_000: 200_000}
"""Rows a transaction, and how many changes are recorded of each."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Lots of copy data (XLogData and keepalives) of one set, or lines of COPY."""

    schema: TableSchema
    lots: list[list[bytes]]
    events: int

    def table(self) -> Table:
        """What the decoder needs; the key is the replica identity."""
        columns = self.schema.columns
        layout = RowLayout(
            tuple(decoder(column.type) for column in columns),
            tuple(form(column.type) for column in columns),
        )
        known = tuple(place in self.schema.key for place in range(len(columns)))
        return Table(self.schema, layout, known)


def load(folder: Path, name: str, lot_messages: int) -> Recording:
    """The recording of this name: `stream-ROWS` or `copy`, in lots of one size.

    The server of the recording waited for nobody, so that its own lots are small.
    """
    events, recorded = marshal.loads((folder / f"{name}.marshal").read_bytes())
    messages = [message for lot in recorded for message in lot]
    lots = [messages[i : i + lot_messages] for i in range(0, len(messages), lot_messages)]
    schema = TableSchema.from_canonical((folder / "table.json").read_bytes())
    return Recording(schema, lots, events)


def record(folder: Path) -> None:
    """Start a server, write every set, keep what it sends."""
    folder.mkdir(parents=True, exist_ok=True)
    with PostgresServer.start(settings=workload.SETTINGS) as server:
        workload.prepare(server)
        for rows, events in SETS.items():
            changes = workload.write(server, rows, events)
            _save(folder / f"stream-{rows}.marshal", events, _stream(server, changes.end))
            workload.drop_slots(server)
        dialer = _dialer(server)
        connection = dialer.connect()
        [(oid,)] = connection.execute("SELECT 'public.item'::regclass::oid::int8").fetchall()
        schema = describe(connection, [oid])[oid].schema
        (folder / "table.json").write_text(schema.canonical())
        _save(folder / "copy.marshal", SETS[10_000] // 2, _copy(dialer))
        connection.close()


def _save(path: Path, events: int, lots: list[list[bytes]]) -> None:
    path.write_bytes(marshal.dumps((events, lots)))


def _dialer(server: PostgresServer) -> Dialer:
    return Dialer(Secret(server.url(workload.DATABASE)), None, None, 10, "bench")


def _stream(server: PostgresServer, end: str) -> list[list[bytes]]:
    replication = ReplicationConnection(_dialer(server).connect_replication(), 10)
    replication.start(workload.BASE_SLOT, workload.PUBLICATION, Lsn(0))
    lots: list[list[bytes]] = []
    while not (lots and _reaches(lots[-1], Lsn.parse(end))):
        lot = replication.read(1.0)
        if lot:
            lots.append(lot)
    replication.close()
    return lots


def _reaches(lot: list[bytes], end: Lsn) -> bool:
    commits = [data for data in lot if data[25:26] == b"C"]
    return bool(commits) and int.from_bytes(commits[-1][35:43], "big") >= end


def _copy(dialer: Dialer) -> list[list[bytes]]:
    connection = dialer.connect()
    connection.pgconn.send_query(b"COPY public.item TO STDOUT")
    next_result(connection.pgconn, None)
    stream = CopyStream(connection.pgconn, "recording")
    lots: list[list[bytes]] = []
    while not stream.ended:
        lots.append(stream.read(1.0, 1000, 1 << 20))
    connection.close()
    return lots
