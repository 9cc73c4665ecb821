"""Topic patterns."""

import re

import pytest

from cdc.logs.globs import Patterns, expression


@pytest.mark.parametrize(
    ("pattern", "meant", "not_meant"),
    [
        (
            "shop.public.orders",
            ["shop.public.orders"],
            ["shop.public.orders2", "shopXpublic.orders"],
        ),
        ("shop.*", ["shop.", "shop.a", "shop.a.b"], ["shop", "shopping.a", "my.shop.a"]),
        ("*.orders", ["a.orders", "a.b.orders", "_a.orders"], ["orders", "__a.orders"]),
        ("*", ["a", "_a", "a__b"], ["__cdc.shop.schemas", "__consumer_offsets"]),
        ("__cdc.shop.*", ["__cdc.shop.schemas"], ["__cdc.crm.schemas"]),
        ("a*z", ["az", "a-b_c.z"], ["a", "azb"]),
    ],
)
def test_a_star_means_any_characters_but_never_bookkeeping(
    pattern: str, meant: list[str], not_meant: list[str]
) -> None:
    patterns = Patterns([pattern])

    assert [name for name in meant if patterns.means(name)] == meant
    assert not [name for name in not_meant if patterns.means(name)]


def test_an_expression_uses_only_what_posix_knows() -> None:
    text = expression("*shop-a_b.c*")

    assert re.fullmatch(r"(?:[A-Za-z0-9_\-\^$*.()\[\]|?]|\\\.)+", text)
