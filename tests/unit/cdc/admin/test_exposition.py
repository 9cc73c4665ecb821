from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from cdc import metrics
from cdc.admin.exposition import render
from cdc.progress import CaptureProgress
from cdc.protocols import OpenTransactions, SnapshotProgress
from tests.unit.cdc.admin.daemons import FAILED, SINK, SNAPSHOTTING, SOURCE, ChosenDaemon

Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(daemon: ChosenDaemon) -> Samples:
    families = text_string_to_metric_families(render(daemon.status()).decode())
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_metric_is_rendered_with_its_help() -> None:
    text = render(ChosenDaemon(SNAPSHOTTING, SINK).status()).decode()

    for metric in metrics.ALL:
        assert f" {metric.help}\n" in text, metric.name


def test_values_of_a_source_and_a_sink() -> None:
    found = samples(ChosenDaemon(SOURCE, SINK))

    assert found["tidewire_source_lag_bytes", ("shop",)] == 2048
    assert found["tidewire_source_events_total", ("shop",)] == 123_456
    assert found["tidewire_sink_lag_records", ("search",)] == 7
    assert found["tidewire_sink_rejected_total", ("search",)] == 1
    assert found["tidewire_worker_phase", ("source", "shop", "streaming")] == 1
    assert found["tidewire_worker_phase", ("source", "shop", "snapshot")] == 0
    assert found["tidewire_worker_restarts_total", ("sink", "search")] == 2
    assert found["tidewire_info", ("compiled", "shop", "0.1.0")] == 1


def test_transactions_in_progress_are_counted_where_a_source_keeps_them() -> None:
    assert isinstance(SOURCE.progress, CaptureProgress)
    kept = OpenTransactions(2, 1000, 5000, 70)
    keeping = replace(SOURCE, progress=replace(SOURCE.progress, open_transactions=kept))

    found = samples(ChosenDaemon(keeping))

    names = ("s", "s_memory_bytes", "s_spilled_bytes", "_changes")
    assert [found[f"tidewire_source_open_transaction{name}", ("shop",)] for name in names] == [
        2,
        1000,
        5000,
        70,
    ]
    assert ("tidewire_source_open_transactions", ("shop",)) not in samples(ChosenDaemon(SOURCE))


def test_unknown_value_gives_no_sample_instead_of_a_zero() -> None:
    assert isinstance(SOURCE.progress, CaptureProgress)
    unknown = replace(SOURCE, progress=replace(SOURCE.progress, lag_bytes=None))

    assert ("tidewire_source_lag_bytes", ("shop",)) not in samples(ChosenDaemon(unknown))


def test_dead_worker_is_down() -> None:
    found = samples(ChosenDaemon(FAILED, replace(SOURCE, progress=None)))

    assert found["tidewire_worker_up", ("sink", "cache")] == 0
    assert found["tidewire_worker_up", ("source", "shop")] == 1


def test_snapshot_rows_by_table() -> None:
    found = samples(ChosenDaemon(SNAPSHOTTING))

    assert found["tidewire_source_snapshot_rows", ("shop", "public.products")] == 900
    assert found["tidewire_source_snapshot_rows_estimated", ("shop", "public.products")] == 1000
    assert ("tidewire_source_snapshot_rows_estimated", ("shop", "public.reviews")) not in found


def test_snapshot_as_a_whole() -> None:
    progress = SNAPSHOTTING.progress
    assert isinstance(progress, CaptureProgress)
    whole = SnapshotProgress(3, 1, 50_900, None, 2048, 4096, 12.5)
    later = replace(progress, snapshot=whole)
    sooner = replace(progress, snapshot=replace(whole, eta_s=None))

    found = samples(ChosenDaemon(replace(SNAPSHOTTING, progress=later)))
    untold = samples(ChosenDaemon(replace(SNAPSHOTTING, progress=sooner)))

    names = ("tables", "tables_done", "done_bytes", "estimated_bytes", "left_seconds")
    assert [found[f"tidewire_source_snapshot_{name}", ("shop",)] for name in names] == [
        3,
        1,
        2048,
        4096,
        12.5,
    ]
    assert ("tidewire_source_snapshot_left_seconds", ("shop",)) not in untold


def test_names_carry_their_units() -> None:
    for metric in metrics.ALL:
        if "second" in metric.help.lower() or "how long" in metric.help.lower():
            assert metric.name.endswith("_seconds"), metric.name
        if metric.help.startswith("Bytes"):
            assert metric.name.endswith("_bytes"), metric.name
