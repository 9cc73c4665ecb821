"""Every major version that we name: snapshot, stream, a column added, a crash, the doctor."""

from pathlib import Path

import pytest

from tests.integration.postgres_capture import Capture, rows_in
from tests.lab import PostgresDatabase, PostgresServer

pytestmark = pytest.mark.postgres

COLUMNS = "id, name, price::text, made::text, tags, active"
TABLE = (
    "CREATE TABLE product (id int PRIMARY KEY, name text, price numeric(8,2), made date, "
    "tags text[], active boolean)"
)


@pytest.mark.parametrize("version", ["14", "15", "16", "17", "18"])
def test_snapshot_and_stream_equal_the_table(version: str, tmp_path: Path) -> None:
    with PostgresServer.start(version) as server, PostgresDatabase(server) as database:
        database.execute(
            TABLE,
            "INSERT INTO product SELECT i, repeat('long ', 2000), i / 3.0, '2026-11-23', "
            "array['a', NULL, '\"b\"'], i % 2 = 0 FROM generate_series(1, 50) AS i",
        )
        with Capture(database.url, tmp_path) as capture:
            capture.until_streaming()
            database.execute(
                "UPDATE product SET price = price + 1 WHERE id <= 20",
                "UPDATE product SET id = id + 100 WHERE id <= 3",
                "DELETE FROM product WHERE id BETWEEN 30 AND 35",
            )
            capture.until_current()
            database.execute("INSERT INTO product VALUES (60, 'while it was down', 1, NULL)")
            capture.restart()
            database.execute(
                "ALTER TABLE product ADD COLUMN rating int",
                "UPDATE product SET rating = 5 WHERE id = 60",
            )
            capture.until_current()
            findings = capture.source.check()
            state = capture.state()["public.product"]
            expected = rows_in(database, f"SELECT {COLUMNS}, made - '1970-01-01' FROM product")

    assert not [finding for finding in findings if finding.severity == "error"]
    assert expected.keys() == state.keys()
    for key, (id_, name, price, _, tags, active, days) in expected.items():
        assert tags is None or isinstance(tags, list)
        assert (id_, name, price, days, tags and tuple(tags), active) == state[key][:6]
    assert state[60,][6] == 5


def test_version_before_14_is_an_error_of_the_doctor(tmp_path: Path) -> None:
    with PostgresServer.start("13") as server, PostgresDatabase(server) as database:
        database.execute(TABLE)
        capture = Capture(database.url, tmp_path)

        errors = [each for each in capture.source.check() if each.severity == "error"]

        capture.source.close()

    assert [(e.code, e.fix) for e in errors] == [("server-version", "Upgrade the server.")]
    assert "14 or later is needed" in errors[0].message
