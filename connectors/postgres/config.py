"""What a user says about a Postgres source."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.functional_validators import AfterValidator

from cdc.secret import Secret
from connectors.postgres.retention import WalGuard


def _table_pattern(pattern: str) -> str:
    schema, dot, table = pattern.partition(".")
    if not (schema and dot and table):
        raise ValueError("must be `schema.table`; both may hold the wildcards * and ?")
    return pattern


def _slot_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,63}", name):
        raise ValueError("must be 1 to 63 lower-case letters, digits and underscores")
    return name


def _publication_name(name: str) -> str:
    if not name or len(name.encode()) > 63 or "\0" in name:
        raise ValueError("must be 1 to 63 bytes long")
    return name


TablePattern = Annotated[str, AfterValidator(_table_pattern)]


class SnapshotTable(BaseModel):
    """What the initial snapshot reads of some tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Condition in SQL, as behind WHERE: only these rows are read. Changes of all "
        "rows are streamed.",
    )
    columns: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Columns to read, with those of the key; the others come as not sent, as an "
        "unchanged large value does.",
    )


class Config(BaseModel):
    """A Postgres database to capture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Secret = Field(
        description="Address, as libpq takes it: `postgresql://USER@HOST:PORT/DATABASE`. TLS and "
        "other connection parameters go here too: `?sslmode=verify-full&sslrootcert=...`. Several "
        "hosts, `HOST1:PORT,HOST2:PORT`, mean the one that is the primary, or what "
        "`target_session_attrs` says."
    )
    password: Secret | None = Field(
        default=None,
        description="Password; read again for each connection when it is `${file:...}`.",
    )
    password_command: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Program and arguments whose first line of output is the password; run for "
        "each connection, for tokens that live shortly.",
    )
    tables: tuple[TablePattern, ...] = Field(
        min_length=1,
        description="Tables to capture, as `schema.table`; both parts may hold the wildcards "
        "`*` and `?`.",
    )
    exclude_tables: tuple[TablePattern, ...] = Field(
        default=(), description="Tables not to capture although `tables` names them."
    )
    snapshot: Literal["initial", "never", "only", "when_needed"] = Field(
        default="initial",
        description="`initial`: the rows that exist at the first start, then changes. `never`: "
        "changes from the first start on. `only`: the rows, then nothing, without a slot. "
        "`when_needed`: like `initial`, and again whenever the stored position is lost.",
    )
    slot: Annotated[str, AfterValidator(_slot_name)] | None = Field(
        default=None,
        description="Replication slot; by default `cdc_` and the names of pipeline and source.",
    )
    publication: Annotated[str, AfterValidator(_publication_name)] | None = Field(
        default=None, description="Publication; by default named like the slot."
    )
    create_slot: bool = Field(
        default=True, description="Make the slot at the first start when it does not exist."
    )
    failover: bool = Field(
        default=False,
        description="Make the slot a failover slot (PostgreSQL 17 and later): standbys with "
        "`sync_replication_slots` keep a copy, from which streaming goes on after a promotion.",
    )
    create_publication: bool = Field(
        default=True,
        description="Make the publication when it does not exist, and add captured tables to it.",
    )
    keyless_tables: Literal["emit", "refuse"] = Field(
        default="emit",
        description="Tables without primary key and replica identity index: `emit` their changes "
        "without a key, or `refuse` to start.",
    )
    stream_transactions: bool = Field(
        default=True,
        description="Let the server send large transactions while they are in progress; they are "
        "kept here until they are committed. Otherwise the server keeps them on its own disk.",
    )
    transaction_memory_bytes: int = Field(
        default=64 << 20,
        ge=1 << 16,
        le=1 << 34,
        description="Memory for all transactions in progress together; what is more goes to files "
        "in `state_dir`.",
    )
    spill_bytes_max: int | None = Field(
        default=None,
        ge=1 << 20,
        description="Bound of these files together; by default the disk is. When it is reached, "
        "the source stops with that reason and tries again by itself.",
    )
    messages: tuple[str, ...] = Field(
        default=("*",),
        description="Prefixes of logical decoding messages to capture; they may hold the wildcards "
        "`*` and `?`.",
    )
    exclude_messages: tuple[str, ...] = Field(
        default=(), description="Prefixes not to capture although `messages` names them."
    )
    schema_changes: bool = Field(
        default=False,
        description="Write a record about each change of a captured table's structure to the topic "
        "that is named like the prefix, in front of the first change that has it.",
    )
    new_tables_interval_s: float = Field(
        default=5.0,
        ge=0.1,
        le=3600.0,
        description="How often the catalog is looked at for tables that `tables` newly means.",
    )
    new_table_bytes_max: int = Field(
        default=64 << 20,
        ge=0,
        description="Rows of a table that came while the source was running are read at once, "
        "while the stream waits, if the table is not larger; else at the next start.",
    )
    on_lost_slot: Literal["fail", "resnapshot"] = Field(
        default="fail",
        description="When the slot is gone, invalidated or made again by somebody: `fail`, until "
        "`cdc heal`; or `resnapshot`, by itself. Rows deleted meanwhile are not noticed then.",
    )
    wal_guard: WalGuard = Field(
        default=WalGuard(),
        description="Limits on the write-ahead log kept for the slot; see docs/configuration.md.",
    )
    connect_timeout_s: float = Field(
        default=10.0, ge=2.0, le=600.0, description="How long to wait for a connection."
    )
    status_interval_s: float = Field(
        default=10.0,
        ge=0.1,
        le=30.0,
        description="How often the server is told that we live and how far everything is safe. "
        "Less than half of the server's wal_sender_timeout.",
    )
    snapshot_lot_rows_max: int = Field(
        default=1000, ge=1, le=100_000, description="Rows read at once by a snapshot, at most."
    )
    snapshot_lot_bytes_max: int = Field(
        default=1 << 20,
        ge=1024,
        le=1 << 28,
        description="Bytes read at once by a snapshot, at most; a larger row comes alone.",
    )

    snapshot_readers: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Processes that read a snapshot, each over a connection of its own; 1: the "
        "capture process alone. Default: half as many as there are processors, at most 4.",
    )
    snapshot_chunk_bytes_max: int = Field(
        default=32 << 20,
        ge=8192,
        le=1 << 40,
        description="How much of a table one of several readers takes at once.",
    )
    snapshot_order: tuple[TablePattern, ...] = Field(
        default=(),
        description="Tables whose rows are read first, in this order; the others follow by name.",
    )
    snapshot_tables: dict[TablePattern, SnapshotTable] = Field(
        default_factory=dict,
        description="What a snapshot reads of tables that are not to be read whole, by "
        "`schema.table`; the first that fits decides.",
    )

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_command is not None:
            raise ValueError("give `password` or `password_command`, not both")
        return self

    @model_validator(mode="after")
    def _may_begin_anew(self) -> Self:
        if self.begins_anew and self.snapshot == "never":
            raise ValueError(
                "a lost slot cannot be made up for with `snapshot: never`; take back "
                "`on_lost_slot: resnapshot` or `policy: drop-slot-and-resnapshot`"
            )
        if self.wal_guard.policy == "drop-slot-and-resnapshot" and not self.create_slot:
            raise ValueError("`policy: drop-slot-and-resnapshot` needs `create_slot: true`")
        return self

    @property
    def begins_anew(self) -> bool:
        """Whether a lost slot is made up for without asking; a guard that drops it implies that."""
        return (
            self.on_lost_slot == "resnapshot" or self.wal_guard.policy == "drop-slot-and-resnapshot"
        )
