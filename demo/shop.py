"""The demo's shop: its tables, and some 100,000 seeded rows, loaded by COPY.

The same seed gives the same rows, so that two runs show the same shop.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final

import psycopg
from psycopg.types.json import Jsonb

from demo import goods

Connection = psycopg.Connection[tuple[object, ...]]

SCHEMA: Final = """
CREATE TYPE order_status AS ENUM ('placed', 'paid', 'packed', 'shipped', 'delivered', 'returned');
CREATE TABLE categories (
    id integer PRIMARY KEY,
    name text NOT NULL UNIQUE,
    parent_id integer REFERENCES categories
);
CREATE TABLE products (
    sku text PRIMARY KEY,
    name text NOT NULL,
    description text NOT NULL,
    category_id integer NOT NULL REFERENCES categories,
    price numeric(10,2) NOT NULL,
    tags text[] NOT NULL,
    attributes jsonb NOT NULL,
    in_stock boolean NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL UNIQUE,
    city text,
    customer_since date NOT NULL
);
CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    status order_status NOT NULL,
    placed_at timestamptz NOT NULL,
    total numeric(10,2) NOT NULL
);
CREATE TABLE order_lines (
    order_id integer REFERENCES orders ON DELETE CASCADE,
    line_number smallint,
    sku text NOT NULL REFERENCES products ON UPDATE CASCADE,
    quantity integer NOT NULL,
    unit_price numeric(10,2) NOT NULL,
    discount_percent smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, line_number)
);
CREATE INDEX ON order_lines (sku);
CREATE TABLE reviews (
    id integer PRIMARY KEY,
    sku text NOT NULL REFERENCES products ON UPDATE CASCADE ON DELETE CASCADE,
    customer_id integer NOT NULL REFERENCES customers,
    stars smallint NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    written_at timestamptz NOT NULL
);
CREATE INDEX ON reviews (sku);
"""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "categories": ("id",),
    "products": ("sku",),
    "customers": ("id",),
    "orders": ("id",),
    "order_lines": ("order_id", "line_number"),
    "reviews": ("id",),
}
"""The primary key of each table, in the order in which they can be filled."""

STATUSES: Final = ("placed", "paid", "packed", "shipped", "delivered", "returned")

_FIRST_NAMES: Final = (
    "Ana", "João", "Mette", "Søren", "Chloé", "Łukasz", "Zoë", "Miguel", "Ines", "Jürgen", "Aiko",
    "Priya", "Omar", "Nora", "Björn", "Eva", "Tomás", "Sofia", "Ivan", "Leila",
)  # fmt: skip
_LAST_NAMES: Final = (
    "Silva", "Nielsen", "Martin", "Kowalska", "García", "Müller", "Tanaka", "Patel", "Haddad",
    "Berg", "Novák", "Rossi", "O'Brien", "Petrov", "Santos", "Lindqvist", "Moreau", "Fischer",
)  # fmt: skip
_CITIES: Final = (
    "Porto", "Lisboa", "København", "Århus", "Lyon", "Kraków", "Zürich", "Köln", "Malmö", "Brno",
)  # fmt: skip
_BEGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
_SPAN_S: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows of each kind; an order has one to four lines, two and a half on average."""

    products: int = 6_000
    customers: int = 6_000
    orders: int = 20_000
    reviews: int = 18_000


@dataclass(frozen=True, slots=True)
class Shop:
    """What was loaded: rows by table, and the keys that a workload chooses from."""

    rows: Mapping[str, int]
    categories: Mapping[str, int]
    skus: list[str]

    @property
    def rows_total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


def load(connection: Connection, rng: Random, sizes: Sizes) -> Shop:
    """Make the tables and fill them in one transaction."""
    categories = _categories()
    ids = {name: number for number, name, _ in categories}
    products = [goods.product(rng, number) for number in range(1, sizes.products + 1)]
    skus = [product.sku for product in products]
    orders, lines = _orders(rng, sizes, products)
    tables: dict[str, Iterable[tuple[object, ...]]] = {
        "categories": categories,
        "products": [product_row(product, ids, _moment(rng)) for product in products],
        "customers": [_customer(rng, number) for number in range(1, sizes.customers + 1)],
        "orders": orders,
        "order_lines": lines,
        "reviews": [
            review_row(rng, number, rng.choice(skus), sizes.customers, _moment(rng))
            for number in range(1, sizes.reviews + 1)
        ],
    }
    with connection.transaction():
        connection.execute(SCHEMA)
        rows = {name: _copy(connection, name, of_table) for name, of_table in tables.items()}
    connection.execute("ANALYZE")
    return Shop(rows, ids, skus)


def product_row(
    product: goods.Product, categories: Mapping[str, int], updated_at: datetime
) -> tuple[object, ...]:
    """The row of a product, in the order of the table's first nine columns."""
    return (
        product.sku,
        product.name,
        product.description,
        categories[product.category],
        product.price,
        product.tags,
        Jsonb(product.attributes),
        product.in_stock,
        updated_at,
    )


def review_row(
    rng: Random, number: int, sku: str, customers: int, written_at: datetime
) -> tuple[object, ...]:
    """The row of a review, in the order of the table's columns."""
    stars = rng.choice((1, 2, 3, 4, 4, 5, 5, 5))
    return (number, sku, rng.randint(1, customers), stars, *goods.review_text(rng), written_at)


def _copy(connection: Connection, table: str, rows: Iterable[tuple[object, ...]]) -> int:
    count = 0
    with (
        connection.cursor() as cursor,
        # The lines' last column has its default; the table names are this module's own.
        cursor.copy(_copy_statement(table)) as copy,
    ):
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def _copy_statement(table: str) -> psycopg.sql.Composed:
    columns = ""
    if table == "order_lines":
        columns = " (order_id, line_number, sku, quantity, unit_price)"
    name = psycopg.sql.Identifier(table)
    return psycopg.sql.SQL("COPY {}{} FROM STDIN").format(name, psycopg.sql.SQL(columns))


def _categories() -> list[tuple[int, str, int | None]]:
    numbers = itertools.count(1)
    rows: list[tuple[int, str, int | None]] = []
    for department, names in goods.DEPARTMENTS.items():
        parent = next(numbers)
        rows.append((parent, department, None))
        rows += [(next(numbers), name, parent) for name in names]
    return rows


def _customer(rng: Random, number: int) -> tuple[object, ...]:
    first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
    email = f"{first}.{last}{number}@example.com".lower().replace("'", "")
    city = rng.choice(_CITIES) if rng.random() < 0.9 else None
    return number, f"{first} {last}", email, city, _moment(rng).date()


def _orders(
    rng: Random, sizes: Sizes, products: list[goods.Product]
) -> tuple[list[tuple[object, ...]], Iterator[tuple[object, ...]]]:
    orders: list[tuple[object, ...]] = []
    lines: list[tuple[object, ...]] = []
    for order in range(1, sizes.orders + 1):
        total = Decimal(0)
        for line in range(1, rng.randint(1, 4) + 1):
            product, quantity = rng.choice(products), rng.choice((1, 1, 1, 2, 3))
            lines.append((order, line, product.sku, quantity, product.price))
            total += quantity * product.price
        customer = rng.randint(1, sizes.customers)
        orders.append((order, customer, rng.choice(STATUSES), _moment(rng), total))
    return orders, iter(lines)


def _moment(rng: Random) -> datetime:
    """A moment of the last years, to the microsecond."""
    return _BEGIN + timedelta(seconds=rng.random() * _SPAN_S)
