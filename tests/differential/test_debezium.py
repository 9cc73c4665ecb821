"""Tidewire's records beside those of a real Debezium on the same database, as text.

Streamed changes come from the same write-ahead log, so their positions, transactions and times are
equal too; only the clocks of the two and what belongs to each one's own slot are not.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.compare import Difference, Mask, data_collections, differences
from tests.conformance.goldens import Golden
from tests.conformance.known import KNOWN, Known
from tests.differential.beside import Beside
from tests.differential.workload import (
    DDL,
    DDL_SETUP,
    IDENTITIES,
    IDENTITIES_SETUP,
    RANDOM_ROWS,
    TRANSACTIONS,
    TRANSACTIONS_SETUP,
    TYPES_SETUP,
)
from tests.lab.debezium import DebeziumServer
from tests.lab.kafka import KafkaServer
from tests.lab.postgres_database import PostgresDatabase

pytestmark = [
    pytest.mark.longer,
    pytest.mark.postgres,
    pytest.mark.kafka,
    pytest.mark.timeout(600),
]

OF_EACH_CLOCK = {"ts_ms", "ts_us", "ts_ns"}
OF_EACH_SLOT = {"source.lsn", "source.sequence", "source.txId"}

# What is known of the live comparison alone; the page of differences has these cases.
KNOWN_HERE = (
    Known("first-marker", "source.snapshot", '"first_in_data_collection"', '"first"'),
    Known("enum-labels", "schema.*.m", '*"a,b"*', '*"a,b,c"*', "public.ev_enum"),
    Known("messages-outside-transactions", "source.ts_*", topic="message"),
)


@pytest.fixture
def beside(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[Beside]:
    with (
        KafkaServer.start({"auto.create.topics.enable": "true"}) as kafka,
        DebeziumServer.start(kafka.bootstrap_servers) as debezium,
    ):
        both = Beside(postgres_database, debezium, kafka, tmp_path)
        try:
            yield both
        finally:
            both.close()


def mask_of(record: Golden) -> Mask:
    """Makes equal what is each one's own in such a record, and nothing else."""
    snapshot = record.value is not None and '"snapshot":"false"' not in record.value.payload
    of_rows = record.value is not None and '"source":{' in record.value.payload

    def mask(path: str, text: str) -> str:
        of_a_snapshot = of_rows and snapshot and path.startswith("source.")
        heartbeat = record.topic.startswith("__debezium-heartbeat")
        clock = path in OF_EACH_CLOCK and (of_rows or heartbeat)
        if clock or (of_a_snapshot and (path[7:] in OF_EACH_CLOCK or path in OF_EACH_SLOT)):
            return re.sub(r"\d+", "0", text)
        return data_collections(text) if path == "data_collections" and text != "null" else text

    return mask


def unexplained(beside: Beside) -> list[str]:
    """The differences that no case explains, of all topics, as text."""
    theirs, ours = beside.records()
    assert {t: len(r) for t, r in sorted(theirs.items())} == {
        t: len(r) for t, r in sorted(ours.items())
    }
    return [
        told(difference)
        for topic, found in theirs.items()
        for debezium, tidewire in zip(found, ours[topic], strict=True)
        for difference in differences(debezium, tidewire, mask_of(debezium))
        if not any(known.fits(difference) for known in (*KNOWN, *KNOWN_HERE))
        and not is_rounding(difference)
    ]


def told(difference: Difference) -> str:
    where = f"{difference.topic} {difference.offset} {difference.path}"
    return f"{where}: {difference.debezium} and not {difference.tidewire}"


def is_rounding(difference: Difference) -> bool:
    """Whether Debezium's sum of an interval lost its last microsecond in a double."""
    if difference.path not in {"before.iv", "after.iv"}:
        return False
    return abs(int(difference.debezium) - int(difference.tidewire)) == 1


def test_values_of_every_type_are_equal(beside: Beside) -> None:
    beside.start({}, TYPES_SETUP)

    for statement in RANDOM_ROWS:
        beside.step(statement)

    assert unexplained(beside) == []


def test_keys_identities_large_values_and_truncates_are_equal(beside: Beside) -> None:
    beside.start({}, IDENTITIES_SETUP)

    for statement in IDENTITIES:
        beside.step(statement)

    assert unexplained(beside) == []


def test_structures_are_equal_as_they_change(beside: Beside) -> None:
    beside.start({}, DDL_SETUP)

    for statement in DDL:
        beside.step(statement)

    assert unexplained(beside) == []


def test_transactions_messages_and_heartbeats_are_equal(beside: Beside) -> None:
    beside.start(
        {"provide.transaction.metadata": "true", "heartbeat.interval.ms": "500"},
        TRANSACTIONS_SETUP,
    )

    for statement in TRANSACTIONS:
        beside.step(statement)
    beside.heartbeats()

    assert unexplained(beside) == []
