"""The documented rights are enough, and each one taken away is named with the SQL that mends it.

No role here is a superuser; the administrator's part is what the documentation says.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.errors import CdcError, SourceRefused
from cdc.protocols import SourceContext
from connectors.postgres.doctor import check
from tests.integration.postgres_capture import Capture
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres


class Granted:
    """A role with exactly the rights of one of the two ways in the documentation."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        self.role, self.password = database.create_role("LOGIN REPLICATION")
        self.slot = f"s_{database.name}"
        database.execute(
            f"REVOKE ALL ON DATABASE {database.name} FROM public",
            "REVOKE ALL ON SCHEMA public FROM public",
            "CREATE SCHEMA shop",
            "CREATE TABLE shop.orders (id int PRIMARY KEY, amount int)",
            "INSERT INTO shop.orders VALUES (1, 10)",
            f"GRANT CONNECT ON DATABASE {database.name} TO {self.role}",
            f"GRANT USAGE ON SCHEMA shop TO {self.role}",
            f"GRANT SELECT ON TABLE shop.orders TO {self.role}",
        )

    def by_administrator(self) -> None:
        """Slot and publication are there; the role makes nothing."""
        self.database.execute(
            f"CREATE PUBLICATION {self.slot} FOR TABLE shop.orders",
            f"SELECT pg_create_logical_replication_slot('{self.slot}', 'pgoutput')",
        )

    def by_itself(self) -> None:
        """The role makes both, which takes more rights."""
        self.database.execute(
            f"GRANT CREATE ON DATABASE {self.database.name} TO {self.role}",
            f"ALTER TABLE shop.orders OWNER TO {self.role}",
        )

    def capture(self, folder: Path, *, given: bool) -> Capture:
        """A source of this role; `given`: it may make nothing."""
        return Capture(
            self.database.url_of(self.role, self.password),
            folder,
            tables=["shop.orders"],
            slot=self.slot,
            publication=self.slot,
            create_slot=not given,
            create_publication=not given,
        )


@pytest.fixture
def granted(postgres_database: PostgresDatabase) -> Iterator[Granted]:
    granted = Granted(postgres_database)
    yield granted
    postgres_database.execute(
        f"REASSIGN OWNED BY {granted.role} TO postgres", f"DROP OWNED BY {granted.role}"
    )


@pytest.mark.parametrize("given", [True, False])
def test_documented_rights_are_enough_for_snapshot_and_stream(
    granted: Granted, tmp_path: Path, *, given: bool
) -> None:
    granted.by_administrator() if given else granted.by_itself()
    capture = granted.capture(tmp_path, given=given)
    context = SourceContext("shop", "shop", "shop", tmp_path)

    assert [one for one in check(capture.config, context) if one.severity == "error"] == []
    with capture:
        capture.until_streaming()
        granted.database.execute("INSERT INTO shop.orders VALUES (2, 20)")
        capture.until_current()

    assert capture.state() == {"shop.orders": {(1,): (1, 10), (2,): (2, 20)}}


@pytest.mark.parametrize(
    ("revoke", "named", "mends"),
    [
        (
            "REVOKE CONNECT ON DATABASE {database} FROM {role}",
            "permission denied for database",
            "GRANT CONNECT ON DATABASE",
        ),
        ("REVOKE USAGE ON SCHEMA shop FROM {role}", "schema shop", "cdc check"),
        ("REVOKE SELECT ON shop.orders FROM {role}", "orders", "cdc check"),
        ("ALTER ROLE {role} NOREPLICATION", "", "ALTER ROLE <user> REPLICATION"),
        ("ALTER ROLE {role} NOLOGIN", "not permitted to log in", "LOGIN"),
        (
            "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY",
            "row-level security",
            "BYPASSRLS",
        ),
    ],
)
def test_each_right_that_is_taken_away_is_named(
    granted: Granted, tmp_path: Path, revoke: str, named: str, mends: str
) -> None:
    granted.by_administrator()
    granted.database.execute(revoke.format(role=granted.role, database=granted.database.name))

    error = refusal(granted.capture(tmp_path, given=True))

    assert isinstance(error, SourceRefused)
    assert named in error.message
    assert mends in error.hint


@pytest.mark.parametrize(
    ("revoke", "mends"),
    [
        ("REVOKE CREATE ON DATABASE {database} FROM {role}", "CREATE PUBLICATION"),
        ("ALTER TABLE shop.orders OWNER TO postgres", "CREATE PUBLICATION"),
    ],
)
def test_right_to_make_the_publication_that_is_taken_away_is_named(
    granted: Granted, tmp_path: Path, revoke: str, mends: str
) -> None:
    granted.by_itself()
    granted.database.execute(revoke.format(role=granted.role, database=granted.database.name))

    error = refusal(granted.capture(tmp_path, given=False))

    assert isinstance(error, SourceRefused)
    assert mends in error.hint


def test_policy_hides_no_row_in_silence(granted: Granted, tmp_path: Path) -> None:
    granted.by_administrator()
    granted.database.execute(
        "INSERT INTO shop.orders VALUES (2, 99)",
        "CREATE POLICY small ON shop.orders USING (amount < 50)",
        "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY",
    )
    capture = granted.capture(tmp_path, given=True)
    context = SourceContext("shop", "shop", "shop", tmp_path)

    found = {one.code: one for one in check(capture.config, context)}
    assert isinstance(refusal(capture), SourceRefused)
    assert capture.events == []
    granted.database.execute(found["row-security"].fix)
    capture.crash()
    with capture:
        capture.until_streaming()

    assert {(1,), (2,)} == set(capture.state()["shop.orders"])


def refusal(capture: Capture) -> CdcError:
    """What ends the source."""
    try:
        capture.start()
        capture.until_streaming()
    except CdcError as error:
        return error
    finally:
        capture.close()
    pytest.fail("nothing was refused")
