"""PipelineStatus in Prometheus' text format."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from cdc import metrics
from cdc.lifecycle import SinkPhase, SourcePhase
from cdc.metrics import Metric
from cdc.progress import CaptureProgress, DeliverProgress
from cdc.status import PipelineStatus, WorkerStatus

PHASES = {"source": tuple(SourcePhase), "sink": tuple(SinkPhase)}

Sample = tuple[tuple[str, ...], float]
"""Label values in the order of `Metric.labels`, and the value."""


def _worker_samples(worker: WorkerStatus) -> Iterator[tuple[Metric, Sample]]:
    who = (worker.kind, worker.name)
    yield metrics.WORKER_UP, (who, float(worker.pid is not None))
    yield metrics.WORKER_RESTARTS, (who, float(worker.restarts))
    for phase in PHASES[worker.kind]:
        yield metrics.WORKER_PHASE, ((*who, phase.value), float(phase == worker.phase))
    match worker.progress:
        case CaptureProgress() as progress:
            yield from _source_samples(worker.name, progress)
        case DeliverProgress() as progress:
            yield from _sink_samples(worker.name, progress)


def _source_samples(name: str, progress: CaptureProgress) -> Iterator[tuple[Metric, Sample]]:
    # A value that is not known gives no sample: 0 would be a lie.
    known: list[tuple[Metric, float | None]] = [
        (metrics.SOURCE_LAG_BYTES, progress.lag_bytes),
        (metrics.SOURCE_LAG_SECONDS, progress.lag_s),
        (metrics.SOURCE_EVENTS, progress.events),
        (metrics.SOURCE_RECORDS, progress.records),
        (metrics.SOURCE_BYTES, progress.size_bytes),
        (metrics.SOURCE_COMMITS, progress.commits),
        (metrics.SOURCE_COMMIT_SECONDS, progress.commit_s),
    ]
    if (kept := progress.open_transactions) is not None:
        known += [
            (metrics.SOURCE_OPEN_TRANSACTIONS, kept.count),
            (metrics.SOURCE_OPEN_MEMORY, kept.memory_bytes),
            (metrics.SOURCE_OPEN_SPILLED, kept.spilled_bytes),
            (metrics.SOURCE_OPEN_GIVEN, kept.changes_given),
        ]
    yield from ((metric, ((name,), value)) for metric, value in known if value is not None)
    retention = progress.retention
    if retention is not None:
        yield metrics.SOURCE_RETAINED_BYTES, ((name,), retention.size_bytes)
        for state in ("ok", "warning", "limit"):
            yield metrics.SOURCE_RETENTION_STATE, ((name, state), float(state == retention.state))
    for severity, code in dict.fromkeys((note.severity, note.code) for note in progress.notes):
        yield metrics.SOURCE_NOTES, ((name, severity, code), 1.0)
    whole = progress.snapshot
    if whole is not None:
        yield metrics.SNAPSHOT_TABLES, ((name,), whole.tables)
        yield metrics.SNAPSHOT_TABLES_DONE, ((name,), whole.tables_done)
        yield metrics.SNAPSHOT_DONE_BYTES, ((name,), whole.bytes_done)
        yield metrics.SNAPSHOT_ESTIMATED_BYTES, ((name,), whole.bytes_estimated)
        if whole.eta_s is not None:
            yield metrics.SNAPSHOT_LEFT_SECONDS, ((name,), whole.eta_s)
    for table in progress.tables:
        yield metrics.SNAPSHOT_ROWS, ((name, table.table), table.rows_done)
        if table.rows_estimated is not None:
            yield metrics.SNAPSHOT_ROWS_ESTIMATED, ((name, table.table), table.rows_estimated)


def _sink_samples(name: str, progress: DeliverProgress) -> Iterator[tuple[Metric, Sample]]:
    known: list[tuple[Metric, float | None]] = [
        (metrics.SINK_LAG_RECORDS, progress.lag_records),
        (metrics.SINK_LAG_SECONDS, progress.lag_s),
        (metrics.SINK_READ, progress.read),
        (metrics.SINK_APPLIED, progress.applied),
        (metrics.SINK_REJECTED, progress.rejected),
        (metrics.SINK_DEAD_LETTERS, progress.dead_letters_kept),
        (metrics.SINK_WRITE_SECONDS, progress.write_s),
    ]
    yield from ((metric, ((name,), value)) for metric, value in known if value is not None)


class _StatusCollector(Collector):
    """Gives the families of one status; made anew for each scrape."""

    def __init__(self, status: PipelineStatus) -> None:
        self._status = status

    def collect(self) -> Iterator[Family]:
        """Every metric of cdc/metrics.py, in its order there."""
        samples: dict[str, list[Sample]] = {metric.name: [] for metric in metrics.ALL}
        for worker in self._status.workers:
            for metric, sample in _worker_samples(worker):
                samples[metric.name].append(sample)
        for metric in metrics.ALL:
            if metric.kind == "info":
                facts = {
                    "version": self._status.version,
                    "implementation": self._status.implementation,
                }
                info = InfoMetricFamily(metric.name, metric.help, labels=metric.labels)
                info.add_metric([self._status.pipeline], facts)
                yield info
                continue
            family_type = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = family_type(metric.name, metric.help, labels=metric.labels)
            for labels, value in samples[metric.name]:
                family.add_metric(labels, value)
            yield family


def render(status: PipelineStatus) -> bytes:
    """The text to answer a scrape with, UTF-8."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    return generate_latest(registry)
