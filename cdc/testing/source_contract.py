"""What every source must do: a suite for ours and for those of third parties.

    class TestMySource(SourceContract):
        @pytest.fixture
        def harness(self) -> SourceHarness:
            return MySourceHarness(...)

What a source cannot do by its nature is waived with a reason, which the test report shows.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from cdc.checkpoint import Checkpoint
from cdc.errors import LeaseLost, TransientError
from cdc.testing.source_harness import STEP_S, Session, SourceHarness, applied, number, places

Open = Callable[..., Session]


class SourceContract:
    """Subclass it with a `harness` fixture. Every test's name is a claim that can be waived."""

    @pytest.fixture
    def harness(self) -> SourceHarness:
        """The database under test."""
        raise NotImplementedError("give the class a fixture `harness`")

    @pytest.fixture
    def database(self, harness: SourceHarness, request: pytest.FixtureRequest) -> SourceHarness:
        """The database, its table empty; skips what is waived."""
        claim = request.node.originalname
        if claim in harness.waivers:
            pytest.skip(f"waived: {harness.waivers[claim]}")
        return harness

    @pytest.fixture
    def session(self, database: SourceHarness) -> Iterator[Open]:
        """Opens sessions; closes them at the end."""
        with ExitStack() as stack:

            def open_session(checkpoint: Checkpoint | None = None) -> Session:
                opened = Session(database, checkpoint)
                stack.callback(opened.source.close)
                return opened

            yield open_session

    def test_waivers_name_claims(self, harness: SourceHarness) -> None:
        """A waiver of a claim that is not there would hide a typing error."""
        claims = {name for name in dir(self) if name.startswith("test_")}

        assert set() == set(harness.waivers) - claims
        assert all(reason.strip() for reason in harness.waivers.values())

    def test_check_finds_no_error_in_a_good_database(self, database: SourceHarness) -> None:
        """A check of what works has results, and no error among them."""
        source = database.make()

        findings = source.check()

        assert findings
        assert [finding for finding in findings if finding.severity == "error"] == []
        source.close()

    def test_one_instance_at_a_time_has_the_lease(self, session: Open) -> None:
        """A second one waits, and gets it when the first has closed; closing is repeatable."""
        first = session()
        second = first.harness.make()

        refused = second.acquire(STEP_S)
        first.source.close()
        first.source.close()
        first.until(lambda: second.acquire(STEP_S))

        assert refused is False
        second.close()

    def test_a_lost_lease_is_seen_at_a_keepalive(self, session: Open) -> None:
        """Within the patience of the test; a loop asks every half second."""
        one = session()
        one.poll()

        one.harness.lose_lease()

        def lost() -> bool:
            try:
                one.source.keepalive()
            except LeaseLost:
                return True
            return False

        one.until(lost)

    def test_where_it_begins_comes_before_any_row(
        self, database: SourceHarness, session: Open
    ) -> None:
        """The first batch has no event and a checkpoint to resume from.

        A log at least once shows rows before the checkpoint behind them is durable. If a crash then
        began elsewhere, what was deleted in between would stay for ever.
        """
        database.insert(range(5))
        one = session()
        one.until(lambda: one.poll() is not None)
        first = one.batches[0]
        one.source.close()
        database.delete(2)

        again = session(one.checkpoint)
        again.until_marked()

        assert first.events == []
        assert first.checkpoint.parts
        assert applied(again.events) == database.rows()

    def test_the_snapshot_gives_every_row_once(
        self, database: SourceHarness, session: Open
    ) -> None:
        """As `r`, with the values that the database has; then the source streams."""
        database.insert(range(20))
        one = session()

        one.until_marked()

        rows = [event for event in one.events if event.op == "r"]
        assert sorted(number((event.after or ())[0]) for event in rows) == list(range(20))
        assert applied(rows) == database.rows()
        assert one.source.progress().phase == "streaming"

    def test_changes_come_in_commit_order(self, database: SourceHarness, session: Open) -> None:
        """Each with its transaction and its place in it, counted from 0."""
        one = session()
        one.until_marked("begin")

        database.insert([1, 2, 3])
        database.rename(2, "other")
        database.renumber(2, 20)
        database.delete(20)
        one.until_marked("end")

        found = places(one.events)
        assert [op for _, _, op in found] == ["c", "c", "c", "u", "u", "d"]
        assert [ordinal for _, ordinal, _ in found] == [0, 1, 2, 0, 0, 0]
        assert len({transaction for transaction, _, _ in found}) == 4
        assert applied(one.events) == database.rows() == {1: "name 1", 3: "name 3"}

    def test_a_changed_key_comes_with_the_old_one(
        self, database: SourceHarness, session: Open
    ) -> None:
        """As one update whose `before` holds at least the old key."""
        database.insert([1])
        one = session()
        one.until_marked("begin")

        database.renumber(1, 10)
        one.until_marked("end")

        changed = one.events[-1]
        assert (changed.op, (changed.before or ())[0], (changed.after or ())[0]) == ("u", 1, 10)

    def test_nothing_of_a_rolled_back_transaction_comes(
        self, database: SourceHarness, session: Open
    ) -> None:
        """Neither its rows nor a gap in the marks behind it."""
        one = session()
        one.until_marked("begin")

        database.roll_back(1)
        database.insert([2])
        one.until_marked("end")

        assert [(event.after or ())[0] for event in one.events] == [2]

    def test_a_resume_behind_any_batch_repeats_and_skips_nothing(
        self, database: SourceHarness, session: Open
    ) -> None:
        """Nothing was acknowledged, so that every checkpoint can still be resumed from."""
        one = session()
        one.until_marked("begin")
        checkpoints, given = [one.checkpoint], [0]
        for id_ in range(1, 5):
            database.insert([id_, id_ * 100])
            one.until_marked(f"mark {id_}")
            checkpoints.append(one.checkpoint)
            given.append(len(one.events))
        one.source.close()
        whole = places(one.events)

        for checkpoint, count in zip(checkpoints, given, strict=True):
            again = session(checkpoint)
            again.until_marked()
            again.source.close()

            assert whole[count:] == places(again.events)

    def test_a_large_transaction_is_resumed_inside(
        self, database: SourceHarness, session: Open
    ) -> None:
        """Behind each of its batches, however many there are."""
        one = session()
        one.until_marked("begin")
        checkpoints, given = [one.checkpoint], [len(one.events)]
        database.insert(range(1000))
        seen = len(one.batches)
        one.until_marked("end")
        for batch in one.batches[seen:]:
            checkpoints.append((checkpoints[-1] or Checkpoint()).merged(batch.checkpoint))
            given.append(given[-1] + len(batch.events))
        one.source.close()
        whole = places(one.events)

        for checkpoint, count in list(zip(checkpoints, given, strict=True))[:20]:
            again = session(checkpoint)
            again.until_marked()
            again.source.close()

            assert whole[count:] == places(again.events)
        assert [ordinal for _, ordinal, _ in whole] == list(range(1000))

    def test_a_snapshot_is_resumed_life_after_life(
        self, database: SourceHarness, session: Open
    ) -> None:
        """Rows may come again; what is written between the lives is neither lost nor undone."""
        database.insert(range(50))
        rows: dict[int, str] = {}
        checkpoint: Checkpoint | None = None
        streaming, life = False, 0
        while not streaming:
            life += 1
            assert life < 100, "the snapshot does not end"
            one = session(checkpoint)
            for _ in range(life):
                one.poll()
            streaming = one.source.progress().phase == "streaming"
            checkpoint, rows = one.checkpoint, applied(one.events, rows)
            one.source.close()
            database.rename(life % 40, f"life {life}")
            database.delete(max(database.rows()))

        last = session(checkpoint)
        last.until_marked()

        assert applied(last.events, rows) == database.rows()

    def test_what_was_acknowledged_does_not_come_again(
        self, database: SourceHarness, session: Open
    ) -> None:
        """And what was not does; an acknowledgement may be repeated."""
        one = session()
        one.until_marked("begin")
        database.insert([1])
        one.until_marked("one")
        one.ack()
        one.ack()
        one.source.keepalive()
        one.source.close()
        database.insert([2])

        again = session(one.checkpoint)
        again.until_marked()

        assert [(event.after or ())[0] for event in again.events] == [2]

    def test_a_mark_comes_behind_everything_committed_before_it(
        self, database: SourceHarness, session: Open
    ) -> None:
        """Several marks in their order, and also when nothing at all is written."""
        one = session()
        one.until_marked("quiet")
        database.insert([1])

        one.until_marked("written")
        one.until_marked("quiet again")

        behind = [mark for batch in one.batches for mark in batch.marks]
        assert behind == ["quiet", "written", "quiet again"]
        assert len(one.events) == 1

    def test_a_poll_without_changes_ends_in_time(self, session: Open) -> None:
        """It gives None, or a batch without events that moves the position."""
        one = session()
        one.until_marked()

        one.until(lambda: one.source.poll(STEP_S) is None)

    def test_acknowledging_inside_a_large_transaction_keeps_the_rest(
        self, database: SourceHarness, session: Open
    ) -> None:
        """What a batch offers to be forgotten never includes what is still to be read."""
        one = session()
        one.until_marked("begin")
        database.insert(range(1000))
        one.batches.clear()
        one.until(lambda: one.poll() is not None and bool(one.events))
        one.ack()
        one.source.keepalive()
        one.source.close()

        again = session(one.checkpoint)
        again.until_marked()

        whole = places(one.events) + places(again.events)
        assert [ordinal for _, ordinal, _ in whole] == list(range(1000))

    def test_a_closed_source_gives_no_batch(self, session: Open) -> None:
        """A source is not used again; whoever tries hears of it."""
        one = session()
        one.poll()

        one.source.close()

        with pytest.raises((TransientError, AssertionError)):
            one.source.keepalive()
