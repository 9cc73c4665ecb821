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
from demo.pipeline import CACHE_PREFIX, SEARCH, Pipeline, State
from demo.probe import Probes
from demo.screen import Moving, Screen
from demo.workload import Workload
from sinks.sqlite import search

SEED: Final = 20261123
DISCOUNT_PERCENT: Final = 15
QUERY: Final = "brass reading lamp"

_PATIENCE_S: Final = 120.0
_HITS: Final = 3
# How much of the large transaction is in the index when the daemon is killed.
_KILL_AT: Final = 0.2
# How `cdc check` begins the line of a check that found nothing, and the lines of a remedy.
_FINE: Final = "  ok "
_LEFT_OUT: Final = (_FINE, "      ")


@dataclass(frozen=True, slots=True)
class Pace:
    """How busy the shop is, and how often its latency is probed."""

    transactions_per_s: float = 80.0
    probes: int = 24
    pause_s: float = 0.25
    sizes: shop.Sizes = field(default_factory=shop.Sizes)


@dataclass(slots=True)
class Measured:
    """What is told at the end."""

    snapshot_rows: int = 0
    snapshot_s: float = 0.0
    events: int = 0
    large_rows: int = 0
    large_indexed: int = 0
    killed: int = 0
    resumed_s: float = 0.0
    caught_up_s: float = 0.0
    lag: str = ""
    records: int = 0
    comparisons: list[tuple[str, comparison.Comparison]] = field(default_factory=list)


