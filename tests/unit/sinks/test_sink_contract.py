"""The contract suite itself: a sink with one fault fails the claim that is about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cdc.protocols import (
    Delete,
    Document,
    Finding,
    Mutation,
    Patch,
    Rejected,
    Sink,
    Truncate,
    Upsert,
)
from cdc.schema import TableSchema
from cdc.testing.memory_sink import MemorySink, MemoryStore
from cdc.testing.sink_contract import SinkContract
from cdc.testing.sink_histories import TABLE
from sinks.sqlite import SqliteSink
from tests.contract.sink_harnesses import SqliteHarness

Fault = Callable[[SqliteSink, Sequence[Mutation]], Sequence[Rejected]]


class Faulty:
    """A good sink behind a fault."""

    def __init__(self, good: SqliteSink, fault: Fault) -> None:
        self._good = good
        self._fault = fault

    def check(self) -> list[Finding]:
        return self._good.check()

    def apply_schema(self, table: TableSchema) -> None:
        self._good.apply_schema(table)

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        return self._fault(self._good, mutations)

    def close(self) -> None:
        self._good.close()


class FaultyHarness(SqliteHarness):
    fault: Fault

    def make(self) -> Sink:
        good = super().make()
        assert isinstance(good, SqliteSink)
        return Faulty(good, self.fault)


def takes_any_version(sink: SqliteSink, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    sink._connection().execute("UPDATE documents SET version = 0")
    return sink.write(mutations)


def compares_32_bits(sink: SqliteSink, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return sink.write([replace(one, version=one.version >> 1) for one in mutations])


def forgets_deletes(sink: SqliteSink, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    rejected = sink.write(mutations)
    sink._connection().execute("DELETE FROM documents WHERE document IS NULL")
    return rejected


def forgets_truncates(sink: SqliteSink, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    rejected = sink.write(mutations)
    sink._connection().execute("DELETE FROM truncates")
    return rejected


def replaces_by_patches(sink: SqliteSink, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return sink.write([_with(one, Upsert) for one in mutations])


def _with(mutation: Mutation, make: Callable[[Document], Upsert]) -> Mutation:
    action = mutation.action
    return replace(mutation, action=make(action.fields)) if isinstance(action, Patch) else mutation


def turns_a_write_around(sink: SqliteSink, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return sink.write(mutations[::-1])


def loses_the_last(sink: SqliteSink, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return sink.write(mutations[:-1])


def calls_stale_rejected(sink: SqliteSink, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    sink.write(mutations)
    return [Rejected(0, "version conflict")]


CAUGHT: Mapping[str, Sequence[Fault]] = {
    "test_an_older_upsert_changes_nothing": [takes_any_version, calls_stale_rejected],
    "test_the_same_version_again_changes_nothing": [takes_any_version],
    "test_versions_beyond_32_bits_are_compared_exactly": [compares_32_bits],
    "test_an_older_upsert_does_not_resurrect": [forgets_deletes, takes_any_version],
    "test_a_patch_older_than_a_delete_changes_nothing": [forgets_deletes],
    "test_a_truncate_is_remembered": [forgets_truncates],
    "test_an_older_truncate_changes_nothing": [forgets_truncates],
    "test_a_patch_changes_only_its_fields": [replaces_by_patches],
    "test_a_patch_of_an_unknown_document_is_rejected": [replaces_by_patches],
    "test_mutations_of_one_write_keep_their_order": [turns_a_write_around, loses_the_last],
    "test_a_deleted_document_is_gone": [loses_the_last, calls_stale_rejected],
}


@pytest.mark.parametrize(
    ("claim", "fault"),
    [
        pytest.param(claim, fault, id=f"{claim}-{fault.__name__}")
        for claim, faults in CAUGHT.items()
        for fault in faults
    ],
)
def test_a_fault_fails_its_claim(claim: str, fault: Fault, tmp_path: Path) -> None:
    store = FaultyHarness(tmp_path)
    store.fault = fault
    test = getattr(SinkContract(), claim)
    wanted = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    sink = store.make()
    sink.apply_schema(TABLE)

    with pytest.raises(AssertionError):
        test(**{name: {"store": store, "sink": sink}[name] for name in wanted})

    sink.close()


# --- random histories -----------------------------------------------------------------------------

# In memory: there a failing history is made short in a moment, on a disk that takes minutes.
MemoryFault = Callable[[MemoryStore, Sequence[Mutation]], Sequence[Rejected]]


class MemoryHarness:
    """A store in memory whose sinks have a fault."""

    waivers: Mapping[str, str] = {}
    examples = 1000

    def __init__(self, fault: MemoryFault) -> None:
        self._fault = fault
        self._store = MemoryStore()

    def reset(self) -> None:
        self._store = MemoryStore()

    def make(self) -> Sink:
        return FaultyMemorySink(self._store, self._fault)

    def documents(self, target: str) -> Mapping[str, Document]:
        return {
            id_: document for (place, id_), document in self._store.documents.items()
            if place == target
        }  # fmt: skip


class FaultyMemorySink(MemorySink):
    """A good sink behind a fault."""

    def __init__(self, store: MemoryStore, fault: MemoryFault) -> None:
        super().__init__(store)
        self._faulty_store = store
        self._fault = fault

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        return self._fault(self._faulty_store, mutations)


def no_fault(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return MemorySink(store).write(mutations)


def compares_no_versions(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    store.versions.update(dict.fromkeys(store.versions, 0))
    store.truncated.clear()
    return MemorySink(store).write(mutations)


def forgets_deleted(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    rejected = MemorySink(store).write(mutations)
    for place in store.versions.keys() - store.documents.keys():
        del store.versions[place]
    return rejected


def forgets_emptied(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    rejected = MemorySink(store).write(mutations)
    store.truncated.clear()
    for place in store.versions.keys() - store.documents.keys():
        del store.versions[place]
    return rejected


def empties_what_is_newer(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    rejected: list[Rejected] = []
    for mutation in mutations:
        if isinstance(mutation.action, Truncate):
            store.documents.clear()
        rejected += MemorySink(store).write([mutation])
    return rejected


def keeps_the_deleted(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return MemorySink(store).write([one for one in mutations if not isinstance(one.action, Delete)])


def replaces_the_rest(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return MemorySink(store).write([_with(one, Upsert) for one in mutations])


def forgets_patches(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return MemorySink(store).write([one for one in mutations if not isinstance(one.action, Patch)])


def turns_around(store: MemoryStore, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
    return MemorySink(store).write(mutations[::-1])


ANY_ORDER = "test_any_order_and_repetition_comes_to_the_same"
ANY_REPLAY = "test_any_replay_comes_to_the_same"


def run_in_memory(claim: str, fault: MemoryFault) -> None:
    getattr(SinkContract(), claim)(store=MemoryHarness(fault))


@pytest.mark.parametrize("claim", [ANY_ORDER, ANY_REPLAY])
def test_a_good_sink_keeps_the_random_claims(claim: str) -> None:
    run_in_memory(claim, no_fault)


@pytest.mark.parametrize(
    ("claim", "fault"),
    [
        (ANY_ORDER, compares_no_versions),
        (ANY_ORDER, forgets_deleted),
        (ANY_ORDER, forgets_emptied),
        (ANY_ORDER, empties_what_is_newer),
        (ANY_ORDER, keeps_the_deleted),
        # Replays end where the log ends, but begin with patches of what is deleted by then.
        (ANY_REPLAY, compares_no_versions),
        (ANY_REPLAY, forgets_deleted),
        (ANY_REPLAY, replaces_the_rest),
        (ANY_REPLAY, forgets_patches),
        (ANY_REPLAY, turns_around),
    ],
)
def test_random_histories_find_a_fault(claim: str, fault: MemoryFault) -> None:
    with pytest.raises(AssertionError):
        run_in_memory(claim, fault)
