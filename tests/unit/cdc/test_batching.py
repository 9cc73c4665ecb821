"""When a capture commits."""

from cdc.batching import CommitBudget, Limits

LIMITS = Limits(bytes_max=100, rows_max=10, age_max_s=0.02, age_cap_s=1.0, quiet_age_max_s=1.0)


def test_nothing_waiting_is_never_due() -> None:
    budget = CommitBudget(LIMITS)

    assert budget.empty
    assert budget.age_s(5.0) == 0.0
    assert not budget.due(1e9, idle=True)
    assert budget.wait_s(5.0, 0.25) == 0.25


def test_a_first_change_after_a_quiet_time_goes_out_as_soon_as_the_source_is_idle() -> None:
    budget = CommitBudget(LIMITS)
    budget.committed(0.0, 0.001)

    budget.add(10.0, 50, 1)

    assert budget.wait_s(10.0, 0.25) == 0.0
    assert budget.due(10.0, idle=True)
    assert not budget.due(10.0, idle=False)


def test_a_busy_source_commits_when_the_oldest_change_is_old_enough() -> None:
    budget = CommitBudget(LIMITS)
    budget.add(10.0, 10, 1)
    budget.add(10.015, 10, 1)

    assert not budget.due(10.019, idle=False)
    assert budget.due(10.021, idle=False)
    assert round(budget.age_s(10.021), 3) == 0.021


def test_bytes_and_rows_are_limits_of_their_own() -> None:
    by_bytes, by_rows = CommitBudget(LIMITS), CommitBudget(LIMITS)

    by_bytes.add(10.0, 100, 1)
    by_rows.add(10.0, 1, 10)

    assert by_bytes.due(10.0, idle=False)
    assert by_rows.due(10.0, idle=False)


def test_commits_keep_ten_times_their_duration_apart() -> None:
    budget = CommitBudget(LIMITS)
    budget.committed(10.0, 0.005)

    budget.add(10.01, 10, 1)

    assert not budget.due(10.049, idle=True)
    assert round(budget.wait_s(10.01, 0.25), 3) == 0.04
    assert budget.due(10.05, idle=True)


def test_a_slow_commit_raises_the_age_up_to_its_cap() -> None:
    budget = CommitBudget(LIMITS)
    budget.committed(10.0, 60.0)

    budget.add(10.0, 10, 1)

    assert not budget.due(10.99, idle=False)
    assert budget.due(11.0, idle=False)


def test_an_age_above_the_cap_is_kept() -> None:
    budget = CommitBudget(Limits(age_max_s=5.0, age_cap_s=1.0))
    budget.committed(10.0, 60.0)

    budget.add(10.0, 10, 1)

    assert not budget.due(14.9, idle=True)
    assert budget.due(15.0, idle=True)


def test_a_moved_position_alone_waits_longer() -> None:
    budget = CommitBudget(LIMITS)

    budget.add(10.0, 0, 0)

    assert not budget.due(10.9, idle=True)
    assert budget.wait_s(10.9, 5.0) > 0.09
    assert budget.due(11.0, idle=True)


def test_somebody_waiting_for_a_mark_hurries_a_batch_without_rows() -> None:
    budget = CommitBudget(LIMITS)

    budget.add(10.0, 0, 0, hurried=True)

    assert budget.due(10.0, idle=True)


def test_a_commit_empties_the_budget() -> None:
    budget = CommitBudget(LIMITS)
    budget.add(10.0, 50, 5)

    budget.committed(10.1, 0.001)

    assert budget.empty
    assert (budget.size_bytes, budget.rows) == (0, 0)
