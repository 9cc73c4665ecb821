"""What the demo's shop sells: names, descriptions and reviews, made from a seeded generator."""

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One category: its things, what they are made of, and what they cost, in cents."""

    category: str
    prefix: str
    things: tuple[str, ...]
    materials: tuple[str, ...]
    cents_min: int
    cents_max: int


@dataclass(frozen=True, slots=True)
class Product:
    """One product as it is inserted."""

    sku: str
    name: str
    description: str
    category: str
    price: Decimal
    tags: list[str]
    attributes: dict[str, object]
    in_stock: bool


DEPARTMENTS: Final = {
    "Home": ("Lamps", "Tables", "Chairs", "Rugs"),
    "Kitchen": ("Knives", "Pots", "Mugs", "Coffee"),
    "Outdoors": ("Tents", "Backpacks", "Bottles"),
    "Desk": ("Notebooks", "Pens", "Keyboards"),
    "Sound": ("Headphones", "Speakers"),
}

KINDS: Final = (
    Kind("Lamps", "LMP", ("desk lamp", "floor lamp", "reading lamp", "lantern"),
         ("brass", "steel", "linen", "paper", "glass"), 1900, 28900),
    Kind("Tables", "TBL", ("side table", "desk", "dining table", "workbench"),
         ("oak", "walnut", "pine", "bamboo", "marble"), 6900, 129900),
    Kind("Chairs", "CHR", ("stool", "armchair", "rocking chair", "office chair"),
         ("oak", "beech", "leather", "wool", "rattan"), 4900, 89900),
    Kind("Rugs", "RUG", ("rug", "runner", "doormat"),
         ("wool", "cotton", "jute", "sisal"), 1500, 64900),
    Kind("Knives", "KNF", ("chef's knife", "bread knife", "paring knife", "cleaver"),
         ("carbon steel", "damascus steel", "ceramic"), 1200, 32900),
    Kind("Pots", "POT", ("stock pot", "saucepan", "frying pan", "kettle"),
         ("copper", "cast iron", "enamel", "steel"), 1900, 24900),
    Kind("Mugs", "MUG", ("mug", "espresso cup", "teapot"),
         ("stoneware", "porcelain", "enamel", "glass"), 600, 5900),
    Kind("Coffee", "COF", ("coffee grinder", "moka pot", "pour-over dripper", "espresso beans"),
         ("steel", "ceramic", "walnut", "copper"), 900, 39900),
    Kind("Tents", "TNT", ("tent", "tarp", "hammock", "awning"),
         ("nylon", "canvas", "polyester"), 4900, 79900),
    Kind("Backpacks", "BPK", ("backpack", "duffel bag", "daypack", "camera bag"),
         ("canvas", "nylon", "leather", "cork"), 2900, 34900),
    Kind("Bottles", "BTL", ("water bottle", "thermos", "hip flask"),
         ("steel", "titanium", "glass"), 900, 7900),
    Kind("Notebooks", "NTB", ("notebook", "sketchbook", "planner"),
         ("linen", "leather", "recycled paper", "cork"), 500, 4900),
    Kind("Pens", "PEN", ("fountain pen", "ballpoint pen", "mechanical pencil"),
         ("brass", "aluminium", "ebony", "resin"), 400, 45900),
    Kind("Keyboards", "KEY", ("mechanical keyboard", "number pad", "wrist rest"),
         ("aluminium", "walnut", "polycarbonate"), 1900, 38900),
    Kind("Headphones", "HPH", ("headphones", "earbuds", "headset"),
         ("leather", "aluminium", "walnut"), 2900, 89900),
    Kind("Speakers", "SPK", ("bookshelf speaker", "portable speaker", "turntable"),
         ("oak", "walnut", "aluminium", "felt"), 3900, 149900),
)  # fmt: skip

_ADJECTIVES: Final = (
    "Compact", "Classic", "Nordic", "Slim", "Folding", "Handmade", "Vintage", "Everyday", "Quiet",
    "Sturdy", "Light", "Rustic", "Modern", "Small", "Grand", "Travel",
)  # fmt: skip
_COLORS: Final = ("black", "white", "sand", "navy", "moss green", "rust red", "grey", "natural")
_TAGS: Final = ("new", "sale", "gift", "bestseller", "eco", "limited", "made in Porto", "spare")
_USES: Final = (
    "for small flats", "for long evenings", "for the weekend", "that lasts", "for early mornings",
    "you will keep", "for people who read", "for the trail", "that is easy to clean",
)  # fmt: skip
_CARE: Final = (
    "Wipe with a damp cloth.", "Ages well.", "Comes with spare parts.", "Five years of warranty.",
    "Packed without plastic.", "Assembled in ten minutes.", "Oil it once a year.",
)  # fmt: skip
_OPINIONS: Final = (
    "Better than I expected", "Exactly as described", "Not worth the price", "A gift that was kept",
    "Broke after a month", "I bought a second one", "Beautiful, but heavy", "Does what it should",
)  # fmt: skip
_REASONS: Final = (
    "It arrived within two days.", "The colour is darker than in the picture.",
    "My daughter uses it every day.", "The finish is careful, even underneath.",
    "One screw was missing, the shop sent it at once.", "It replaced one that I had for ten years.",
    "I would choose the larger size next time.", "It feels solid and makes no noise.",
)  # fmt: skip


def product(rng: Random, number: int) -> Product:
    """A product; its sku is unique for each number."""
    kind = rng.choice(KINDS)
    material, thing = rng.choice(kind.materials), rng.choice(kind.things)
    color = rng.choice(_COLORS)
    name = f"{rng.choice(_ADJECTIVES)} {material} {thing}"
    description = (
        f"{name}, {color}: a {thing} {rng.choice(_USES)}. "
        f"Made of {material}. {' '.join(rng.sample(_CARE, rng.randint(1, 3)))}"
    )
    attributes: dict[str, object] = {
        "color": color,
        "material": material,
        "weight_g": rng.randint(40, 24_000),
        "size_cm": {"width": rng.randint(3, 180), "height": rng.randint(2, 190)},
    }
    if rng.random() < 0.2:
        attributes["energy_class"] = rng.choice(("A", "B", None))
    return Product(
        sku=f"{kind.prefix}-{number:06d}",
        name=name,
        description=description,
        category=kind.category,
        price=price(rng, kind),
        tags=rng.sample(_TAGS, rng.randint(0, 3)),
        attributes=attributes,
        in_stock=rng.random() < 0.9,
    )


def price(rng: Random, kind: Kind | None = None) -> Decimal:
    """A price; cheap things are more frequent."""
    kind = kind or rng.choice(KINDS)
    cents = int(kind.cents_min + (kind.cents_max - kind.cents_min) * rng.random() ** 2.2)
    return Decimal(cents) / 100


def review_text(rng: Random) -> tuple[str, str]:
    """A title and a body; a body may hold a line break."""
    between = "\n" if rng.random() < 0.1 else " "
    return rng.choice(_OPINIONS), between.join(rng.sample(_REASONS, rng.randint(1, 3)))
