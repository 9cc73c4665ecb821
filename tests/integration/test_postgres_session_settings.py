"""What role and database set for their sessions changes no byte and ends no snapshot."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.event import RawRow
from tests.integration.postgres_capture import Capture
from tests.lab.postgres import PostgresServer
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

TABLE = """
CREATE TABLE t (
    id int PRIMARY KEY, d date, ts timestamp, tz timestamptz, tt timetz, i interval, b bytea,
    f4 real, f8 float8, n numeric, m money, x xml, s text, a timestamptz[], r tstzrange, ba bytea[]
)
"""
# Built under plain settings, so that the stored values are the same both times.
ROW = """
INSERT INTO t SELECT {id}, DATE '2026-02-03', TIMESTAMP '2026-02-03 04:05:06.7',
    TIMESTAMPTZ '2026-02-03 04:05:06.7+00', TIMETZ '04:05:06+03', INTERVAL '-1 mon 2 days 3:04:05',
    decode('005c27ff', 'hex'), 0.1::real, 0.1::float8 + 0.2, 1.50, 1234.5::numeric::money,
    '<a>1</a><b/>'::xml, E'a\\\\b''c', ARRAY[TIMESTAMPTZ '2026-02-03 04:05+00'],
    tstzrange('2026-02-03 04:05+00', NULL), ARRAY[decode('ff5c', 'hex')]
"""
# Whatever is not asked for by its full name is somebody else's.
TRAP = (
    "CREATE SCHEMA trap",
    (
        "CREATE FUNCTION trap.boom(int4, int4) RETURNS bool LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'trapped'; END $$"
    ),
    "CREATE OPERATOR trap.= (LEFTARG = int4, RIGHTARG = int4, FUNCTION = trap.boom)",
    (
        "CREATE FUNCTION trap.current_setting(text) RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'trapped'; END $$"
    ),
    (
        "CREATE FUNCTION trap.pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'trapped'; END $$"
    ),
    "CREATE DOMAIN trap.text AS pg_catalog.int4",
    "CREATE DOMAIN trap.int8 AS pg_catalog.text CHECK (false)",
    "CREATE VIEW trap.pg_class AS SELECT 1 AS nothing",
    "CREATE VIEW trap.pg_replication_slots AS SELECT 1 AS nothing",
    "GRANT USAGE ON SCHEMA trap TO public",
    "GRANT SELECT ON ALL TABLES IN SCHEMA trap TO public",
)
HOSTILE = {
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "TimeZone": "'Asia/Kathmandu'",
    "search_path": "trap, pg_catalog, public",
    "statement_timeout": "'100ms'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'100ms'",
    "idle_session_timeout": "'100ms'",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "row_security": "off",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "escape_string_warning": "on",
    "quote_all_identifiers": "on",
    "xmlbinary": "hex",
    "xmloption": "document",
    "client_min_messages": "debug1",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "application_name": "'somebody else'",
    "work_mem": "'64kB'",
    "default_toast_compression": "pglz",
    "vacuum_freeze_min_age": "0",
}
# Long enough for COPY to wait for its reader.
MANY = "INSERT INTO big SELECT i, repeat('x', 200) FROM generate_series(1, 60000) i"


class Patient:
    """A database with a row of every touchy type, and a role that captures it."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        self.role, password = database.create_role()
        self.url = database.url_of(self.role, password)
        database.execute(
            TABLE,
            "CREATE TABLE big (id int PRIMARY KEY, v text)",
            ROW.format(id=1),
            f"GRANT SELECT ON t, big TO {self.role}",
            "CREATE PUBLICATION cdc_plain_shop FOR TABLE t",
            "CREATE PUBLICATION cdc_set_shop FOR TABLE t, big",
            *TRAP,
        )

    def set(self, settings: dict[str, str]) -> None:
        """Half of them by the role, half by the database, some by both."""
        statements = []
        for index, (name, value) in enumerate(settings.items()):
            if index % 3 != 0:
                statements.append(f"ALTER DATABASE {self.database.name} SET {name} = {value}")
            if index % 3 != 1:
                statements.append(f"ALTER ROLE {self.role} SET {name} = {value}")
        # In one session: the next one is under the settings of the database.
        with self.database.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def insert(self, number: int) -> None:
        """One more row; under plain settings, whatever the database says."""
        with self.database.connect() as connection:
            connection.execute("SET search_path = public, pg_catalog")
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("SET standard_conforming_strings = on")
            connection.execute("SET xmloption = content")
            connection.execute("SET IntervalStyle = postgres")
            connection.execute("SET lock_timeout = 0")
            connection.execute(ROW.format(id=number).encode())

    def captured(self, pipeline: str, folder: Path) -> list[tuple[object, ...]]:
        """The bytes of a row from the snapshot and of one from the stream, without their keys."""
        capture = Capture(self.url, folder, pipeline=pipeline, tables=["public.t"])
        with capture:
            capture.until_streaming()
            self.insert(len(capture.events) + 1)
            capture.until_current()
        rows = [event.after for event in capture.events]
        assert {"r", "c"} == {event.op for event in capture.events}
        assert all(isinstance(row, RawRow) for row in rows)
        return [tuple(row.raw)[1:] for row in rows if isinstance(row, RawRow)]


@pytest.fixture
def patient(postgres_database: PostgresDatabase) -> Iterator[Patient]:
    patient = Patient(postgres_database)
    yield patient
    with postgres_database.server.connect() as connection:
        connection.execute(f"ALTER DATABASE {postgres_database.name} RESET ALL".encode())
    postgres_database.execute(f"DROP OWNED BY {patient.role}")


def test_settings_of_role_and_database_change_no_byte(patient: Patient, tmp_path: Path) -> None:
    plain = patient.captured("plain", tmp_path)

    patient.set(HOSTILE)
    hostile = patient.captured("set", tmp_path)

    assert {plain[0]} == set(plain) | set(hostile)


def read_slowly(patient: Patient, folder: Path) -> int:
    """How many rows of the big table arrive when the reader pauses beyond every time-out."""
    with Capture(patient.url, folder, pipeline="set", tables=["public.big"]) as capture:
        capture.until(lambda: bool(capture.events))
        with patient.database.server.connect() as other:
            other.execute("SELECT pg_sleep(0.4)")
        capture.until_streaming()
    return len(capture.events)


def test_snapshot_outlives_the_time_outs_of_role_and_database(
    patient: Patient, tmp_path: Path
) -> None:
    patient.database.execute(MANY)
    patient.set({name: value for name, value in HOSTILE.items() if "timeout" in name})

    assert read_slowly(patient, tmp_path) == 60_000


@pytest.mark.longer
@pytest.mark.parametrize("version", ["14", "16", "17", "18"])
def test_settings_change_nothing_on_other_versions(version: str, tmp_path: Path) -> None:
    with PostgresServer.start(version) as server, PostgresDatabase(server) as database:
        patient = Patient(database)
        plain = patient.captured("plain", tmp_path)
        database.execute(MANY)
        newer = {"transaction_timeout": "'100ms'"} if int(version) >= 17 else {}
        patient.set(HOSTILE | newer)

        assert {plain[0]} == set(patient.captured("set", tmp_path))
        patient.insert(99)
        assert read_slowly(patient, tmp_path / "slow") == 60_000
        with server.connect() as connection:
            connection.execute(f"ALTER DATABASE {database.name} RESET ALL".encode())
        database.execute(f"DROP OWNED BY {patient.role}")
