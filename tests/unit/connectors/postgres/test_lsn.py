"""Log sequence numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from connectors.postgres.lsn import Lsn, end_of_record_before

NUMBERS = st.integers(0, 2**64 - 1)


@given(NUMBERS)
def test_text_form_gives_the_number_back(number: int) -> None:
    assert Lsn(number) == Lsn.parse(str(Lsn(number)))


@given(NUMBERS, NUMBERS)
def test_order_is_that_of_the_numbers_and_not_of_the_texts(one: int, other: int) -> None:
    assert (one < other) == (Lsn.parse(str(Lsn(one))) < Lsn.parse(str(Lsn(other))))


def test_text_form_is_the_servers() -> None:
    assert str(Lsn(0x16B374D848)) == "16/B374D848"
    assert str(Lsn(0)) == "0/0"
    assert f"at {Lsn(91821376)}" == "at 0/5791540"


@pytest.mark.parametrize(
    "text",
    ["", "/", "0", "0/", "/0", "0/G", "0x1/0", "-1/0", "0/1/2", "0/ 1", "1_0/0", "123456789/0"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="no log sequence number"):
        Lsn.parse(text)


@pytest.mark.parametrize(
    ("inserted", "ends"),
    [
        (0x1500028, 0x1500000),
        (0x1502018, 0x1502000),
        (0x1502000, 0x1502000),
        (0x1502048, 0x1502048),
    ],
)
def test_header_of_an_unwritten_page_is_not_waited_for(inserted: int, ends: int) -> None:
    assert ends == end_of_record_before(inserted, 8192)


@given(st.text(max_size=20))
def test_parse_raises_nothing_but_its_own_error(text: str) -> None:
    try:
        number = Lsn.parse(text)
    except DecodeError:
        return

    assert str(number).lower() == "/".join(
        part.lstrip("0") or "0" for part in text.lower().split("/")
    )
