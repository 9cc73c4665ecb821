"""How long from COMMIT until a search finds it: a product with a word that nothing else has."""

import itertools
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Final

from demo import goods
from demo.pipeline import Pipeline
from demo.shop import Connection, product_row
from demo.workload import INSERT_PRODUCT
from sinks.sqlite import search

PATIENCE_S: Final = 60.0

# Beyond the numbers of the workload.
_POLL_S: Final = 0.005
_FIRST_NUMBER: Final = 900_000


class Probes:
    """Inserts marked products on a connection of its own."""

    def __init__(
        self, connection: Connection, categories: Mapping[str, int], rng: Random, pipeline: Pipeline
    ) -> None:
        self.latencies_s: list[float] = []
        self._connection = connection
        self._categories = categories
        self._rng = rng
        self._pipeline = pipeline
        self._numbers = itertools.count(_FIRST_NUMBER)

    def insert(self) -> tuple[str, float]:
        """Insert a product; the word in its name, and when its commit had returned."""
        number = next(self._numbers)
        word = f"xq{number}"
        product = goods.product(self._rng, number)
        row = list(product_row(product, self._categories, datetime.now(UTC)))
        row[1] = f"{product.name} {word}"
        self._connection.execute(INSERT_PRODUCT, row)
        return word, time.monotonic()

    def measure(self) -> float:
        """The seconds from a commit until the index has it, which are noted."""
        word, committed_s = self.insert()
        latency_s = self.wait(word) - committed_s
        self.latencies_s.append(latency_s)
        return latency_s

    def wait(self, word: str) -> float:
        """When a search for `word` first found its product."""
        self._pipeline.until(
            "a product that was committed can be found",
            lambda: self.found(word),
            PATIENCE_S,
            _POLL_S,
        )
        return time.monotonic()

    def found(self, word: str) -> bool:
        """Whether a search for `word` finds anything."""
        path = self._pipeline.index
        return path.exists() and bool(search(path, word, 1))
