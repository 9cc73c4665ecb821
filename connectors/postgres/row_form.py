"""How the rows of a snapshot look: the structure that the stream gives them, and what is read."""

from collections.abc import Collection, Sequence
from typing import Final

from cdc import event as changes
from cdc import rows
from cdc.errors import ConfigError
from cdc.event import UNCHANGED, ChangeEvent, Transaction
from connectors.postgres.catalog import TableFacts
from connectors.postgres.copy_text import RowMaker, fields
from connectors.postgres.pgoutput import Relation, RelationColumn, Table
from connectors.postgres.resolution import resolve

# Behind every transaction: all that the catalog says in the view holds.
_NOW: Final = 1 << 63


def row_form(facts: TableFacts, published: Sequence[str] | None) -> Table:
    """The structure of rows when only `published` columns are sent; None: all that can be.

    It is made as the stream makes it of the server's message, so that both are one structure.
    """
    names = [column.name for column in facts.columns if not column.generated]
    if published is None or list(published) == names:
        width = len(facts.schema.columns)
        return Table(facts.schema, facts.layout, (False,) * width)
    identity = set(facts.key.columns)
    sent = tuple(
        RelationColumn(
            column.name,
            column.type_oid,
            column.typmod,
            facts.identity == "f" or (facts.identity != "n" and column.attnum in identity),
        )
        for column in facts.columns
        if column.name in published
    )
    schema = facts.schema
    relation = Relation(facts.oid, schema.namespace, schema.table, facts.identity, sent)
    known, rules = [facts.known()], facts.rules
    described = resolve(relation, _NOW, known, facts.types, schema.database, {}, rules)
    return Table(described.schema, described.layout, (False,) * len(sent))


def unread_columns(form: Table, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The columns of the structure that are not `wanted`; None wants all.

    Raises ConfigError for a column that is not there, or a key that would not be read.
    """
    if wanted is None:
        return ()
    schema = form.schema
    names = [column.name for column in schema.columns]
    strange = [name for name in wanted if name not in names]
    if strange:
        raise ConfigError(
            f"`columns` under `snapshot_tables` names {', '.join(strange)}, which "
            f"{schema.qualified_name} does not have or does not publish"
        )
    lacking = [name for name in schema.key_names if name not in wanted]
    if lacking:
        raise ConfigError(
            f"`columns` under `snapshot_tables` leaves out {', '.join(lacking)} of the key of "
            f"{schema.qualified_name}"
        )
    return tuple(name for name in names if name not in wanted)


class PartialRowMaker:
    """As RowMaker, for rows of which some columns are not read: those are UNCHANGED."""

    def __init__(
        self, table: Table, unread: Collection[str], transaction: Transaction, position: int
    ) -> None:
        self.ordinal = 0
        self._table = table
        self._is_read: Final = [column.name not in unread for column in table.schema.columns]
        self._width = sum(self._is_read)
        self._transaction = transaction
        self._position = position

    def event(self, line: bytes, marker: str) -> ChangeEvent:
        """The event of one line, which ends with a newline. Raises DecodeError."""
        read = iter(fields(line, self._width))
        values: list[object] = [next(read) if is_read else UNCHANGED for is_read in self._is_read]
        row = rows.raw_row(self._table.layout, values)
        ordinal = self.ordinal
        self.ordinal = ordinal + 1
        return changes.change(
            "r", self._table.schema, None, row, self._transaction, ordinal, self._position, marker
        )

    def append(self, lines: list[bytes], start: int, stop: int, events: list[ChangeEvent]) -> None:
        """Append the events of the lines from `start` to before `stop`, marked `true`."""
        events.extend(self.event(line, "true") for line in lines[start:stop])


def row_maker(
    form: Table, unread: Collection[str], transaction: Transaction, position: int
) -> RowMaker | PartialRowMaker:
    """What makes events of the lines that were read."""
    if unread:
        return PartialRowMaker(form, unread, transaction, position)
    return RowMaker(form, transaction, position)