class Story:
    """One telling, on a database and a pipeline that exist already.

    `workload` is what wrote to the shop; it can go on afterwards.
    """

    def __init__(
        self,
        screen: Screen,
        database_url: str,
        pipeline: Pipeline,
        cache_url: str | None,
        pace: Pace,
    ) -> None:
        self.measured = Measured()
        self.workload: Workload | None = None
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
            loaded = self._open_shop(connection)
            self._configure()
            self.workload = workload = Workload(
                self._database_url, loaded, Random(SEED + 1), self._pace.transactions_per_s
            )
            probes = Probes(connection, loaded.categories, Random(SEED + 2), self._pipeline)
            with workload:
                self._snapshot(workload, probes)
                self._stream(connection, workload, probes)
                self._crash(connection, probes)
                self._search()
                self._stop(workload)
            self._drain(workload)
            equal = self._compare(connection)
            self._summarize(workload, probes)
        return equal

    # --- the chapters -----------------------------------------------------------------------------

    def _open_shop(self, connection: shop.Connection) -> shop.Shop:
        screen = self._screen
        screen.heading("A shop: tables and seeded rows")
        began_s = time.monotonic()
        loaded = shop.load(connection, Random(SEED), self._pace.sizes)
        took_s = time.monotonic() - began_s
        screen.say(f"{loaded.rows_total:,} rows made and loaded by COPY in {took_s:.1f} s:")
        screen.say(", ".join(f"{count:,} {table}" for table, count in loaded.rows.items()))
        return loaded

    def _configure(self) -> None:
        screen = self._screen
        screen.heading("A pipeline: cdc.yaml, and what `cdc check` says about it")
        screen.yaml(self._pipeline.text)
        screen.command("cdc check")
        lines = self._pipeline.run("check").splitlines()
        screen.quote("\n".join(line for line in lines if not line.startswith(_LEFT_OUT)))
        fine = sum(line.startswith(_FINE) for line in lines)
        screen.say(
            f"({fine} checks are ok; these lines, and the remedies of the warnings, are left out)"
        )

    def _snapshot(self, workload: Workload, probes: Probes) -> None:
        screen, pipeline, measured = self._screen, self._pipeline, self.measured
        screen.heading("The snapshot, while the shop goes on selling")
        screen.command("cdc run")
        began_s = time.monotonic()
        pipeline.start()
        with screen.moving() as show:
            since_us = 0

            def in_log() -> State | None:
                nonlocal since_us
                state = pipeline.state()
                if state is None or state.phase not in {"snapshot", "streaming"}:
                    show("starting")
                    return None
                since_us = since_us or state.since_us
                show(f"snapshot: {state.rows_done:,} of about {state.rows_estimated:,} rows")
                return state if state.phase == "streaming" else None

            state = pipeline.until("the snapshot is in the log", in_log, _PATIENCE_S)
            measured.snapshot_s = (state.since_us - since_us) / 1e6
            measured.snapshot_rows = state.rows_done
            started_s = time.monotonic() - began_s - measured.snapshot_s
            word, _ = probes.insert()
            self._follow("the snapshot is in the index", probes, word, show)
        searchable_s = time.monotonic() - began_s
        screen.say(
            f"started in {started_s:.1f} s; {measured.snapshot_rows:,} rows went into the log in "
            f"{measured.snapshot_s:.1f} s"
        )
        screen.say(
            f"{searchable_s:.1f} s after `cdc run` the index has them, "
            f"while {workload.count:,} transactions were committed"
        )

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
        screen.say(f"one transaction has changed {measured.large_rows:,} order lines")
        kill_at = measured.large_rows * _KILL_AT
        pipeline.until(
            "the transaction is in the index in part",
            lambda: self._discounted() >= kill_at,
            _PATIENCE_S,
        )
        state = pipeline.state()
        measured.events += state.events if state else 0
        measured.killed = pipeline.kill()
        killed_s = time.monotonic()
        measured.large_indexed = self._discounted()
        screen.say(
            f"kill -9 of the daemon and its workers ({measured.killed} processes) "
            f"{_ms(killed_s - committed_s)} after the commit: "
            f"the index had {measured.large_indexed:,} of the lines"
        )
        word, _ = probes.insert()
        screen.command("cdc run")
        began_s = time.monotonic()
        pipeline.start()
        with screen.moving() as show:
            self._follow("the index has what was committed before the start", probes, word, show)
            measured.resumed_s = time.monotonic() - began_s

            def caught_up() -> bool:
                state = pipeline.state()
                if state is not None:
                    show(_sinks(state))
                return state is not None and state.lag_max_s() < 1

            pipeline.until("the lag is below a second", caught_up, _PATIENCE_S)
        measured.caught_up_s = time.monotonic() - began_s
        screen.say(
            f"{measured.resumed_s:.1f} s after the start the index has all that was committed "
            f"before it, after {measured.caught_up_s:.1f} s the lag is below a second"
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
        state = pipeline.until("the daemon answers", pipeline.state, _PATIENCE_S)
        measured.events += state.events
        measured.lag = _lag(state)
        stop_s = pipeline.stop()
        before = workload.count
        screen.say(f"SIGTERM: ended after {stop_s:.1f} s")
        pipeline.until("the shop goes on", lambda: workload.count > before + 200, _PATIENCE_S)
        workload.stop()
        screen.say(f"{workload.count - before:,} transactions came while nobody listened")

    def _drain(self, workload: Workload) -> None:
        screen = self._screen
        screen.command("cdc run --until-current")
        began_s = time.monotonic()
        screen.quote(_last_lines(self._pipeline.run("run", "--until-current")))
        screen.say(
            f"done in {time.monotonic() - began_s:.1f} s, start-up included; the shop is closed "
            f"after {workload.count:,} transactions"
        )

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

    def _summarize(self, workload: Workload, probes: Probes) -> None:
        measured, screen = self.measured, self._screen
        measured.records = self._pipeline.records()
        rows = sum(one.rows for store, one in measured.comparisons if store == "search index")
        latencies_s = probes.latencies_s
        screen.heading("What was measured, on this machine, in this run")
        kinds = ", ".join(
            f"{count:,} {kind}" for kind, count in workload.transactions.most_common()
        )
        rate = measured.snapshot_rows / max(measured.snapshot_s, 0.001)
        latency = (
            f"median {_ms(median(latencies_s))}, worst {_ms(max(latencies_s))}, "
            f"of {len(latencies_s)} products"
        )
        resumed = f"the lag was below a second {measured.caught_up_s:.1f} s after the start"
        screen.facts(
            [
                ("source", f"{rows:,} rows now"),
                ("workload", f"{workload.count:,} transactions: {kinds}"),
                ("large transaction", f"{measured.large_rows:,} rows"),
                ("events", f"{measured.events:,}, as the daemons counted until the stop"),
                ("log", f"{measured.records:,} records"),
                ("snapshot", f"{measured.snapshot_rows:,} rows, {rate:,.0f} rows/s into the log"),
                ("commit to search", latency),
                ("kill -9 and resume", resumed),
                ("lag before the stop", measured.lag),
            ]
        )

    # --- what is asked ----------------------------------------------------------------------------

    def _follow(self, what: str, probes: Probes, word: str, show: Moving) -> None:
        """Wait until the marked product is found: so is then what was committed before it."""

        def reached() -> bool:
            state = self._pipeline.state()
            if state is not None:
                show(_sinks(state))
            # Before its first write the sink may not have made the file's tables.
            begun = state is not None and state.sinks[SEARCH].applied > 0
            return begun and probes.found(word)

        self._pipeline.until(what, reached, _PATIENCE_S)

    def _discounted(self) -> int:
        """Order lines in the index that the large transaction changed."""
        with closing(sqlite3.connect(f"{self._pipeline.index.as_uri()}?mode=ro", uri=True)) as file:
            (count,) = file.execute(
                "SELECT count(*) FROM documents WHERE target = 'public.order_lines'"
                f" AND json_extract(document, '$.discount_percent') = {DISCOUNT_PERCENT}"
            ).fetchone()
        return int(count)


def _sinks(state: State) -> str:
    return "; ".join(
        f"{name}: {sink.applied:,} written, "
        f"{'?' if sink.lag_records is None else f'{sink.lag_records:,}'} behind"
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
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-4:])
