"""What the shop's application does all day: seeded transactions of every kind.

It has its own connection. Keys change, rows come and go, a few transactions are rolled back.
The rate is a ceiling, kept by waiting; what the database cannot take is not made up for.
"""

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from types import TracebackType
from typing import Final, Self

import psycopg

from demo import goods
from demo.shop import STATUSES, Connection, Shop, product_row, review_row

INSERT_PRODUCT: Final = """
INSERT INTO products (sku, name, description, category_id, price, tags, attributes, in_stock,
                      updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_INSERT_REVIEW: Final = "INSERT INTO reviews VALUES (%s, %s, %s, %s, %s, %s, %s)"
_INSERT_LINE: Final = """
INSERT INTO order_lines (order_id, line_number, sku, quantity, unit_price)
VALUES (%s, %s, %s, %s, %s)
"""
# Above what the loaded rows use, so that the kinds of writers never meet.
_FIRST_NUMBER: Final = 500_000


class _ChangedMind(Exception):
    """The customer closed the window: the transaction is rolled back."""


class Workload:
    """A thread that writes from `start` until `stop`; a context manager does both, also again.

    `transactions` counts commits by kind; `has_rating` says that the column may be filled;
    `rate_per_s` may be changed at any time.
    """

    def __init__(self, url: str, shop: Shop, rng: Random, rate_per_s: float) -> None:
        """Connects at `start`. The keys of `shop` are followed from there on, not asked for."""
        self.transactions: Counter[str] = Counter()
        self.has_rating = threading.Event()
        self.rate_per_s = rate_per_s
        self._url = url
        self._rng = rng
        self._categories = shop.categories
        self._customers = shop.rows["customers"]
        self._skus = list(shop.skus)
        # Never ordered, so that they can be deleted.
        self._fresh: list[str] = []
        self._orders = list(range(1, shop.rows["orders"] + 1))
        self._reviews = list(range(1, shop.rows["reviews"] + 1))
        self._numbers = itertools.count(_FIRST_NUMBER)
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self._kinds: dict[str, tuple[int, Callable[[Connection], None]]] = {
            "price changes": (26, self._change_prices),
            "new reviews": (16, self._review),
            "order status changes": (15, self._advance_order),
            "orders placed": (14, self._order),
            "new products": (10, self._add_product),
            "stock changes": (8, self._change_stock),
            "key changes": (5, self._change_key),
            "deleted products": (4, self._delete_product),
            "deleted reviews": (3, self._delete_review),
            "deleted orders": (3, self._delete_order),
            "rolled back": (2, self._change_mind),
            # Nothing to draw: some of the price changes become these once the column is there.
            "ratings": (0, self._rate),
        }

    @property
    def count(self) -> int:
        """Transactions that were committed."""
        return sum(self.transactions.values()) - self.transactions["rolled back"]

    def start(self) -> None:
        """Begin to write, or go on where `stop` ended."""
        assert self._thread is None, "one thread at a time: it knows the keys"
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="workload")
        self._thread.start()

    def stop(self) -> None:
        """End after the transaction at hand; repeatable. Raises what the thread failed with."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.require_working()

    def require_working(self) -> None:
        """Raise what the thread failed with, once."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                self._write(connection)
        except psycopg.Error as error:
            self._failure = error

    def _write(self, connection: Connection) -> None:
        names = list(self._kinds)
        weights = [weight for weight, _ in self._kinds.values()]
        due_s = time.monotonic()
        while not self._stopping.wait(max(due_s - time.monotonic(), 0)):
            due_s = max(due_s + 1 / self.rate_per_s, time.monotonic() - 1)
            (name,) = self._rng.choices(names, weights)
            if name == "price changes" and self.has_rating.is_set() and self._rng.random() < 0.4:
                name = "ratings"
            with contextlib.suppress(_ChangedMind), connection.transaction():
                self._kinds[name][1](connection)
            self.transactions[name] += 1

    # --- the kinds of transactions ----------------------------------------------------------------

    def _change_prices(self, connection: Connection) -> None:
        for sku in self._some_skus(self._rng.randint(1, 3)):
            connection.execute(
                "UPDATE products SET price = %s, updated_at = %s WHERE sku = %s",
                (goods.price(self._rng), _now(), sku),
            )

    def _change_stock(self, connection: Connection) -> None:
        (sku,) = self._some_skus(1)
        connection.execute(
            "UPDATE products SET in_stock = NOT in_stock, updated_at = %s,"
            " attributes = jsonb_set(attributes, '{stock_checked}', %s) WHERE sku = %s",
            (_now(), str(self._rng.randint(1, 99)), sku),
        )

    def _rate(self, connection: Connection) -> None:
        for sku in self._some_skus(self._rng.randint(1, 10)):
            connection.execute(
                "UPDATE products SET rating = "
                "(SELECT avg(stars)::numeric(3,2) FROM reviews WHERE reviews.sku = products.sku)"
                " WHERE sku = %s",
                (sku,),
            )

    def _add_product(self, connection: Connection) -> None:
        product = goods.product(self._rng, next(self._numbers))
        connection.execute(INSERT_PRODUCT, product_row(product, self._categories, _now()))
        self._fresh.append(product.sku)

    def _delete_product(self, connection: Connection) -> None:
        """Its reviews go with it."""
        if self._fresh:
            sku = self._fresh.pop(self._rng.randrange(len(self._fresh)))
            connection.execute("DELETE FROM products WHERE sku = %s", (sku,))

    def _change_key(self, connection: Connection) -> None:
        """Its order lines and reviews follow, by ON UPDATE CASCADE."""
        skus = self._fresh if self._fresh and self._rng.random() < 0.3 else self._skus
        place = self._rng.randrange(len(skus))
        renamed = f"{skus[place][:3]}-{next(self._numbers):06d}"
        connection.execute(
            "UPDATE products SET sku = %s, updated_at = %s WHERE sku = %s",
            (renamed, _now(), skus[place]),
        )
        skus[place] = renamed

    def _review(self, connection: Connection) -> None:
        number = next(self._numbers)
        (sku,) = self._some_skus(1)
        row = review_row(self._rng, number, sku, self._customers, _now())
        connection.execute(_INSERT_REVIEW, row)
        self._reviews.append(number)

    def _delete_review(self, connection: Connection) -> None:
        number = self._reviews.pop(self._rng.randrange(len(self._reviews)))
        connection.execute("DELETE FROM reviews WHERE id = %s", (number,))

    def _order(self, connection: Connection) -> None:
        number, total = next(self._numbers), Decimal(0)
        customer = self._rng.randint(1, self._customers)
        connection.execute(
            "INSERT INTO orders VALUES (%s, %s, 'placed', %s, 0)", (number, customer, _now())
        )
        for line in range(1, self._rng.randint(1, 4) + 1):
            price, quantity = goods.price(self._rng), self._rng.randint(1, 3)
            sku = self._rng.choice(self._skus)
            connection.execute(_INSERT_LINE, (number, line, sku, quantity, price))
            total += quantity * price
        connection.execute("UPDATE orders SET total = %s WHERE id = %s", (total, number))
        self._orders.append(number)

    def _advance_order(self, connection: Connection) -> None:
        number, status = self._rng.choice(self._orders), self._rng.choice(STATUSES)
        connection.execute("UPDATE orders SET status = %s WHERE id = %s", (status, number))

    def _delete_order(self, connection: Connection) -> None:
        """Its lines go with it."""
        number = self._orders.pop(self._rng.randrange(len(self._orders)))
        connection.execute("DELETE FROM orders WHERE id = %s", (number,))

    def _change_mind(self, connection: Connection) -> None:
        connection.execute("UPDATE products SET price = 0 WHERE sku = ANY(%s)", (self._skus[:50],))
        raise _ChangedMind

    def _some_skus(self, count: int) -> list[str]:
        skus = self._fresh if self._fresh and self._rng.random() < 0.1 else self._skus
        return [self._rng.choice(skus) for _ in range(count)]


def _now() -> datetime:
    return datetime.now(UTC)
