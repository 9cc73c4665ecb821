"""What is as large as PostgreSQL takes it: columns, values, digits."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from cdc.event import UNCHANGED, ChangeEvent
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from tests.integration.postgres_capture import Unencoded
from tests.lab import PostgresDatabase

pytestmark = pytest.mark.postgres

# MaxHeapAttributeNumber of src/include/access/htup_details.h.
COLUMNS_MAX = 1600
LARGE_BYTES = 50 << 20


def records_of(events: Sequence[ChangeEvent]) -> list[bytes]:
    serializer = DebeziumJson(
        SourceIdentity("postgresql", "shop", "test"),
        Options(),
        None,
        compacts=False,
        pipeline="p",
        clock_us=lambda: 0,
    )
    records = [record for record in serializer.encode(events) if not record.topic.internal]
    return [record.value for record in records if record.value is not None]


def test_table_of_as_many_columns_as_there_can_be(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    columns = ", ".join(f"c{number} int" for number in range(1, COLUMNS_MAX))
    numbers = ", ".join(str(number) for number in range(1, COLUMNS_MAX))
    postgres_database.execute(
        f"CREATE TABLE wide (c0 int PRIMARY KEY, {columns})",
        f"INSERT INTO wide VALUES (-1, {numbers})",
    )

    with Unencoded(postgres_database.url, tmp_path) as capture:
        capture.until_streaming()
        postgres_database.execute(
            f"INSERT INTO wide VALUES (-2, {numbers})",
            "UPDATE wide SET c1599 = NULL WHERE c0 = -2",
        )
        capture.until_current()

    expected = list(range(1, COLUMNS_MAX))
    rows = [list(event.after or ()) for event in capture.events]
    assert [[-1, *expected], [-2, *expected], [-2, *expected[:-1], None]] == rows
    assert len(records_of(capture.events)) == 3


def test_numerics_of_as_many_digits_as_there_can_be(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    # Source: PostgreSQL manual, Numeric Types: 131072 digits before the point, 16383 behind it.
    values = ["9" * 131_072, "-0." + "7" * 16_383]
    postgres_database.execute("CREATE TABLE numbers (id int PRIMARY KEY, n numeric)")
    insert = "INSERT INTO numbers VALUES (%s, %s::text::numeric)"
    with postgres_database.connect() as connection:
        connection.execute(insert, (1, values[0]))
        with Unencoded(postgres_database.url, tmp_path) as capture:
            capture.until_streaming()
            connection.execute(insert, (2, values[1]))
            connection.execute(insert, (3, values[0]))
            capture.until_current()

    assert [event.after[1] for event in capture.events if event.after] == [*values, values[0]]
    texts = records_of(capture.events)
    assert members_of(texts[0]) == members_of(texts[2])


def members_of(record: bytes) -> bytes:
    """The value of the column `n`, as text."""
    return record.partition(b'"n":')[2].partition(b"}}")[0]


@pytest.mark.longer
@pytest.mark.parametrize("type_text", ["text", "bytea", "jsonb"])
def test_values_of_50_mb_go_through_snapshot_and_stream_in_bounded_memory(
    type_text: str, postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    made = {
        "text": f"repeat('0123456789abcdef', {LARGE_BYTES // 16})",
        "bytea": f"decode(repeat('00ff5c27', {LARGE_BYTES // 4}), 'hex')",
        "jsonb": f"jsonb_build_object('a', repeat('0123456789abcdef', {LARGE_BYTES // 16}))",
    }[type_text]
    rows = 6
    postgres_database.execute(
        f"CREATE TABLE large (id int PRIMARY KEY, small int, v {type_text})",
        f"INSERT INTO large SELECT i, 0, {made} FROM generate_series(1, {rows}) i",
    )

    before_mb = memory_mb("VmRSS")
    # Source: proc(5): 5 makes the peak what is in use now.
    Path("/proc/self/clear_refs").write_text("5")
    digests: list[str] = []
    unchanged = 0
    with Unencoded(postgres_database.url, tmp_path) as capture:
        streaming = False
        while len(digests) < 2 * rows or not unchanged:
            batch = capture.poll()
            if not streaming and capture.source.progress().phase == "streaming":
                streaming = True
                postgres_database.execute(
                    f"INSERT INTO large SELECT i, 0, {made} "
                    f"FROM generate_series({rows + 1}, {2 * rows}) i",
                    "UPDATE large SET small = 1 WHERE id = 1",
                )
            for event in batch.events if batch else ():
                assert event.after is not None
                if event.after[2] is UNCHANGED:
                    unchanged += 1
                    continue
                (text,) = records_of([event])
                value = text.partition(b'"v":')[2].partition(b',"source"')[0]
                digests.append(hashlib.sha256(value).hexdigest())
            # The capture keeps what it saw for other tests: here that would be the memory measured.
            capture.events.clear()
            capture.batches.clear()
    used_mb = memory_mb("VmHWM") - before_mb

    assert len(set(digests)) == 1
    assert len(digests) == 2 * rows
    # Two rows are held at a time, each as received (a bytea in hexadecimal), decoded, encoded and
    # in the record: copies of two rows, where twelve passed.
    assert used_mb < (1200 if type_text == "bytea" else 700)


def memory_mb(name: str) -> int:
    """A number of this process, as /proc/self/status shows it in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) // 1024
