from random import Random

from demo import goods


def test_the_same_seed_makes_the_same_product() -> None:
    once, again = Random(1), Random(1)

    assert goods.product(once, 7) == goods.product(again, 7)


def test_every_kind_belongs_to_a_department() -> None:
    assert sorted(kind.category for kind in goods.KINDS) == sorted(
        category for categories in goods.DEPARTMENTS.values() for category in categories
    )


def test_skus_differ_whatever_the_generator_says() -> None:
    rng = Random(1)

    assert len({goods.product(rng, number).sku for number in range(500)}) == 500
