"""What every sink must do: a suite for ours and for those of third parties.

    class TestMySink(SinkContract):
        @pytest.fixture
        def harness(self) -> Iterator[SinkHarness]:
            yield MySinkHarness(...)

The harness reads documents back without the sink. What a sink cannot do by its nature is waived
with a reason, which the test report shows. Needs pytest and hypothesis.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.protocols import Delete, Mutation, Rejected, Sink, Upsert
from cdc.testing.sink_harness import SinkHarness
from cdc.testing.sink_histories import (
    TABLE,
    TARGET,
    WIDER,
    delete,
    histories,
    patch,
    product,
    result_of,
    truncate,
    upsert,
)


class SinkContract:
    """Subclass it with a `harness` fixture. Every test's name is a claim that can be waived."""

    @pytest.fixture
    def harness(self) -> SinkHarness:
        """The store under test."""
        raise NotImplementedError("give the class a fixture `harness`")

    @pytest.fixture
    def store(self, harness: SinkHarness, request: pytest.FixtureRequest) -> SinkHarness:
        """The harness, emptied; skips what is waived."""
        claim = request.node.originalname
        if claim in harness.waivers:
            pytest.skip(f"waived: {harness.waivers[claim]}")
        harness.reset()
        return harness

    @pytest.fixture
    def sink(self, store: SinkHarness) -> Iterator[Sink]:
        """A sink that knows TABLE."""
        with _opened(store) as sink:
            yield sink

    def test_every_waiver_names_a_claim(self, harness: SinkHarness) -> None:
        """A waiver of a claim that is not there would hide a typing error."""
        claims = {name for name in dir(self) if name.startswith("test_")}

        assert set() == set(harness.waivers) - claims
        assert all(reason.strip() for reason in harness.waivers.values())

    def test_check_finds_no_error_in_a_good_store(self, sink: Sink) -> None:
        """A check of what works has results, and no error among them."""
        findings = sink.check()

        assert findings
        assert [finding for finding in findings if finding.severity == "error"] == []

    def test_a_check_changes_nothing(self, store: SinkHarness) -> None:
        """A check may run beside a pipeline that works."""
        with _opened(store) as sink:
            sink.write([upsert(1, 10)])
            sink.check()

        assert {"1": product(1)} == store.documents(TARGET)

    def test_an_upsert_replaces_the_whole_document(self, store: SinkHarness, sink: Sink) -> None:
        """Fields that are not in the new document are gone."""
        sink.write([upsert(1, 10, colour="red")])

        sink.write([upsert(1, 20, name="other")])

        assert {"1": product(1, name="other")} == store.documents(TARGET)

    def test_values_come_back_exactly(self, store: SinkHarness, sink: Sink) -> None:
        """Numbers beyond a double's digits, text of every plane, nesting, and empty things."""
        fields: dict[str, object] = {
            "id": 9007199254740993,
            "name": 'naïve \U0001f6b2 \x00 "quoted"',
            "price": 0.1,
        }

        sink.write([upsert(1, 10, **fields)])

        assert {"1": product(1, **fields)} == store.documents(TARGET)

    def test_nested_values_come_back_exactly(self, store: SinkHarness, sink: Sink) -> None:
        """Lists and objects, empty ones too, keep their kind when another field is patched."""
        fields: dict[str, object] = {"tags": ["a", "b"], "none": [], "more": {"a": {}, "b": [1]}}
        sink.write([upsert(1, 10, **fields)])

        sink.write([patch(1, 20, name="other")])

        assert {"1": product(1, **fields, name="other")} == store.documents(TARGET)

    def test_null_fields_stay_null(self, store: SinkHarness, sink: Sink) -> None:
        """Null is a value, in a whole document and in a patch."""
        sink.write([upsert(1, 10, name=None)])

        sink.write([patch(1, 20, price=None)])

        assert {"1": product(1, name=None, price=None)} == store.documents(TARGET)

    def test_an_older_upsert_changes_nothing(self, store: SinkHarness, sink: Sink) -> None:
        """A replay or reordering never brings an old value back, and is no rejection."""
        sink.write([upsert(1, 20, name="new")])

        rejected = sink.write([upsert(1, 10, name="old")])

        assert list(rejected) == []
        assert {"1": product(1, name="new")} == store.documents(TARGET)

    def test_the_same_version_again_changes_nothing(self, store: SinkHarness, sink: Sink) -> None:
        """The first of two with one version stays."""
        sink.write([upsert(1, 20, name="first")])

        rejected = sink.write([upsert(1, 20, name="second")])

        assert list(rejected) == []
        assert {"1": product(1, name="first")} == store.documents(TARGET)

    def test_versions_beyond_32_bits_are_compared_exactly(
        self, store: SinkHarness, sink: Sink
    ) -> None:
        """Sequences are microseconds: near 2**53 a difference of one still counts."""
        large = 2**53 - 2
        sink.write([upsert(1, large, name="old")])

        sink.write([upsert(1, large + 1, name="new"), upsert(1, large, name="older")])

        assert {"1": product(1, name="new")} == store.documents(TARGET)

    def test_a_patch_changes_only_its_fields(self, store: SinkHarness, sink: Sink) -> None:
        """The others keep their values."""
        sink.write([upsert(1, 10)])

        rejected = sink.write([patch(1, 20, price=1.5)])

        assert list(rejected) == []
        assert {"1": product(1, price=1.5)} == store.documents(TARGET)

    def test_an_older_patch_changes_nothing(self, store: SinkHarness, sink: Sink) -> None:
        """As an older upsert."""
        sink.write([upsert(1, 20)])

        rejected = sink.write([patch(1, 10, price=1.5)])

        assert list(rejected) == []
        assert {"1": product(1)} == store.documents(TARGET)

    def test_a_patch_of_an_unknown_document_is_rejected(
        self, store: SinkHarness, sink: Sink
    ) -> None:
        """Half a document is no document; the others of the same write are not harmed."""
        rejected = sink.write([upsert(1, 10), patch(2, 11, price=1.5), upsert(3, 12)])

        assert [one.index for one in rejected] == [1]
        assert "not in the store" in rejected[0].reason
        assert {"1": product(1), "3": product(3)} == store.documents(TARGET)

    def test_an_upsert_after_a_rejected_patch_is_taken(
        self, store: SinkHarness, sink: Sink
    ) -> None:
        """A rejection leaves no trace, whatever the versions."""
        sink.write([patch(1, 20, price=1.5)])

        rejected = sink.write([upsert(1, 10)])

        assert list(rejected) == []
        assert {"1": product(1)} == store.documents(TARGET)

    def test_a_patch_after_a_delete_is_rejected(self, store: SinkHarness, sink: Sink) -> None:
        """The deleted document's other fields are not there any more."""
        sink.write([upsert(1, 10), delete(1, 20)])

        rejected = sink.write([patch(1, 30, price=1.5)])

        assert [one.index for one in rejected] == [0]
        assert "deleted" in rejected[0].reason
        assert store.documents(TARGET) == {}

    def test_a_patch_older_than_a_delete_changes_nothing(
        self, store: SinkHarness, sink: Sink
    ) -> None:
        """A replay that begins in the middle of a document's life is no error."""
        sink.write([upsert(1, 10), delete(1, 30)])

        rejected = sink.write([patch(1, 20, price=1.5), delete(1, 30)])

        assert list(rejected) == []
        assert store.documents(TARGET) == {}

    def test_a_deleted_document_is_gone(self, store: SinkHarness, sink: Sink) -> None:
        """Readers do not find it, and a second delete is no error."""
        sink.write([upsert(1, 10), upsert(2, 11)])

        rejected = sink.write([delete(1, 20), delete(1, 21), delete(3, 22)])

        assert list(rejected) == []
        assert {"2": product(2)} == store.documents(TARGET)

    def test_an_older_upsert_does_not_resurrect(self, store: SinkHarness, sink: Sink) -> None:
        """The version of a delete is remembered, even of a document that was never there."""
        sink.write([upsert(1, 10), delete(1, 30), delete(2, 30)])

        rejected = sink.write([upsert(1, 20), upsert(2, 20)])

        assert list(rejected) == []
        assert store.documents(TARGET) == {}

    def test_a_newer_upsert_after_a_delete_is_taken(self, store: SinkHarness, sink: Sink) -> None:
        """A key may be used again."""
        sink.write([upsert(1, 10), delete(1, 20)])

        sink.write([upsert(1, 30, name="again")])

        assert {"1": product(1, name="again")} == store.documents(TARGET)

    def test_a_truncate_removes_what_is_older(self, store: SinkHarness, sink: Sink) -> None:
        """And nothing that is newer."""
        sink.write([upsert(1, 10), upsert(2, 30)])

        rejected = sink.write([truncate(20)])

        assert list(rejected) == []
        assert {"2": product(2)} == store.documents(TARGET)

    def test_a_truncate_is_remembered(self, store: SinkHarness) -> None:
        """Older mutations that come later do nothing, in another process too."""
        with _opened(store) as sink:
            sink.write([upsert(1, 10), truncate(20)])

        with _opened(store) as sink:
            rejected = sink.write([upsert(1, 15), patch(1, 16, price=1.5), upsert(2, 12)])

        assert list(rejected) == []
        assert store.documents(TARGET) == {}

    def test_a_truncate_removes_many(self, store: SinkHarness, sink: Sink) -> None:
        """More than one step of any store's paging."""
        sink.write([upsert(number, number) for number in range(1, 2601)])

        sink.write([truncate(2600), upsert(1, 2700)])

        assert {"1": product(1), "2600": product(2600)} == store.documents(TARGET)

    def test_an_older_truncate_changes_nothing(self, store: SinkHarness, sink: Sink) -> None:
        """Truncates are versions too."""
        sink.write([truncate(30), upsert(1, 40)])

        sink.write([truncate(20), upsert(2, 25)])

        assert {"1": product(1)} == store.documents(TARGET)

    def test_mutations_of_one_write_keep_their_order(self, store: SinkHarness, sink: Sink) -> None:
        """Each acts on what the one before left."""
        sink.write(
            [
                upsert(1, 10),
                patch(1, 11, name="second"),
                delete(2, 12),
                patch(1, 13, price=3.5),
                delete(1, 14),
                upsert(1, 15, name="third"),
                patch(1, 16, sold=True),
            ]
        )

        assert {"1": product(1, name="third", sold=True)} == store.documents(TARGET)

    def test_a_column_can_be_added(self, store: SinkHarness, sink: Sink) -> None:
        """A wider structure follows; old documents stay as they are."""
        sink.write([upsert(1, 10)])

        sink.apply_schema(WIDER)
        sink.apply_schema(WIDER)
        sink.write([upsert(2, 20, colour="red")])

        assert {"1": product(1), "2": product(2, colour="red")} == store.documents(TARGET)

    def test_odd_ids_name_their_own_document(self, store: SinkHarness, sink: Sink) -> None:
        """Ids are any text: separators, patterns, quotes, braces, blanks, other scripts."""
        ids = ["a:b", "a*b", "a?[b]", "a{b}", "a/b", 'a"b', "a'b", "a b", "a%2Fb", "ä", "a\\b"]
        sink.write([Mutation(TARGET, id_, 10, Upsert(product(n))) for n, id_ in enumerate(ids)])

        sink.write([Mutation(TARGET, "a*b", 20, Delete())])

        expected = {id_: product(n) for n, id_ in enumerate(ids) if id_ != "a*b"}
        assert expected == store.documents(TARGET)

    def test_an_empty_write_is_nothing(self, sink: Sink) -> None:
        """No mutations, no rejections."""
        assert list(sink.write([])) == []

    def test_close_may_be_repeated(self, store: SinkHarness) -> None:
        """Before the first write too."""
        sink = store.make()
        sink.close()

        sink.apply_schema(TABLE)
        sink.close()
        sink.close()

    def test_any_order_and_repetition_comes_to_the_same(self, store: SinkHarness) -> None:
        """Whole documents, deletes and truncates, shuffled and doubled, in writes of any size."""

        @settings(
            max_examples=store.examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            report_multiple_bugs=False,
        )
        @given(histories(patches=False), st.randoms(use_true_random=False))
        def converges(history: list[Mutation], chance: random.Random) -> None:
            seen = [*history, *chance.sample(history, chance.randint(0, len(history)))]
            chance.shuffle(seen)

            assert _write_in_pieces(store, seen, chance) == []
            assert result_of(history) == store.documents(TARGET)

        converges()

    def test_any_replay_comes_to_the_same(self, store: SinkHarness) -> None:
        """With patches too: a reader that goes back some way and comes again, any number of times.

        Patches need their documents, so their order per document is the log's.
        """

        @settings(
            max_examples=store.examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            report_multiple_bugs=False,
        )
        @given(histories(patches=True), st.randoms(use_true_random=False))
        def converges(history: list[Mutation], chance: random.Random) -> None:
            seen: list[Mutation] = []
            done = 0
            while done < len(history):
                start, done = chance.randint(0, done), chance.randint(done + 1, len(history))
                seen += history[start:done]

            assert _write_in_pieces(store, seen, chance) == []
            assert result_of(history) == store.documents(TARGET)

        converges()


@contextmanager
def _opened(store: SinkHarness) -> Iterator[Sink]:
    sink = store.make()
    try:
        sink.apply_schema(TABLE)
        yield sink
    finally:
        sink.close()


def _write_in_pieces(
    store: SinkHarness, mutations: Sequence[Mutation], chance: random.Random
) -> list[Rejected]:
    """Write to an emptied store in writes of any size, each by a new sink now and then."""
    store.reset()
    rejected: list[Rejected] = []
    left = list(mutations)
    while left:
        with _opened(store) as sink:
            for _ in range(chance.randint(1, 4)):
                piece, left = left[: (size := chance.randint(1, 6))], left[size:]
                rejected += sink.write(piece)
    return rejected
