"""Table structures from the log's own compacted topic, `__cdc.<pipeline>.schemas`."""

from collections.abc import Callable

from cdc.errors import DecodeError, SchemaError
from cdc.event import Stored
from cdc.protocols import LogReader
from cdc.schema import TableSchema

_RECORDS_MAX = 500
_POLL_S = 0.2


class TopicSchemas:
    """Implements cdc.protocols.Schemas by reading the schemas topic as far as it must.

    `reader` reads that topic from its beginning and belongs to no group. `wait_s` bounds how long
    an unknown id is waited for: commits become visible topic by topic, so that a record may be
    readable before its structure. `clock` gives monotonic seconds.
    """

    __slots__ = ("_clock", "_missed", "_reader", "_tables", "_wait_s")

    def __init__(self, reader: LogReader, wait_s: float, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._wait_s = wait_s
        self._clock = clock
        self._tables: dict[str, TableSchema] = {}
        self._missed: set[str] = set()

    def find(self, schema_id: str) -> TableSchema:
        """The structure with this id; reads on until it is there or `wait_s` have passed.

        Who asks again for one that did not come waits no more, but gets it once it is there.
        Raises SchemaError naming the id, and DecodeError for a damaged structure.
        """
        deadline_s = self._clock() + (0.0 if schema_id in self._missed else self._wait_s)
        looked = False
        while True:
            table = self._tables.get(schema_id)
            if table is not None:
                return table
            remaining_s = deadline_s - self._clock()
            if looked and remaining_s <= 0:
                self._missed.add(schema_id)
                raise SchemaError(
                    f"the table structure {schema_id} is not in the log after waiting "
                    f"{self._wait_s:g} s",
                    hint="The schemas topic was deleted or belongs to another pipeline: restart "
                    "the source, which writes its structures again.",
                )
            self._read(min(max(remaining_s, 0.0), _POLL_S))
            looked = True

    def close(self) -> None:
        """Give back the reader. Repeatable."""
        self._reader.close()

    def _read(self, timeout_s: float) -> None:
        damage: DecodeError | None = None
        for stored in self._reader.poll(_RECORDS_MAX, timeout_s):
            if stored.key is None or stored.value is None:
                continue
            try:
                table = TableSchema.from_canonical(stored.value)
                _require_key(stored, table)
            except DecodeError as error:
                # Those behind it are not read again: they must be known first.
                damage = damage or error
            else:
                self._tables[table.id] = table
        if damage is not None:
            raise damage


def _require_key(stored: Stored, table: TableSchema) -> None:
    if stored.key != table.id.encode():
        raise DecodeError(
            f"record {stored.offset} of {stored.topic} holds another structure than its key says",
            kind="schema",
        )
