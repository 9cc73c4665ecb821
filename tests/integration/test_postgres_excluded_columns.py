"""A column that a transform removes may have any type, in the snapshot and in the stream."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cdc.errors import SchemaError
from connectors.postgres import create
from tests.integration import odd_type
from tests.integration.postgres_capture import Capture
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres


@pytest.fixture
def capture(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[Capture]:
    postgres_database.execute(
        odd_type.MAKE,
        "CREATE TABLE t (id int PRIMARY KEY, place odd_place)",
        "INSERT INTO t VALUES (1, 'x')",
        odd_type.SPOIL,
    )
    made = Capture(postgres_database.url, tmp_path)
    yield made
    made.close()


def test_column_of_an_unsupported_type_is_refused_by_name(capture: Capture) -> None:
    with pytest.raises(SchemaError, match=r"public\.t\.place \(public\.odd_place\)"):
        capture.start()


def test_excluded_column_keeps_nothing_from_being_captured(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    capture.context = replace(capture.context, excluded_columns=(("public.*", "place"),))
    capture.source = create(capture.config, capture.context)
    capture.start()
    capture.until_streaming()

    postgres_database.execute("INSERT INTO t VALUES (2, 'x')")
    capture.until_current()

    rows = [(event.op, event.after[0]) for event in capture.events if event.after is not None]
    assert rows == [("r", 1), ("c", 2)]
