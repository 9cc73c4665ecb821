"""The doctor against a real server: each precondition taken away gives a finding that names it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cdc.protocols import Finding, SourceContext
from cdc.secret import Secret
from connectors.postgres.config import Config
from connectors.postgres.doctor import check
from tests.integration import odd_type
from tests.lab import PostgresDatabase, PostgresServer

pytestmark = pytest.mark.postgres


class Patient:
    """A role that has exactly the documented rights, and a publication made by an administrator."""

    def __init__(self, database: PostgresDatabase, tmp_path: Path) -> None:
        self.database = database
        self.role, self.password = database.create_role("LOGIN REPLICATION")
        self.context = SourceContext("pipe", "source", "source", tmp_path)
        database.execute(
            "CREATE SCHEMA shop",
            "CREATE TABLE shop.orders (id int PRIMARY KEY, amount int)",
            f"GRANT CONNECT ON DATABASE {database.name} TO {self.role}",
            f"REVOKE CONNECT ON DATABASE {database.name} FROM public",
            f"GRANT USAGE ON SCHEMA shop TO {self.role}",
            f"GRANT SELECT ON shop.orders TO {self.role}",
            "CREATE PUBLICATION cdc_pipe_source FOR TABLE shop.orders",
        )

    def config(self, **changes: object) -> Config:
        url = self.database.url_of(self.role, self.password)
        given: dict[str, object] = {"url": Secret(url), "tables": ("shop.*",)}
        return Config.model_validate(given | changes)

    def findings(self, **changes: object) -> list[Finding]:
        return check(self.config(**changes), self.context)

    def problems(self, **changes: object) -> dict[str, Finding]:
        """What is an error by code; the shared server's own settings give only warnings."""
        return {
            finding.code: finding
            for finding in self.findings(**changes)
            if finding.severity == "error"
        }

    def mend(self, finding: Finding) -> None:
        self.database.execute(finding.fix)


