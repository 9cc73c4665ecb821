"""Runs the SQL of a recorded run on a real Postgres and captures it with Tidewire."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from cdc.chain import Chain
from cdc.checkpoint import Checkpoint
from cdc.event import Record
from cdc.protocols import MarkCurrent, Source, SourceContext
from cdc.rowless import heartbeat_event, rowless_table
from cdc.secret import Secret
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from connectors.postgres import Config, create
from tests.conformance.goldens import Golden, changes_script, setup_script, side_of
from tests.conformance.known import NOT_CAPTURED
from tests.conformance.options import Run
from tests.lab.errors import Unavailable
from tests.lab.postgres_database import PostgresDatabase

TIMEOUT_S = 60.0
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\$\$.*?\$\$|;|[^'\"$;]+|\$", re.DOTALL)


def statements(text: str) -> Iterator[str]:
    """The statements of a script, which were run one transaction each."""
    statement = ""
    for token in _TOKEN.findall(text):
        if token != ";":
            statement += token
            continue
        yield statement
        statement = ""
    assert not statement.strip()


def pauses(text: str) -> list[list[str]]:
    """The statements of a script between its pauses, in which Debezium read what was done."""
    parts: list[list[str]] = [[]]
    for statement in statements(text):
        if "pg_sleep" in statement:
            parts.append([])
        else:
            parts[-1].append(statement)
    return parts


def require_features(database: PostgresDatabase, text: str) -> None:
    """Raise Unavailable when the script uses extensions or types that this server does not have."""
    wanted = set(re.findall(r"create extension (\w+)", text))
    with database.connect() as connection:
        rows = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
        version = connection.info.server_version
    missing = sorted(wanted - {row[0] for row in rows})
    if missing:
        names = ", ".join(missing)
        raise Unavailable(f"this PostgreSQL lacks {names}", "install its contrib modules")
    if version < 150_000 and re.search(r"numeric\(\d+,-", text):
        raise Unavailable("negative scales came with PostgreSQL 15", "use a newer PostgreSQL")


def captured(
    database: PostgresDatabase,
    scenario: str,
    run: Run,
    folder: Path,
) -> list[Golden]:
    """What Tidewire writes for a scenario, in order; the `cdc` header is left out."""
    setup = setup_script(scenario)
    require_features(database, setup)
    with database.connect() as connection:
        for statement in statements(setup + "create table zz_done (id int primary key);"):
            connection.execute(statement.encode())
        # As Debezium makes it; Tidewire's own would refuse tables without replica identity.
        connection.execute(b"create publication acme_pub for all tables")
    source = create(
        Config(
            url=Secret(database.url),
            tables=("*.*",),
            exclude_tables=(*NOT_CAPTURED, *run.exclude_tables),
            publication="acme_pub",
            create_publication=False,
        ),
        SourceContext(
            "conformance",
            "depot",
            "acme",
            folder,
            described_columns=run.options.propagate_source_types,
            transaction_metadata=run.transaction_metadata,
        ),
    )
    try:
        records = _run(source, database, scenario, run)
    finally:
        source.close()
    return [_golden(record, offset) for offset, record in enumerate(records)]


def _run(
    source: Source,
    database: PostgresDatabase,
    scenario: str,
    run: Run,
) -> list[Record]:
    identity = SourceIdentity("postgresql", "acme", "tidewire")
    serializer = DebeziumJson(
        identity, run.options, None, compacts=False, pipeline="conformance", clock_us=_clock_us
    )
    chain = Chain([run.operations])
    checkpoint = Checkpoint()
    records: list[Record] = []
    if run.heartbeat:
        # The capture loop makes them at its intervals; one shows what they are.
        records += serializer.encode([heartbeat_event(rowless_table(""))])
    # The first pause lets the source look at the tables that are there.
    parts = [[], *pauses(changes_script(scenario) + "insert into zz_done values (1);")]
    passed, streams = True, False
    assert source.acquire(5.0)
    source.start(None)
    deadline = time.monotonic() + TIMEOUT_S
    while not any(record.topic.name == "acme.public.zz_done" for record in records):
        assert time.monotonic() < deadline, "the changes did not arrive in time"
        source.keepalive()
        batch = source.poll(0.1)
        if batch is not None:
            # A renamed table is read under its new name (known.py: renamed-tables).
            events = [event for event in batch.events if event.op != "r" or not streams]
            records += serializer.encode(chain.apply(events))
            checkpoint = checkpoint.merged(batch.checkpoint)
            passed = passed or bool(batch.marks)
            if batch.ackable is not None:
                source.ack(batch.ackable)
        streams = streams or source.progress().phase == "streaming"
        if parts and passed and streams:
            with database.connect() as connection:
                for statement in parts.pop(0):
                    connection.execute(statement.encode())
            passed = False
            source.command(MarkCurrent(f"before {len(parts)} more"))
    return [record for record in records if not record.topic.internal]


def _clock_us() -> int:
    return time.time_ns() // 1000


def _golden(record: Record, offset: int) -> Golden:
    headers = tuple((name, text.decode()) for name, text in record.headers)
    return Golden(record.topic.name, offset, headers, side_of(record.key), side_of(record.value))
