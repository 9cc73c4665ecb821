"""A person's walk through the status page, in a real browser against the real admin server."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cdc.admin.server import AdminServer
from tests.lab import ChromiumServer
from tests.lab.browser import Browser
from tests.unit.cdc.admin.daemons import FAILED, NOTED, SINK, SNAPSHOTTING, SOURCE, ChosenDaemon

pytestmark = pytest.mark.browser
LAMP = {"target": "public.products", "id": "7", "document": {"id": 7, "name": "Blue lamp <b>x</b>"}}


def lamps(words: str, rows_max: int) -> Sequence[Mapping[str, object]]:
    return [LAMP][:rows_max] if "lamp" in words else []


@pytest.fixture
def daemon() -> ChosenDaemon:
    return ChosenDaemon(SOURCE, SINK)


@pytest.fixture
def server(daemon: ChosenDaemon) -> Iterator[AdminServer]:
    with TemporaryDirectory(prefix="tw") as folder:
        server = AdminServer(daemon, Path(folder) / "s", "127.0.0.1:0", None, {"search": lamps})
        server.start()
        yield server
        server.stop()


@pytest.fixture
def page(server: AdminServer, chromium: ChromiumServer) -> Iterator[Browser]:
    with Browser(chromium) as browser:
        browser.set_size(1360, 900)
        browser.open(f"http://127.0.0.1:{server.port}/")
        browser.wait_for("document.querySelectorAll('#sources .card').length === 1")
        yield browser
        # A wire to a card that is missing, a broken template, a refused asset: all end here.
        assert browser.console_errors == []


def test_path_is_drawn_from_source_over_log_to_sink(page: Browser) -> None:
    page.wait_for("document.querySelectorAll('#wires path.flow').length === 2")

    assert page.text("#state") == "healthy"
    assert page.text("#sources .name") == "shop"
    assert "1.2" in page.text("#sources .figures") or "1,23" in page.text("#sources .figures")
    assert "12 ms" in page.text("#sources .figures")
    assert "2.0 KiB" in page.text("#sources .figures")
    assert page.text("#log .name") == "embedded"


def test_failed_sink_shows_its_error_and_the_remedy(page: Browser, daemon: ChosenDaemon) -> None:
    daemon.workers = (SOURCE, SINK, FAILED)

    page.wait_for("document.querySelector('[data-name=cache] .problem')?.hidden === false")

    assert page.text("#state") == "failed"
    assert "Redis refuses the password" in page.text("[data-name=cache] .problem")
    assert "Check the sink's url" in page.text("[data-name=cache] .problem")
    page.wait_for("document.querySelectorAll('#wires path.broken').length === 1")


def test_notes_of_a_source_are_shown_as_text_while_they_are_true(
    page: Browser, daemon: ChosenDaemon
) -> None:
    daemon.workers = (NOTED, SINK)
    page.wait_for("document.querySelectorAll('[data-name=shop] .notes li').length === 2")

    assert page.text("#state") == "degraded"
    assert "an old transaction is waited for" in page.text("[data-name=shop] .notes")
    alert = page.text("[data-name=shop] .notes li[data-severity=alert]")
    assert 'slot "<b>shop</b>" keeps 9.0 GiB' in alert
    assert "Raise wal_guard." in alert
    assert page.evaluate("document.querySelectorAll('.notes b').length") == 0

    daemon.workers = (SOURCE, SINK)
    page.wait_for("document.querySelectorAll('.notes li').length === 0")


def test_snapshot_has_a_bar_a_table_and_it_goes_away(page: Browser, daemon: ChosenDaemon) -> None:
    daemon.workers = (SNAPSHOTTING, SINK)
    page.wait_for("document.querySelectorAll('#tables progress').length === 3")

    values = page.evaluate(
        "[...document.querySelectorAll('#tables progress')].map(b => b.position)"
    )
    assert values == [0.9, 1, 0]
    assert "900 of about 1,000 rows" in page.text("#tables")

    daemon.workers = (SOURCE, SINK)
    page.wait_for("document.querySelector('#snapshots').hidden")


def test_rates_become_a_curve(page: Browser, daemon: ChosenDaemon) -> None:
    page.wait_for("document.querySelector('[data-name=shop] .curve .line') !== null")
    daemon.workers = (replace(SOURCE, rate_per_s=9876.0), SINK)

    page.wait_for(
        "document.querySelector('[data-name=shop] figcaption').textContent.includes('9,876')"
    )


def test_search_box_finds_and_shows_values_as_text(page: Browser) -> None:
    page.wait_for("!document.querySelector('#search').hidden")

    page.click("#search-words")
    page.type_text("#search-words", "lamp")
    page.wait_for("document.querySelectorAll('#hits li').length === 1")

    assert "Blue lamp <b>x</b>" in page.text("#hits li")
    assert page.evaluate("document.querySelector('#hits mark').textContent") == "lamp"
    assert page.evaluate("document.querySelectorAll('#hits b').length") == 0


def test_topics_are_listed(page: Browser) -> None:
    page.wait_for("document.querySelectorAll('#topics tr').length === 1")

    assert "shop.public.products" in page.text("#topics")
    assert "compact" in page.text("#topics")


def test_dark_and_light_by_the_system_and_by_hand(page: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.set_color_scheme("dark")
    page.wait_for(f"{ground} === 'rgb(12, 21, 25)'")

    page.click("#theme")
    page.wait_for(f"{ground} === 'rgb(244, 247, 248)'")
    page.click("#theme")
    page.wait_for(f"{ground} === 'rgb(12, 21, 25)'")


def test_page_says_when_the_daemon_is_gone(page: Browser, server: AdminServer) -> None:
    server.stop()

    page.wait_for("!document.querySelector('#offline').hidden", timeout_s=15)

    assert "does not answer" in page.text("#offline")
    page.console_errors.clear()