@pytest.fixture
def patient(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[Patient]:
    patient = Patient(postgres_database, tmp_path)
    yield patient
    # The role cannot be dropped while the database grants it something.
    postgres_database.execute(
        f"DROP OWNED BY {patient.role}",
        f"GRANT CONNECT ON DATABASE {postgres_database.name} TO public",
    )


def test_documented_rights_are_enough(patient: Patient) -> None:
    findings = patient.findings()

    assert [finding for finding in findings if finding.severity == "error"] == []
    assert {
        "connection", "server-version", "wal-level", "replication-slots-left", "wal-senders-left",
        "tables", "table-rights", "keys", "types", "slot", "publication", "replication-right",
        "replication-connection",
    } <= {finding.code for finding in findings if finding.severity == "ok"}  # fmt: skip
    assert all(finding.fix for finding in findings if finding.severity != "ok")


def test_check_changes_nothing(patient: Patient) -> None:
    def state() -> object:
        with patient.database.connect() as connection:
            return connection.execute(
                "SELECT (SELECT count(*) FROM pg_replication_slots s"
                " WHERE s.database = current_database()),"
                " (SELECT json_agg(p) FROM pg_publication p),"
                " (SELECT json_agg(t) FROM pg_publication_tables t)"
            ).fetchone()

    before = state()
    patient.findings()

    assert before == state()


@pytest.mark.parametrize(
    ("revoke", "code", "names"),
    [
        ("REVOKE USAGE ON SCHEMA shop FROM {role}", "schema-usage", "USAGE on schema shop"),
        ("REVOKE SELECT ON shop.orders FROM {role}", "table-select", "SELECT on shop.orders"),
        ("ALTER ROLE {role} NOREPLICATION", "replication-right", "may not replicate"),
        (
            "ALTER PUBLICATION cdc_pipe_source DROP TABLE shop.orders",
            "publication-tables",
            "lacks shop.orders",
        ),
        (
            "ALTER PUBLICATION cdc_pipe_source SET (publish = 'insert, update')",
            "publication-operations",
            "delete, truncate",
        ),
        ("ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY", "row-security", "shop.orders"),
        ("ALTER TABLE shop.orders REPLICA IDENTITY NOTHING", "replica-identity", "NOTHING"),
    ],
)
def test_right_taken_away_is_named_and_its_fix_mends_it(
    patient: Patient, revoke: str, code: str, names: str
) -> None:
    patient.database.execute(revoke.format(role=patient.role))

    problems = patient.problems()

    assert [code] == list(problems)
    assert names in problems[code].message
    patient.mend(problems[code])
    assert patient.problems() == {}


def test_missing_connect_is_named_with_its_grant(patient: Patient) -> None:
    name = patient.database.name
    patient.database.execute(f"REVOKE CONNECT ON DATABASE {name} FROM {patient.role}")

    problems = patient.problems()

    assert list(problems) == ["connection"]
    assert "permission denied for database" in problems["connection"].message
    assert problems["connection"].fix == (
        f'GRANT CONNECT ON DATABASE "{name}" TO "{patient.role}";'
    )


def test_wrong_password_is_said_without_the_password(patient: Patient) -> None:
    url = patient.database.url_of(patient.role, "wrong-secret")

    problems = patient.problems(url=Secret(url))

    assert "password authentication failed" in problems["connection"].message
    assert "wrong-secret" not in str(problems)


def test_publication_can_be_made_only_with_create_and_ownership(patient: Patient) -> None:
    patient.database.execute("DROP PUBLICATION cdc_pipe_source")

    found = [finding for finding in patient.findings() if finding.severity == "error"]

    assert [finding.code for finding in found] == ["publication-right", "publication-right"]
    assert f'GRANT CREATE ON DATABASE "{patient.database.name}"' in found[0].fix
    assert "shop.orders" in found[1].message
    patient.database.execute(found[1].fix.partition("run: ")[2])
    assert patient.problems() == {}


def test_owner_with_create_makes_the_publication_itself(patient: Patient) -> None:
    patient.database.execute(
        "DROP PUBLICATION cdc_pipe_source",
        f"GRANT CREATE ON DATABASE {patient.database.name} TO {patient.role}",
        f"ALTER TABLE shop.orders OWNER TO {patient.role}",
    )

    assert patient.problems() == {}


def test_publication_that_narrows_a_table_is_told(patient: Patient) -> None:
    if int(patient.database.server.version.split(".")[0]) < 15:
        pytest.skip("row filters came with version 15")
    patient.database.execute(
        "ALTER PUBLICATION cdc_pipe_source SET TABLE shop.orders WHERE (amount > 5)"
    )

    assert patient.problems() == {}
    assert "publication-narrowed" in {finding.code for finding in patient.findings()}


def test_every_problem_is_found_at_once(patient: Patient) -> None:
    patient.database.execute(
        odd_type.MAKE,
        f"REVOKE USAGE ON SCHEMA shop FROM {patient.role}",
        f"ALTER ROLE {patient.role} NOREPLICATION",
        "DROP PUBLICATION cdc_pipe_source",
        "CREATE TABLE shop.odd (place public.odd_place)",
        odd_type.SPOIL,
    )

    problems = patient.problems(tables=("shop.*", "shop.order"), create_slot=False)

    assert {
        "schema-usage", "table-select", "replication-right", "publication-right", "slot",
        "unsupported-type", "replica-identity", "table-not-found",
    } == set(problems)  # fmt: skip
    assert "did you mean shop.orders?" in problems["table-not-found"].message
    assert "place (public.odd_place)" in problems["unsupported-type"].message


def test_excluded_column_may_have_any_type(patient: Patient) -> None:
    patient.database.execute(
        odd_type.MAKE, "ALTER TABLE shop.orders ADD place public.odd_place", odd_type.SPOIL
    )
    assert "unsupported-type" in patient.problems()

    patient.context = SourceContext(
        "pipe", "source", "source", patient.context.state_dir, (("shop.*", "place"),)
    )

    assert patient.problems() == {}


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        ("CREATE TABLE shop.t (id int)", "no primary key for its replica identity"),
        (
            "CREATE TABLE shop.t (id int PRIMARY KEY DEFERRABLE)",
            "no primary key for its replica identity",
        ),
        (
            (
                "CREATE TABLE shop.t (id int PRIMARY KEY, a int NOT NULL UNIQUE);"
                "ALTER TABLE shop.t REPLICA IDENTITY USING INDEX t_a_key"
            ),
            "an index without its primary key",
        ),
        (
            (
                "CREATE TABLE shop.t (id int NOT NULL UNIQUE);"
                "ALTER TABLE shop.t REPLICA IDENTITY USING INDEX t_id_key;"
                "ALTER TABLE shop.t DROP CONSTRAINT t_id_key"
            ),
            "an index that is gone",
        ),
    ],
)
def test_identity_that_loses_old_rows_is_an_error(patient: Patient, ddl: str, message: str) -> None:
    patient.database.execute(
        ddl,
        f"GRANT SELECT ON shop.t TO {patient.role}",
        "ALTER PUBLICATION cdc_pipe_source ADD TABLE shop.t",
    )

    problems = patient.problems()

    assert list(problems) == ["replica-identity"]
    assert message in problems["replica-identity"].message


