"""What `cdc heal` would do to a Postgres source, said before it is done."""

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from cdc.protocols import SourceContext
from connectors.postgres.config import Config
from connectors.postgres.connection import Dialer, rows_of, translated
from connectors.postgres.heartbeats import without_own_table
from connectors.postgres.names import default_slot
from connectors.postgres.retention import size_text
from connectors.postgres.slots import SlotState, read_slot, require_ours
from connectors.postgres.tables import CapturedTable, captured_tables

_DATABASE: Final[LiteralString] = "SELECT pg_catalog.current_database()::pg_catalog.text"
_TABLES_SHOWN: Final = 20
_DELETES: Final = (
    "Rows that went away meanwhile (deletes since the slot was lost, changes that a failover lost) "
    "are NOT found by this: stores keep them until they are filled afresh."
)


@dataclass(frozen=True, slots=True)
class HealPlan:
    """What is found, and what follows when the source begins anew."""

    slot: str
    found: str
    deed: str
    tables: tuple[CapturedTable, ...]

    @property
    def sentences(self) -> list[str]:
        """What is lost and what will be done, for people."""
        rows = [table.rows_estimated for table in self.tables]
        known = [each for each in rows if each is not None]
        size_bytes = sum(table.size_bytes for table in self.tables)
        # A table is counted by the first ANALYZE.
        about = f"about {sum(known):,} rows, " if len(known) == len(rows) else ""
        return [
            f"Replication slot {self.slot} {self.found}.",
            self.deed,
            f"Every row of {len(self.tables)} tables is read again: {about}"
            + size_text(size_bytes),
            *(
                f"    {table.qualified_name}: {_rows(table)}, {size_text(table.size_bytes)}"
                for table in self.tables[:_TABLES_SHOWN]
            ),
            *([f"    and {rest} more"] if (rest := len(self.tables) - _TABLES_SHOWN) > 0 else []),
            _DELETES,
        ]

    def content(self) -> dict[str, object]:
        """The same with figures, as JSON-able content."""
        return {
            "slot": self.slot,
            "found": self.found,
            "deed": self.deed,
            "deletes_found": False,
            "tables": [
                {
                    "table": table.qualified_name,
                    "rows_estimated": table.rows_estimated,
                    "size_bytes": table.size_bytes,
                }
                for table in self.tables
            ],
        }


def plan(config: Config, context: SourceContext) -> HealPlan:
    """Look at the source; changes nothing.

    Raises SourceRefused for a slot of that name that is not for this source.
    """
    dialer = Dialer(
        config.url,
        config.password,
        config.password_command,
        config.connect_timeout_s,
        f"tidewire heal {context.name}",
    )
    config = without_own_table(config, context.heartbeat)
    name = config.slot or default_slot(context.pipeline, context.name)
    connection = dialer.connect()
    with connection, translated("looking at what is there"):
        slot = read_slot(connection, name)
        if slot is not None:
            require_ours(slot, _database(connection))
        tables = captured_tables(connection, config.tables, config.exclude_tables)
    return HealPlan(name, _found(slot), _deed(slot, name, config), tuple(tables))


def _database(connection: psycopg.Connection[tuple[Any, ...]]) -> str:
    return str(rows_of(connection, "asking for the database", _DATABASE)[0][0])


def _found(slot: SlotState | None) -> str:
    if slot is None:
        return "is gone"
    if slot.lost:
        return f"is invalidated: {slot.lost}"
    # Whether the stored position fits to this server is for the source to say: what is stored may
    # be in use by a daemon, and after a failover it may lie beyond what the new primary has.
    return (
        f"is there, and the server can send what was committed behind {slot.confirmed}; this says "
        "nothing about what the log holds and the server no longer has (after a failover, or a "
        "backup that was restored)"
    )


def _deed(slot: SlotState | None, name: str, config: Config) -> str:
    if config.snapshot == "only":
        return "No slot is needed for `snapshot: only`."
    if not config.create_slot:
        return (
            "It is for you to drop and to make, because create_slot is false: "
            f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput');"
        )
    return "It is made." if slot is None else "It is dropped and made again."


def _rows(table: CapturedTable) -> str:
    if table.rows_estimated is None:
        return "rows not counted yet"
    return f"about {table.rows_estimated:,} rows"
