"""The contract suite itself: a sink with one fault fails the claim that is about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cdc.protocols import Document, Finding, Mutation, Patch, Rejected, Sink, Upsert
from cdc.schema import TableSchema
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
