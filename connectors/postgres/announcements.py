"""Changes of structures as events of their own, in front of the first change that has the new."""

from cdc.event import ChangeEvent
from cdc.rowless import is_rowless, rowless_table, structure_event
from cdc.schema import TableSchema
from connectors.postgres.facts import Facts


class Announcements:
    """Knows which structure of each table was told last; tells of every other one once.

    Tables that are captured at a start are known by their facts and not told of.
    """

    def __init__(self, facts: Facts) -> None:
        """`facts` are those of the checkpoint and of the tables at the start; read once."""
        self._known: dict[str, TableSchema] = {
            known.schema.qualified_name: known.schema for known in facts.tables.values()
        }

    def among(self, events: list[ChangeEvent]) -> list[ChangeEvent]:
        """The events, with those of structures between them."""
        found: list[ChangeEvent] = []
        last: TableSchema | None = None
        for event in events:
            schema = event.table
            if schema is not last and not is_rowless(schema):
                last = schema
                old = self._known.get(schema.qualified_name)
                if old != schema:
                    self._known[schema.qualified_name] = schema
                    rowless = rowless_table(schema.database)
                    found.append(
                        structure_event(rowless, old, schema, event.transaction, event.position)
                    )
            found.append(event)
        return found

    def is_told(self, schema: TableSchema) -> bool:
        """Whether this was the last structure told of its table."""
        return self._known.get(schema.qualified_name) == schema

    def came(self, schema: TableSchema) -> list[ChangeEvent]:
        """What tells of a table that is captured from now on; nothing if that was told."""
        if schema.qualified_name in self._known:
            return []
        self._known[schema.qualified_name] = schema
        return [structure_event(rowless_table(schema.database), None, schema, None, 0)]

    def went(self, schema: TableSchema) -> list[ChangeEvent]:
        """What tells that a table is gone; nothing if another has its name by now."""
        if self._known.get(schema.qualified_name) != schema:
            return []
        del self._known[schema.qualified_name]
        return [structure_event(rowless_table(schema.database), schema, None, None, 0)]
