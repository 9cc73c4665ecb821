from collections.abc import Iterator, Mapping, Sequence

import pytest
from starlette.testclient import TestClient

from cdc.admin.app import COOKIE, make_app
from cdc.admin.history import History
from cdc.errors import TransientError
from tests.unit.cdc.admin.daemons import FAILED, SINK, SNAPSHOTTING, SOURCE, ChosenDaemon

WAITING = ChosenDaemon(SOURCE, SINK)


def found(words: str, rows_max: int) -> Sequence[Mapping[str, object]]:
    if words == "broken":
        raise TransientError("the index is locked", hint="Try again.")
    return [{"target": "public.products", "id": "7", "document": {"name": words, "n": rows_max}}]


def client(daemon: ChosenDaemon, token: str | None = None, host: str = "127.0.0.1") -> TestClient:
    hosts = frozenset({"127.0.0.1", "localhost"}) if token is None else frozenset()
    app = make_app(daemon, {"search": found}, History(), hosts=hosts, token=token)
    return TestClient(app, base_url=f"http://{host}:8470", follow_redirects=False)


@pytest.fixture
def daemon() -> ChosenDaemon:
    return ChosenDaemon(SOURCE, SINK)


@pytest.fixture
def browser(daemon: ChosenDaemon) -> Iterator[TestClient]:
    with client(daemon) as opened:
        yield opened


def test_status_holds_everything_of_every_worker(browser: TestClient) -> None:
    content = browser.get("/api/status").json()

    assert content["pipeline"] == "shop"
    assert content["state"] == "healthy"
    assert content["searches"] == ["search"]
    assert [worker["name"] for worker in content["workers"]] == ["shop", "search"]
    assert content["workers"][0]["progress"]["lag_bytes"] == 2048


@pytest.mark.parametrize(
    ("daemon", "health", "ready"),
    [
        (ChosenDaemon(SOURCE, SINK), (200, "healthy\n"), (200, "ready\n")),
        (ChosenDaemon(SNAPSHOTTING), (200, "healthy\n"), (200, "ready\n")),
        (ChosenDaemon(SOURCE, FAILED), (503, "failed: cache\n"), (503, "not ready: cache\n")),
    ],
)
def test_health_and_readiness_name_the_workers_that_are_not(
    daemon: ChosenDaemon, health: tuple[int, str], ready: tuple[int, str]
) -> None:
    with client(daemon) as browser:
        healthz, readyz = browser.get("/healthz"), browser.get("/readyz")

    assert health == (healthz.status_code, healthz.text)
    assert ready == (readyz.status_code, readyz.text)


def test_topics_are_listed(browser: TestClient) -> None:
    assert browser.get("/api/topics").json()[0]["name"] == "shop.public.products"


def test_topics_that_cannot_be_listed_give_the_reason(
    daemon: ChosenDaemon, browser: TestClient
) -> None:
    daemon.topics_error = TransientError("Kafka does not answer", hint="Start it.")

    answer = browser.get("/api/topics")

    assert answer.status_code == 503
    assert answer.json() == {"error": "Kafka does not answer", "hint": "Start it."}


def test_search_gives_documents(browser: TestClient) -> None:
    answer = browser.get("/api/search", params={"sink": "search", "words": "lamp"})

    assert answer.json()[0]["document"] == {"name": "lamp", "n": 50}


def test_search_without_words_finds_nothing(browser: TestClient) -> None:
    assert browser.get("/api/search", params={"sink": "search", "words": "  "}).json() == []


def test_search_in_a_sink_that_cannot_be_searched_is_404(browser: TestClient) -> None:
    assert browser.get("/api/search", params={"sink": "cache", "words": "x"}).status_code == 404


def test_search_that_fails_gives_the_reason(browser: TestClient) -> None:
    answer = browser.get("/api/search", params={"sink": "search", "words": "broken"})

    assert (answer.status_code, answer.json()["error"]) == (503, "the index is locked")


def test_stop_is_a_post(daemon: ChosenDaemon, browser: TestClient) -> None:
    assert browser.get("/api/stop").status_code == 405
    assert daemon.stopped == 0

    assert browser.post("/api/stop").status_code == 202
    assert daemon.stopped == 1


