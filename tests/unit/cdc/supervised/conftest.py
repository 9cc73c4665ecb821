"""What these tests share."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def _own_journal() -> None:
    # An earlier test may have opened a journal on a standard error that is closed by now.
    structlog.reset_defaults()
