"""Names, labels and help texts of all metrics. docs/metrics.md lists them; a test compares."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. Counters get `_total` appended when they are rendered."""

    name: str
    kind: Literal["gauge", "counter", "info"]
    help: str
    labels: tuple[str, ...]


INFO: Final = Metric(
    "tidewire", "info", "Version and which form of the hot modules runs.", ("pipeline",)
)
WORKER_UP: Final = Metric(
    "tidewire_worker_up", "gauge", "1 while the worker's process lives.", ("kind", "name")
)
WORKER_PHASE: Final = Metric(
    "tidewire_worker_phase", "gauge", "1 for the phase that the worker is in.",
    ("kind", "name", "phase"),
)  # fmt: skip
WORKER_RESTARTS: Final = Metric(
    "tidewire_worker_restarts", "counter", "How often the worker was started again.",
    ("kind", "name"),
)  # fmt: skip
SOURCE_LAG_BYTES: Final = Metric(
    "tidewire_source_lag_bytes", "gauge",
    "Bytes between the database's last write and what is durable in the log.", ("source",),
)  # fmt: skip
SOURCE_LAG_SECONDS: Final = Metric(
    "tidewire_source_lag_seconds", "gauge",
    "Seconds between the database's last write and what is durable in the log.", ("source",),
)  # fmt: skip
SOURCE_EVENTS: Final = Metric(
    "tidewire_source_events", "counter", "Changes that became durable in the log.", ("source",)
)
SOURCE_RECORDS: Final = Metric(
    "tidewire_source_records", "counter", "Records that became durable in the log.", ("source",)
)
SOURCE_BYTES: Final = Metric(
    "tidewire_source_received_bytes", "counter",
    "Bytes received from the database for them.", ("source",),
)  # fmt: skip
SOURCE_COMMITS: Final = Metric(
    "tidewire_source_commits", "counter", "Commits to the log.", ("source",)
)
SOURCE_COMMIT_SECONDS: Final = Metric(
    "tidewire_source_last_commit_seconds", "gauge", "How long the last commit took.", ("source",)
)
SOURCE_OPEN_TRANSACTIONS: Final = Metric(
    "tidewire_source_open_transactions", "gauge",
    "Transactions that were received before their commit and are kept until then.", ("source",),
)  # fmt: skip
SOURCE_OPEN_MEMORY: Final = Metric(
    "tidewire_source_open_transactions_memory_bytes", "gauge", "What they take in memory.",
    ("source",),
)  # fmt: skip
SOURCE_OPEN_SPILLED: Final = Metric(
    "tidewire_source_open_transactions_spilled_bytes", "gauge", "What they take in files.",
    ("source",),
)  # fmt: skip
SOURCE_OPEN_GIVEN: Final = Metric(
    "tidewire_source_open_transaction_changes", "gauge",
    "Changes of the committed one among them that were written so far.", ("source",),
)  # fmt: skip
SOURCE_RETAINED_BYTES: Final = Metric(
    "tidewire_source_retained_bytes", "gauge",
    "Bytes of its own log that the database keeps because of the source.", ("source",),
)  # fmt: skip
SOURCE_RETENTION_STATE: Final = Metric(
    "tidewire_source_retention_state", "gauge",
    "1 for where these bytes are against the configured limits: ok, warning, limit.",
    ("source", "state"),
)  # fmt: skip
SOURCE_NOTES: Final = Metric(
    "tidewire_source_notes", "gauge", "1 for each note that the source has for the operator.",
    ("source", "severity", "code"),
)  # fmt: skip
SNAPSHOT_ROWS: Final = Metric(
    "tidewire_source_snapshot_rows", "gauge", "Rows read by the snapshot so far.",
    ("source", "table"),
)  # fmt: skip
SNAPSHOT_ROWS_ESTIMATED: Final = Metric(
    "tidewire_source_snapshot_rows_estimated", "gauge",
    "Rows of the table by the database's own estimate.", ("source", "table"),
)  # fmt: skip
SNAPSHOT_TABLES: Final = Metric(
    "tidewire_source_snapshot_tables", "gauge", "Tables that the snapshot reads.", ("source",)
)
SNAPSHOT_TABLES_DONE: Final = Metric(
    "tidewire_source_snapshot_tables_done", "gauge", "Tables among them that are done.",
    ("source",),
)  # fmt: skip
SNAPSHOT_DONE_BYTES: Final = Metric(
    "tidewire_source_snapshot_done_bytes", "gauge",
    "Bytes of the tables on disk that the snapshot has read.", ("source",),
)  # fmt: skip
SNAPSHOT_ESTIMATED_BYTES: Final = Metric(
    "tidewire_source_snapshot_estimated_bytes", "gauge",
    "Bytes of all these tables on disk, when the snapshot began.", ("source",),
)  # fmt: skip
SNAPSHOT_LEFT_SECONDS: Final = Metric(
    "tidewire_source_snapshot_left_seconds", "gauge",
    "Seconds that the snapshot still takes at its speed so far.", ("source",),
)  # fmt: skip
SINK_LAG_RECORDS: Final = Metric(
    "tidewire_sink_lag_records", "gauge", "Records between the log's end and what is committed.",
    ("sink",),
)  # fmt: skip
SINK_LAG_SECONDS: Final = Metric(
    "tidewire_sink_lag_seconds", "gauge", "Age of the oldest record known not to be done.",
    ("sink",),
)  # fmt: skip
SINK_READ: Final = Metric("tidewire_sink_read", "counter", "Records read and done.", ("sink",))
SINK_APPLIED: Final = Metric(
    "tidewire_sink_applied", "counter", "Mutations that the store took.", ("sink",)
)
SINK_REJECTED: Final = Metric(
    "tidewire_sink_rejected", "counter", "Mutations that the store refused.", ("sink",)
)
SINK_DEAD_LETTERS: Final = Metric(
    "tidewire_sink_dead_letters", "gauge", "Dead letters that are kept now.", ("sink",)
)
SINK_WRITE_SECONDS: Final = Metric(
    "tidewire_sink_last_write_seconds", "gauge", "How long the last write took.", ("sink",)
)

ALL: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
