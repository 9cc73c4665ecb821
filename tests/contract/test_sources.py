"""Every source keeps the contract."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cdc.clock import SystemClock
from cdc.protocols import Source, SourceContext
from cdc.schema import Column, Int32, String, TableSchema
from cdc.secret import Secret
from cdc.testing.memory_database import MemoryDatabase
from cdc.testing.memory_source import MemorySource
from cdc.testing.source_contract import SourceContract
from cdc.testing.source_harness import SourceHarness
from connectors import postgres
from tests.lab.postgres_database import PostgresDatabase

TABLE = "public.items"


class MemoryHarness:
    patience_s = 5.0
    waivers: Mapping[str, str] = {}

    def __init__(self) -> None:
        columns = (Column("id", Int32(), nullable=False), Column("name", String()))
        table = TableSchema("shop", "public", "items", columns, key=(0,))
        self.database = MemoryDatabase(SystemClock(), {TABLE: table})

    def make(self) -> Source:
        return MemorySource(self.database, batch_changes_max=3)

    def insert(self, ids: Sequence[int]) -> None:
        transaction = self.database.begin()
        for id_ in ids:
            transaction.insert(TABLE, id_, f"name {id_}")
        transaction.commit()

    def rename(self, id_: int, name: str) -> None:
        self.database.begin().update(TABLE, (id_,), {"name": name}).commit()

    def renumber(self, id_: int, new: int) -> None:
        self.database.begin().update(TABLE, (id_,), {"id": new}).commit()

    def delete(self, id_: int) -> None:
        self.database.begin().delete(TABLE, (id_,)).commit()

    def roll_back(self, id_: int) -> None:
        self.database.begin().insert(TABLE, id_, "never")

    def lose_lease(self) -> None:
        self.database.lease = None

    def rows(self) -> dict[int, str]:
        return {row[0]: str(row[1]) for row in self.database.contents()[TABLE]}  # type: ignore[misc]


class PostgresHarness:
    patience_s = 30.0
    waivers: Mapping[str, str] = {}

    def __init__(self, database: PostgresDatabase, folder: Path) -> None:
        self._database = database
        self._config = postgres.Config(url=Secret(database.url), tables=("public.*",))
        self._context = SourceContext("contract", "shop", "shop", folder)
        database.execute("CREATE TABLE items (id integer PRIMARY KEY, name text)")

    def make(self) -> Source:
        return postgres.create(self._config, self._context)

    def insert(self, ids: Sequence[int]) -> None:
        values = ", ".join(f"({id_}, 'name {id_}')" for id_ in ids)
        self._database.execute(f"INSERT INTO items VALUES {values}")

    def rename(self, id_: int, name: str) -> None:
        self._database.execute(f"UPDATE items SET name = '{name}' WHERE id = {id_}")

    def renumber(self, id_: int, new: int) -> None:
        self._database.execute(f"UPDATE items SET id = {new} WHERE id = {id_}")

    def delete(self, id_: int) -> None:
        self._database.execute(f"DELETE FROM items WHERE id = {id_}")

    def roll_back(self, id_: int) -> None:
        with self._database.connect() as connection, connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO items VALUES (%s, 'never')", [id_])

    def lose_lease(self) -> None:
        self._database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )

    def rows(self) -> dict[int, str]:
        with self._database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute("SELECT id, name FROM items")}


class TestMemory(SourceContract):
    @pytest.fixture
    def harness(self) -> SourceHarness:
        return MemoryHarness()


@pytest.mark.postgres
class TestPostgres(SourceContract):
    @pytest.fixture
    def harness(self, postgres_database: PostgresDatabase, tmp_path: Path) -> SourceHarness:
        return PostgresHarness(postgres_database, tmp_path)
