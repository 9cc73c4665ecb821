"""Notes of a source on their way to the operator: log, status, metrics, readiness, pages."""

from dataclasses import replace

import structlog
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from cdc.admin.exposition import render
from cdc.channel import pair
from cdc.cli.status import view
from cdc.cli.terminal import console
from cdc.lifecycle import SourcePhase
from cdc.notes import Note, Retention
from cdc.progress import CaptureProgress
from cdc.status import overall
from cdc.worker import ChannelControl
from tests.unit.cdc.admin.daemons import NOW_US, SOURCE, ChosenDaemon
from tests.unit.cdc.admin.test_app import client

WARNING = Note("warning", "wal-warning", "much is kept", "Look at the log.")
ALERT = Note("alert", "wal-limit", "too much is kept")
ALERTED = replace(
    SOURCE,
    progress=CaptureProgress(
        SourcePhase.STREAMING, NOW_US, retention=Retention(4096, "limit"), notes=(WARNING, ALERT)
    ),
)


def test_each_note_is_one_line_of_the_log_and_its_end_is_another() -> None:
    ours, theirs = pair()
    control = ChannelControl(ours, structlog.get_logger())
    said = [(), (WARNING,), (WARNING,), (WARNING, ALERT), ()]

    with capture_logs() as lines:
        for notes in said:
            control.report(CaptureProgress(SourcePhase.STREAMING, 1, notes=tuple(notes)))

    told = [(line["event"], line["code"]) for line in lines if "code" in line]
    assert told[:2] == [("note", "wal-warning"), ("note", "wal-limit")]
    assert sorted(told[2:]) == [("note is over", "wal-limit"), ("note is over", "wal-warning")]
    ours.close()
    theirs.close()


def test_an_explanation_is_told_as_information() -> None:
    ours, theirs = pair()
    control = ChannelControl(ours, structlog.get_logger())

    with capture_logs() as lines:
        note = Note("info", "waits", "it waits")
        control.report(CaptureProgress(SourcePhase.STREAMING, 1, notes=(note,)))

    assert [line["log_level"] for line in lines if line.get("code") == "waits"] == ["info"]
    ours.close()
    theirs.close()


def test_an_alert_degrades_the_pipeline_and_a_warning_does_not() -> None:
    progress = ALERTED.progress
    assert isinstance(progress, CaptureProgress)
    warned = replace(ALERTED, progress=replace(progress, notes=(WARNING,)))

    assert overall([warned]) == "healthy"
    assert overall([ALERTED]) == "degraded"
    with client(ChosenDaemon(ALERTED)) as browser:
        ready = browser.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "not ready: shop\n")
        assert browser.get("/healthz").status_code == 200


def test_notes_and_retention_are_metrics() -> None:
    text = render(ChosenDaemon(ALERTED).status()).decode()

    assert 'tidewire_source_retained_bytes{source="shop"} 4096.0' in text
    assert 'tidewire_source_retention_state{source="shop",state="limit"} 1.0' in text
    assert 'tidewire_source_retention_state{source="shop",state="ok"} 0.0' in text
    assert 'tidewire_source_notes{code="wal-limit",severity="alert",source="shop"} 1.0' in text


def test_notes_are_shown_with_the_status() -> None:
    out = console()
    with out.capture() as captured:
        out.print(view([ChosenDaemon(ALERTED).status()], out))

    assert "shop: much is kept. Look at the log." in captured.get()
    assert "shop: too much is kept" in captured.get()


def test_a_worker_is_acted_on_over_http_and_a_refusal_has_its_reason() -> None:
    daemon = ChosenDaemon(SOURCE)
    with client(daemon) as browser:
        done = browser.post("/api/workers/shop/pause")
        unknown = browser.post("/api/workers/other/pause")
        nonsense = browser.post("/api/workers/shop/explode")
        read = browser.get("/api/workers/shop/pause")

    assert isinstance(browser, TestClient)
    assert (done.status_code, done.json()) == (202, {"told": "pause of shop begins"})
    assert (unknown.status_code, unknown.json()["error"]) == (
        409,
        'this daemon does not run "other"',
    )
    assert nonsense.status_code == 404
    assert read.status_code == 405
    assert daemon.acted == [("shop", "pause")]
