"""A store in memory that keeps versions, and a keeper of dead letters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cdc.errors import SchemaError, SinkRefused
from cdc.protocols import (
    DeadLetter,
    Delete,
    Document,
    Finding,
    Mutation,
    Patch,
    Rejected,
    Truncate,
    Upsert,
)
from cdc.schema import TableSchema

Place = tuple[str, str]
"""Target and document id."""


@dataclass(slots=True)
class MemoryStore:
    """What outlives a sink. `versions` keeps those of deleted documents too.

    `rejects` gives the reason for a mutation that the store refuses for good, else None.
    `refuses_schema` names targets whose structures are refused. `writes` keeps every call's
    mutations, in order.
    """

    documents: dict[Place, Document] = field(default_factory=dict)
    versions: dict[Place, int] = field(default_factory=dict)
    truncated: dict[str, int] = field(default_factory=dict)
    fields: dict[str, set[str]] = field(default_factory=dict)
    rejects: Callable[[Mutation], str | None] = lambda _mutation: None
    refuses_schema: frozenset[str] = frozenset()
    writes: list[Sequence[Mutation]] = field(default_factory=list)


class MemorySink:
    """A Sink. `on_mutation` runs before each mutation: where a crash can cut a write in two."""

    def __init__(self, store: MemoryStore, on_mutation: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._on_mutation = on_mutation

    def check(self) -> list[Finding]:
        """Nothing can be wrong with memory."""
        return [Finding("ok", "sink-memory", "memory", "the store is in memory")]

    def apply_schema(self, table: TableSchema) -> None:
        """Know these fields from now on."""
        target = table.qualified_name
        if target in self._store.refuses_schema:
            raise SchemaError(f"the store refuses the structure of {target}")
        fields = self._store.fields.setdefault(target, set())
        fields.update(column.name for column in table.columns)

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        """Apply in order what is newer than what the store has.

        Raises SinkRefused for a field that no applied structure has: a real store would guess.
        """
        self._store.writes.append(mutations)
        rejected: list[Rejected] = []
        for index, mutation in enumerate(mutations):
            self._on_mutation()
            reason = self._store.rejects(mutation) or self._apply(mutation)
            if reason is not None:
                rejected.append(Rejected(index, reason))
        return rejected

    def close(self) -> None:
        """Nothing to give back."""

    def _apply(self, mutation: Mutation) -> str | None:
        store, target, action = self._store, mutation.target, mutation.action
        if isinstance(action, Truncate):
            self._truncate(target, mutation.version)
            return None
        place = (target, mutation.id)
        newest = max(store.versions.get(place, 0), store.truncated.get(target, 0))
        if mutation.version <= newest:
            return None
        if isinstance(action, Delete):
            store.documents.pop(place, None)
        elif isinstance(action, Upsert):
            self._check_fields(target, action.document)
            store.documents[place] = action.document
        else:
            assert isinstance(action, Patch)
            self._check_fields(target, action.fields)
            if place not in store.documents:
                return "there is no document to change"
            store.documents[place] = {**store.documents[place], **action.fields}
        store.versions[place] = mutation.version
        return None

    def _truncate(self, target: str, version: int) -> None:
        store = self._store
        store.truncated[target] = max(store.truncated.get(target, 0), version)
        for place in [place for place in store.documents if place[0] == target]:
            if store.versions[place] < version:
                del store.documents[place]

    def _check_fields(self, target: str, fields: Document) -> None:
        unknown = set(fields) - self._store.fields.get(target, set())
        if unknown:
            raise SinkRefused(f"{target}: no structure was applied that has {sorted(unknown)}")


class MemoryDeadLetters:
    """A DeadLetters; `letters` by topic, partition and offset."""

    def __init__(self) -> None:
        self.letters: dict[tuple[str, int, int], DeadLetter] = {}

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep them; one that is there already is replaced."""
        for letter in letters:
            stored = letter.stored
            self.letters[stored.topic, stored.partition, stored.offset] = letter

    def count(self) -> int:
        """How many are kept."""
        return len(self.letters)

    def close(self) -> None:
        """Nothing to give back."""