@pytest.mark.parametrize("path", ["/", "/api/status", "/metrics", "/healthz"])
def test_foreign_host_name_is_refused(daemon: ChosenDaemon, path: str) -> None:
    with client(daemon, host="evil.example") as browser:
        assert browser.get(path).status_code == 421


@pytest.mark.parametrize("path", ["/api/status", "/metrics", "/api/history", "/api/stop"])
def test_without_the_token_nothing_is_told(daemon: ChosenDaemon, path: str) -> None:
    with client(daemon, token="s3cret", host="db.example") as browser:
        assert browser.get(path).status_code == 401
        wrong = browser.get(path, headers={"Authorization": "Bearer other"})
        basic = browser.get(path, headers={"Authorization": "Basic s3cret"})

    assert (wrong.status_code, basic.status_code) == (401, 401)


def test_health_needs_no_token(daemon: ChosenDaemon) -> None:
    with client(daemon, token="s3cret") as browser:
        assert browser.get("/healthz").status_code == 200
        assert browser.get("/readyz").status_code == 200


def test_token_in_the_header_opens(daemon: ChosenDaemon) -> None:
    with client(daemon, token="s3cret") as browser:
        answer = browser.get("/api/status", headers={"Authorization": "Bearer s3cret"})

    assert answer.status_code == 200


def test_page_without_the_token_asks_for_it_and_remembers_it(daemon: ChosenDaemon) -> None:
    with client(daemon, token="s3cret") as browser:
        sent_away = browser.get("/")
        form = browser.get("/login")
        wrong = browser.post("/login", data={"token": "other"})
        right = browser.post("/login", data={"token": "s3cret"})
        page = browser.get("/")

    assert (sent_away.status_code, sent_away.headers["location"]) == (303, "/login")
    assert "admin.token" in form.text
    assert wrong.headers["location"] == "/login?wrong=1"
    assert COOKIE not in wrong.headers.get("set-cookie", "")
    assert "httponly" in right.headers["set-cookie"].lower()
    assert "samesite=strict" in right.headers["set-cookie"].lower()
    assert (page.status_code, "status.js" in page.text) == (200, True)


def test_login_with_an_endless_form_is_refused(daemon: ChosenDaemon) -> None:
    with client(daemon, token="s3cret") as browser:
        answer = browser.post("/login", data={"token": "s3cret", "more": "x" * 5000})

    assert answer.headers["location"] == "/login?wrong=1"


def test_login_is_refused_where_there_is_no_token(browser: TestClient) -> None:
    assert browser.post("/login", data={"token": ""}).headers["location"] == "/login?wrong=1"


def test_page_loads_nothing_from_elsewhere(browser: TestClient) -> None:
    page = browser.get("/")

    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in ("/", "/assets/status.js", "/assets/status.css"):
        text = browser.get(path).text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text


def test_history_is_what_was_sampled(daemon: ChosenDaemon) -> None:
    history = History(samples_max=2)
    history.add(daemon.status())
    daemon.workers = (SOURCE, SINK, FAILED)
    history.add(daemon.status())
    history.add(daemon.status())
    with TestClient(make_app(daemon, {}, history)) as browser:
        content = browser.get("/api/history").json()

    assert len(content["at_us"]) == 2
    assert content["workers"]["shop"] == {"rate_per_s": [1234.5, 1234.5], "lag_s": [0.012, 0.012]}
    assert len(content["workers"]["cache"]["rate_per_s"]) == 2


def test_worker_that_came_later_has_no_curve_before_it_came(daemon: ChosenDaemon) -> None:
    history = History()
    history.add(daemon.status())
    daemon.workers = (SOURCE, SINK, FAILED)
    history.add(daemon.status())

    workers = history.content()["workers"]

    assert isinstance(workers, dict)
    assert workers["cache"] == {"rate_per_s": [0.0, 1200.0], "lag_s": [None, 0.2]}


def test_metrics_are_in_prometheus_text_format(browser: TestClient) -> None:
    answer = browser.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE tidewire_" in answer.text
