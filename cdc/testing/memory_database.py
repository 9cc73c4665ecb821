"""A database in memory whose write-ahead log is pruned as far as it was acknowledged.

It refuses what a real one would turn into silent loss: an acknowledgement that goes back, and a
resume behind what was pruned. It hangs up on a client that is silent for too long.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cdc.errors import PositionLost, TransientError
from cdc.event import CREATE, DELETE, TRUNCATE, UNCHANGED, UPDATE, Row
from cdc.lifecycle import Clock
from cdc.protocols import Key
from cdc.schema import TableSchema


@dataclass(frozen=True, slots=True)
class WalChange:
    """One change as the write-ahead log has it; rows as ChangeEvent has them."""

    op: str
    table: TableSchema
    before: Row | None
    after: Row | None


@dataclass(frozen=True, slots=True)
class WalTransaction:
    """One committed transaction. `end` is the position behind it."""

    id: str
    end: int
    commit_time_us: int
    changes: tuple[WalChange, ...]


@dataclass(slots=True)
class MemoryDatabase:
    """Tables, their write-ahead log, one slot and one lease.

    `wal` is what can still be read, `history` all that ever happened (for judges only).
    `confirmed` is the slot's position, None while there is no slot; `slot_start` is where the slot
    was made. `lease` is whoever holds it. `disconnects` counts clients hung up on for silence.
    `on_confirm` sees every acknowledged position.
    """

    clock: Clock
    tables: dict[str, TableSchema]
    silence_max_s: float = 10.0
    on_confirm: Callable[[int], None] = lambda _position: None
    end: int = 100
    rows: dict[str, dict[Key, tuple[object, ...]]] = field(default_factory=dict)
    wal: list[WalTransaction] = field(default_factory=list)
    history: list[WalTransaction] = field(default_factory=list)
    confirmed: int | None = None
    slot_start: int = 0
    lease: object | None = None
    disconnects: int = 0

    def begin(self) -> "MemoryTransaction":
        """A transaction; it happens at `commit`."""
        return MemoryTransaction(self)

    def create_slot(self) -> int:
        """A new slot in place of any other; everything before its position may be pruned."""
        self.confirmed = self.slot_start = self.end
        self.wal = []
        return self.end

    def resume(self, position: int) -> None:
        """Check that what follows `position` can be read. Raises PositionLost."""
        if self.confirmed is None or position < self.confirmed:
            raise PositionLost(f"what follows {position} was pruned up to {self.confirmed}")
        if position > self.end:
            raise PositionLost(f"{position} is ahead of the server, which is at {self.end}")

    def confirm(self, position: int) -> None:
        """Prune up to `position`."""
        assert self.confirmed is not None, "there is no slot"
        assert position >= self.confirmed, "an acknowledgement went back"
        self.on_confirm(position)
        self.confirmed = position
        self.wal = [transaction for transaction in self.wal if transaction.end > position]

    def hear(self, heard_at_s: float) -> float:
        """The client sends something; returns when. Raises TransientError if it was too late."""
        now_s = self.clock.monotonic_s()
        if now_s - heard_at_s > self.silence_max_s:
            self.disconnects += 1
            raise TransientError(f"the server heard nothing for {now_s - heard_at_s:g} s")
        return now_s

    def kill_connections(self) -> None:
        """What happens when the client's process dies: its lease is free."""
        self.lease = None

    def contents(self) -> dict[str, list[tuple[object, ...]]]:
        """The rows of every table, in key order where there is a key."""
        return {
            name: [row for _, row in sorted(self.rows.get(name, {}).items(), key=lambda x: x[0])]
            for name in self.tables
        }


class MemoryTransaction:
    """Changes that become visible together, in order, at `commit`. Tables by `schema.table`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._steps: list[Callable[[], WalChange | None]] = []

    def insert(self, table: str, *row: object) -> "MemoryTransaction":
        """A new row."""

        def step() -> WalChange:
            structure = self._database.tables[table]
            key = _key(structure, row, self._keyless(table))
            rows = self._database.rows.setdefault(table, {})
            assert key not in rows, f"{table} has this key already"
            rows[key] = row
            return WalChange(CREATE, structure, None, row)

        return self._then(step)

    def update(
        self, table: str, key: Key, values: Mapping[str, object], unsent: tuple[str, ...] = ()
    ) -> "MemoryTransaction":
        """New values by column. The log does not repeat the old ones of the columns `unsent`."""

        def step() -> WalChange:
            structure = self._database.tables[table]
            rows = self._database.rows[table]
            names = [column.name for column in structure.columns]
            old = rows.pop(key)
            new = tuple(values.get(name, value) for name, value in zip(names, old, strict=True))
            new_key = _key(structure, new, 0)
            assert new_key not in rows, f"{table} has this key already"
            rows[new_key] = new
            sent = tuple(
                UNCHANGED if name in unsent and name not in values else value
                for name, value in zip(names, new, strict=True)
            )
            before = None if new_key == key else _key_row(structure, old)
            return WalChange(UPDATE, structure, before, sent)

        return self._then(step)

    def delete(self, table: str, key: Key) -> "MemoryTransaction":
        """The row is gone."""

        def step() -> WalChange:
            structure = self._database.tables[table]
            old = self._database.rows[table].pop(key)
            return WalChange(DELETE, structure, _key_row(structure, old), None)

        return self._then(step)

    def truncate(self, table: str) -> "MemoryTransaction":
        """All rows are gone."""

        def step() -> WalChange:
            self._database.rows[table] = {}
            return WalChange(TRUNCATE, self._database.tables[table], None, None)

        return self._then(step)

    def alter(self, structure: TableSchema, *added: object) -> "MemoryTransaction":
        """The table has this structure from here on; its rows get `added` at the end."""

        def step() -> None:
            table = structure.qualified_name
            self._database.tables[table] = structure
            rows = self._database.rows.get(table, {})
            self._database.rows[table] = {key: (*row, *added) for key, row in rows.items()}

        return self._then(step)

    def commit(self) -> WalTransaction:
        """All of it happens now."""
        database = self._database
        changes = [change for step in self._steps if (change := step()) is not None]
        database.end += 10
        transaction = WalTransaction(
            id=str(700 + len(database.history)),
            end=database.end,
            commit_time_us=database.clock.wall_us(),
            changes=tuple(changes),
        )
        database.wal.append(transaction)
        database.history.append(transaction)
        return transaction

    def _then(self, step: Callable[[], WalChange | None]) -> "MemoryTransaction":
        self._steps.append(step)
        return self

    def _keyless(self, table: str) -> int:
        return len(self._database.rows.get(table, {}))


def _key(table: TableSchema, row: Row, number: int) -> Key:
    # Rows of a table without a key are only ever inserted, so a running number tells them apart.
    return tuple(row[index] for index in table.key) if table.key else (number,)


def _key_row(table: TableSchema, row: Row) -> Row:
    return tuple(value if index in table.key else UNCHANGED for index, value in enumerate(row))
