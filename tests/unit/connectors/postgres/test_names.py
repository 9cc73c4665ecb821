"""Names at the server."""

import re

from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.names import default_publication, default_slot, lease_key, made_by

NAMES = st.text(min_size=1, max_size=80)


def test_plain_names_are_joined_as_they_are() -> None:
    assert default_slot("shop", "shop") == "cdc_shop"
    assert default_slot("shop", "orders") == "cdc_shop_orders"
    assert default_publication("shop", "orders") == "cdc_shop_orders"


def test_names_and_lease_stay_what_they_were_in_the_first_release() -> None:
    assert default_slot("my-shop", "Orders") == "cdc_my_shop_orders_21944bc478"
    assert lease_key("shop", "shop") == -6005378855540833894


def test_comment_names_pipeline_and_source() -> None:
    assert made_by("shop", "db") == "made by Tidewire for source db of pipeline shop"


@given(NAMES, NAMES)
def test_slot_name_is_legal_whatever_the_names_are(pipeline: str, source: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]{1,63}", default_slot(pipeline, source))


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_sources_never_share_a_slot_or_a_lease(
    pipeline: str, source: str, other_pipeline: str, other_source: str
) -> None:
    same = (pipeline, source) == (other_pipeline, other_source)

    assert same == (default_slot(pipeline, source) == default_slot(other_pipeline, other_source))
    assert same == (lease_key(pipeline, source) == lease_key(other_pipeline, other_source))


def test_underscores_do_not_make_two_pairs_alike() -> None:
    assert default_slot("a_b", "c") != default_slot("a", "b_c")
