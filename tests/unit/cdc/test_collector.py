"""The collector of a worker."""

import gc
from collections.abc import Iterator

import pytest

from cdc.collector import relax


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector as it was, afterwards."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_collector_looks_seldom_and_not_at_what_was_there() -> None:
    gc.unfreeze()
    often = gc.get_threshold()[0]

    relax()

    assert gc.isenabled()
    assert often < gc.get_threshold()[0]
    assert gc.get_freeze_count() > 1000