def test_table_without_key_is_a_warning_or_refused_by_choice(patient: Patient) -> None:
    patient.database.execute(
        "CREATE TABLE shop.t (id int); ALTER TABLE shop.t REPLICA IDENTITY FULL",
        f"GRANT SELECT ON shop.t TO {patient.role}",
        "ALTER PUBLICATION cdc_pipe_source ADD TABLE shop.t",
    )

    warnings = {finding.code: finding for finding in patient.findings()}

    assert warnings["no-key"].severity == "warning"
    assert patient.problems() == {}
    assert list(patient.problems(keyless_tables="refuse")) == ["no-key"]


def test_large_values_that_may_be_missing_are_a_warning(patient: Patient) -> None:
    patient.database.execute("ALTER TABLE shop.orders ADD note text")

    found = {finding.code: finding for finding in patient.findings()}

    assert found["partial-rows"].severity == "warning"
    patient.mend(Finding("ok", "", "", "", found["partial-rows"].fix.partition("WAL): ")[2]))
    assert "partial-rows" not in {finding.code for finding in patient.findings()}


def test_slot_of_another_kind_is_refused(patient: Patient) -> None:
    name = f"doc_{patient.database.name}"
    patient.database.execute(
        f"SELECT pg_create_logical_replication_slot('{name}', 'test_decoding')"
    )

    problem = patient.problems(slot=name)["slot"]

    assert "test_decoding" in problem.message
    patient.mend(Finding("ok", "", "", "", problem.fix.partition("or: ")[2]))
    assert patient.problems(slot=name) == {}


def test_slot_of_another_database_is_refused(
    patient: Patient, postgres_server: PostgresServer
) -> None:
    with PostgresDatabase(postgres_server) as other:
        name = f"doc_{other.name}"
        other.execute(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")

        problem = patient.problems(slot=name)["slot"]

    assert other.name in problem.message


def test_slot_in_use_names_the_process(patient: Patient) -> None:
    name = f"doc_{patient.database.name}"
    patient.database.execute(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
    reader = psycopg.connect(patient.database.url, replication="database", autocommit=True)
    start = sql.SQL(
        "START_REPLICATION SLOT {} LOGICAL 0/0"
        " (proto_version '1', publication_names 'cdc_pipe_source')"
    ).format(sql.Identifier(name))
    reader.pgconn.exec_(start.as_string(reader).encode())

    found = {finding.code: finding for finding in patient.findings(slot=name)}

    assert str(reader.info.backend_pid) in found["slot-active"].message
    reader.close()


def test_server_settings_are_named_with_the_statement_that_sets_them(tmp_path: Path) -> None:
    settings = {
        "wal_level": "replica", "max_replication_slots": "0", "wal_sender_timeout": "15s",
        "logical_decoding_work_mem": "1MB",
    }  # fmt: skip
    with (
        PostgresServer.start(settings=settings) as server,
        PostgresDatabase(server) as database,
    ):
        database.execute("CREATE TABLE t (id int PRIMARY KEY)")
        config = Config(url=Secret(database.url), tables=("public.t",))

        findings = check(config, SourceContext("p", "s", "s", tmp_path))

    found = {finding.code: finding for finding in findings if finding.severity != "ok"}
    assert {"error"} == {
        found[code].severity for code in ("wal-level", "replication-slots-left", "sender-timeout")
    }
    assert {"warning"} == {found[code].severity for code in ("wal-retention", "decoding-memory")}
    assert "ALTER SYSTEM SET wal_level = 'logical'" in found["wal-level"].fix


def test_server_that_is_not_there_is_one_finding(tmp_path: Path) -> None:
    config = Config(
        url=Secret("postgresql://nobody@127.0.0.1:1/none"),
        tables=("public.t",),
        connect_timeout_s=2,
    )

    findings = check(config, SourceContext("p", "s", "s", tmp_path))

    assert [(finding.severity, finding.code) for finding in findings] == [("error", "connection")]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"snapshot_tables": {"shop.orders": {"where": "amuont > 1"}}}, "amuont"),
        ({"snapshot_tables": {"shop.order": {"where": "amount > 1"}}}, "did you mean shop.orders?"),
        ({"snapshot_order": ["shop.order"]}, "did you mean shop.orders?"),
    ],
)
def test_wish_for_the_snapshot_is_understood_before_the_start(
    patient: Patient, wish: dict[str, object], message: str
) -> None:
    good = {"snapshot_tables": {"shop.orders": {"where": "amount > 1"}}}
    assert "snapshot-wish" not in patient.problems(**good)

    found = patient.problems(**wish)["snapshot-wish"]

    assert message in found.message
