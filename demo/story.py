"""The demo from the first row to the comparison, in the order in which it is told."""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Final

import psycopg

from demo import comparison, shop
from demo.pipeline import CACHE_PREFIX, DemoError, Pipeline, State
from demo.probe import Probes
from demo.screen import Screen
from demo.workload import Workload
from sinks.sqlite import search

SEED: Final = 20261123
DISCOUNT_PERCENT: Final = 15
QUERY: Final = "brass reading lamp"

_SNAPSHOT_S: Final = 90.0
_RESUME_S: Final = 90.0
_HITS: Final = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How busy the shop is, and how often its latency is probed."""

    transactions_per_s: float = 200.0
    probes: int = 24
    pause_s: float = 0.25
    sizes: shop.Sizes = field(default_factory=shop.Sizes)


@dataclass(slots=True)
class Measured:
    """What is told at the end."""

    snapshot_rows: int = 0
    snapshot_s: float = 0.0
    searchable_s: float = 0.0
    events: int = 0
    large_rows: int = 0
    large_indexed: int = 0
    killed: int = 0
    caught_up_s: float = 0.0
    lag: str = ""
    stop_s: float = 0.0
    drain_s: float = 0.0
    records: int = 0
    comparisons: list[tuple[str, comparison.Comparison]] = field(default_factory=list)


class Story:
    """One telling, on a database and a pipeline that exist already."""

    def __init__(
        self,
        screen: Screen,
        database_url: str,
        pipeline: Pipeline,
        cache_url: str | None,
        pace: Pace,
    ) -> None:
        self.measured = Measured()
        self.shop: shop.Shop | None = None
        self._screen = screen
        self._database_url = database_url
        self._pipeline = pipeline
        self._cache_url = cache_url
        self._pace = pace

    def tell(self) -> bool:
        """Tell it all; whether the stores equal the source.

        Raises DemoError or psycopg.Error when something on the way does not go as it must.
        """
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            self.shop = loaded = self._open_shop(connection)
            self._configure()
            workload = self.workload(self._pace.transactions_per_s, seed=SEED + 1)
            probes = Probes(connection, loaded.categories, Random(SEED + 2), self._pipeline)
            with workload:
                self._snapshot(workload, probes)
                self._stream(connection, workload, probes)
                self._crash(connection, probes)
                self._search()
                self._stop(workload)
            self._drain(workload)
            equal = self._compare(connection)
            self._summarize(connection, workload, probes)
        return equal

    def workload(self, rate_per_s: float, seed: int) -> Workload:
        """A workload on the shop as it was loaded."""
        assert self.shop is not None, "the shop was opened"
        return Workload(self._database_url, self.shop, Random(seed), rate_per_s)

    # --- the chapters -----------------------------------------------------------------------------

    def _open_shop(self, connection: shop.Connection) -> shop.Shop:
        screen = self._screen
        screen.heading("A shop: tables and seeded rows")
        began_s = time.monotonic()
        loaded = shop.load(connection, Random(SEED), self._pace.sizes)
        took_s = time.monotonic() - began_s
        screen.say(", ".join(f"{count:,} {table}" for table, count in loaded.rows.items()))
        screen.say(f"{loaded.rows_total:,} rows made and loaded by COPY in {took_s:.1f} s")
        return loaded

    def _configure(self) -> None:
        screen = self._screen
        screen.heading("A pipeline: cdc.yaml, and what `cdc check` says about it")
        screen.yaml(self._pipeline.text)
        screen.command("cdc check")
        screen.quote(self._pipeline.run("check"))

    def _snapshot(self, workload: Workload, probes: Probes) -> None:
        screen, pipeline, measured = self._screen, self._pipeline, self.measured
        screen.heading("The snapshot, while the shop goes on selling")
        screen.command("cdc run")
        began_s = time.monotonic()
        pipeline.start()
        with screen.moving() as show:

            def in_log() -> State | None:
                state = pipeline.state()
                if state is not None:
                    show(f"snapshot: {state.rows_done:,} of about {state.rows_estimated:,} rows")
                return state if state is not None and state.phase == "streaming" else None

            state = pipeline.until("the snapshot is in the log", in_log, _SNAPSHOT_S)
            measured.snapshot_s = time.monotonic() - began_s
            measured.snapshot_rows = state.rows_done
            word, _ = probes.insert()

            def in_index() -> bool:
                state = pipeline.state()
                if state is not None:
                    show(f"index: {_sinks(state)}")
                return self._all_indexed() and probes.found(word)

            pipeline.until("the snapshot is in the index", in_index, _SNAPSHOT_S)
        measured.searchable_s = time.monotonic() - began_s
        screen.say(
            f"{measured.snapshot_rows:,} rows in the log {measured.snapshot_s:.1f} s "
            f"and in the search index {measured.searchable_s:.1f} s after the start of `cdc run`"
        )
        screen.say(f"meanwhile {workload.count:,} transactions were committed")

    def _stream(self, connection: shop.Connection, workload: Workload, probes: Probes) -> None:
        screen, pace = self._screen, self._pace
        screen.heading("The stream: new rows, changed prices, deletes, key changes")
        with screen.moving() as show:
            for number in range(1, pace.probes + 1):
                if number == pace.probes // 2:
                    connection.execute("ALTER TABLE products ADD COLUMN rating numeric(3,2)")
                    workload.has_rating.set()
                    screen.say("ALTER TABLE products ADD COLUMN rating; from now on it is filled")
                latency_s = probes.measure()
                show(
                    f"{workload.count:,} transactions; a new product was found "
                    f"{_ms(latency_s)} after its commit"
                )
                time.sleep(pace.pause_s)
        latencies_s = probes.latencies_s
        screen.say(
            f"from commit to search: median {_ms(median(latencies_s))}, worst "
            f"{_ms(max(latencies_s))} of {len(latencies_s)} products, under load"
        )

    def _crash(self, connection: shop.Connection, probes: Probes) -> None:
        screen, pipeline, measured = self._screen, self._pipeline, self.measured
        screen.heading("A large transaction, and kill -9 in its middle")
        with connection.transaction():
            # One lock instead of many: the shop waits for us, and never we for the shop.
            connection.execute("LOCK TABLE order_lines IN SHARE ROW EXCLUSIVE MODE")
            measured.large_rows = connection.execute(
                f"UPDATE order_lines SET discount_percent = {DISCOUNT_PERCENT}"
            ).rowcount
        committed_s = time.monotonic()
        pipeline.until("the transaction reaches the index", self._discounted, _RESUME_S)
        state = pipeline.state()
        measured.events += state.events if state else 0
        measured.killed = pipeline.kill()
        killed_s = time.monotonic()
        measured.large_indexed = self._discounted()
        screen.say(f"one transaction changed {measured.large_rows:,} order lines")
        screen.say(
            f"kill -9 of {measured.killed} processes {_ms(killed_s - committed_s)} after its "
            f"commit: the index had {measured.large_indexed:,} of the changed lines"
        )
        word, _ = probes.insert()
        (expected,) = connection.execute(
            f"SELECT count(*) FROM order_lines WHERE discount_percent = {DISCOUNT_PERCENT}"
        ).fetchall()[0]
        screen.command("cdc run")
        began_s = time.monotonic()
        pipeline.start()
        with screen.moving() as show:

            def caught_up() -> bool:
                state = pipeline.state()
                if state is not None:
                    show(f"resuming: {_sinks(state)}")
                # Lines of the transaction may have been deleted since; new ones have no discount.
                return probes.found(word) and self._lag_is_low(state)

            pipeline.until("the index has caught up", caught_up, _RESUME_S)
        measured.caught_up_s = time.monotonic() - began_s
        screen.say(
            f"resumed, and caught up {measured.caught_up_s:.1f} s after the start: the index has "
            f"{self._discounted():,} changed lines, SQL counted {expected:,}"
        )

    def _search(self) -> None:
        screen = self._screen
        screen.heading(f"A search: {QUERY}")
        began_s = time.monotonic()
        hits = search(self._pipeline.index, QUERY, _HITS)
        took_s = time.monotonic() - began_s
        for hit in hits:
            document = hit.document
            screen.say(f"{hit.id}  {document.get('name')}, {document.get('price')}")
        screen.say(f"the best {len(hits)} hits, in {_ms(took_s)}")

    def _stop(self, workload: Workload) -> None:
        screen, pipeline, measured = self._screen, self._pipeline, self.measured
        screen.heading("A graceful stop, and a shop that does not wait for us")
        state = pipeline.until("the daemon answers", pipeline.state, _RESUME_S)
        measured.events += state.events
        measured.lag = _lag(state)
        measured.stop_s = pipeline.stop()
        before = workload.count
        screen.say(f"SIGTERM: ended after {measured.stop_s:.1f} s")
        pipeline.until("the shop goes on", lambda: workload.count > before + 200, _RESUME_S)
        workload.stop()
        screen.say(f"{workload.count - before:,} transactions came while nobody listened")

    def _drain(self, workload: Workload) -> None:
        screen, pipeline, measured = self._screen, self._pipeline, self.measured
        screen.command("cdc run --until-current")
        began_s = time.monotonic()
        screen.quote(_last_lines(pipeline.run("run", "--until-current")))
        measured.drain_s = time.monotonic() - began_s
        screen.say(f"done in {measured.drain_s:.1f} s; the shop is closed, {workload.count:,} "
                   "transactions were committed")  # fmt: skip

    def _compare(self, connection: shop.Connection) -> bool:
        screen, pipeline = self._screen, self._pipeline
        screen.heading("The judge: SQL on the source against what the stores hold")
        must = comparison.expected(connection, pipeline.salt)
        found = comparison.in_index(pipeline.index)
        compared = self.measured.comparisons
        for table in {**must, **found}:
            one = comparison.compare(table, must.get(table, {}), found.get(table, {}))
            compared.append(("search index", one))
        if self._cache_url is not None:
            cached = comparison.in_cache(self._cache_url, CACHE_PREFIX)
            compared.append(("cache", comparison.compare("products", must["products"], cached)))
        screen.table(
            ("table", "store", "source rows", "missing", "stale", "extra"),
            [
                (one.table, store, f"{one.rows:,}",
                 *(f"{len(ids):,}" for ids in (one.missing, one.stale, one.extra)))
                for store, one in compared
            ],
        )  # fmt: skip
        for store, one in compared:
            for line in one.differences():
                screen.bad(f"{store}: {line}")
        equal = all(one.equal for _, one in compared)
        if equal:
            stores = "search index = cache" if self._cache_url else "search index"
            screen.good(f"source = {stores}, every row and every field")
        return equal

    def _summarize(self, connection: shop.Connection, workload: Workload, probes: Probes) -> None:
        measured, screen = self.measured, self._screen
        measured.records = self._pipeline.records()
        rows = sum(one.rows for store, one in measured.comparisons if store == "search index")
        latencies_s = probes.latencies_s
        screen.heading("What was measured, on this machine, in this run")
        kinds = ", ".join(
            f"{count:,} {kind}" for kind, count in workload.transactions.most_common()
        )
        screen.facts([
            ("rows in the source", f"{rows:,}"),
            ("snapshot", f"{measured.snapshot_rows:,} rows in {measured.snapshot_s:.1f} s, "
             f"{measured.snapshot_rows / measured.snapshot_s:,.0f} rows/s, start-up included"),
            ("transactions", f"{workload.count:,}: {kinds}"),
            ("records in the log", f"{measured.records:,}"),
            ("commit to search", f"median {_ms(median(latencies_s))}, worst {_ms(max(latencies_s))}"),
            ("kill -9 and resume", f"caught up after {measured.caught_up_s:.1f} s"),
            ("lag before the stop", measured.lag),
        ])  # fmt: skip
        del connection

    # --- what is asked ----------------------------------------------------------------------------

    def _all_indexed(self) -> bool:
        state = self._pipeline.state()
        return self._lag_is_low(state)

    def _lag_is_low(self, state: State | None) -> bool:
        return state is not None and all(
            sink.lag_s is not None and sink.lag_s < 1 and sink.phase == "delivering"
            for sink in state.sinks.values()
        )

    def _discounted(self) -> int:
        """Order lines in the index that the large transaction changed."""
        with closing(sqlite3.connect(f"{self._pipeline.index.as_uri()}?mode=ro", uri=True)) as file:
            (count,) = file.execute(
                "SELECT count(*) FROM documents WHERE target = 'public.order_lines'"
                f" AND json_extract(document, '$.discount_percent') = {DISCOUNT_PERCENT}"
            ).fetchone()
        return int(count)


def _sinks(state: State) -> str:
    return ", ".join(
        f"{name} {sink.applied:,} changes written, "
        f"{'?' if sink.lag_records is None else f'{sink.lag_records:,}'} records behind"
        for name, sink in state.sinks.items()
    )


def _lag(state: State) -> str:
    parts = [f"source {state.lag_s:.1f} s" if state.lag_s is not None else "source unknown"]
    parts += [
        f"{name} {sink.lag_s:.1f} s" if sink.lag_s is not None else f"{name} unknown"
        for name, sink in state.sinks.items()
    ]
    return ", ".join(parts)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-4:])
