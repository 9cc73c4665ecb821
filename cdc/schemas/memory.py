"""Table structures in memory, for tests and for readers in the process of the writer."""

from cdc.errors import SchemaError
from cdc.event import Record
from cdc.schema import TableSchema


class MemorySchemas:
    """Implements cdc.protocols.Schemas with a dict; what is not there is unknown at once."""

    __slots__ = ("_tables",)

    def __init__(self) -> None:
        self._tables: dict[str, TableSchema] = {}

    def add(self, table: TableSchema) -> None:
        """Know this structure. Repeatable."""
        self._tables[table.id] = table

    def take(self, records: list[Record]) -> list[Record]:
        """Know the structures among a serializer's records; returns the other records."""
        others = []
        for record in records:
            if record.topic.internal and record.value is not None:
                self.add(TableSchema.from_canonical(record.value))
            else:
                others.append(record)
        return others

    def find(self, schema_id: str) -> TableSchema:
        """The structure with this id. Raises SchemaError."""
        table = self._tables.get(schema_id)
        if table is None:
            raise SchemaError(f"the table structure {schema_id} is unknown")
        return table
