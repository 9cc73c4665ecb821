"""What the comparison with Debezium's records takes to be equal."""

import pytest

from tests.conformance.compare import of_any_run

OF_ANY_RUN = '"00000000-0000-0000-0000-000000000000"'


@pytest.mark.parametrize(
    "drawn",
    [
        "0c49a023-fc69-4f26-ac6a-c2688f170fe4",
        # Drawn by a server once, and taken for a time of 1970.
        "7cefee3f-2966-4430-b654-19702650ed77",
        "19700101-2966-4430-b654-19702650ed77",
    ],
)
def test_uuid_that_a_server_drew_is_equal_whatever_its_digits(drawn: str) -> None:
    masked = of_any_run("after.n_uuidgen", f'"{drawn}"')

    assert masked == OF_ANY_RUN


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("before.n_datenow", "0"),
        ("before.n_datenow", '"1970-01-01Z"'),
        ("before.n_tsnow", '"1970-01-01T00:00:00Z"'),
        ("before.n_tstznow", '"1970-01-01T00:00:00.000000Z"'),
    ],
)
def test_epoch_that_stands_for_an_unknown_time_is_compared(path: str, text: str) -> None:
    masked = of_any_run(path, text)

    assert text == masked
