"""The options of Tidewire that correspond to a connector's configuration of Debezium."""

from collections.abc import Mapping
from dataclasses import dataclass

from cdc.serializers.options import Options
from cdc.transforms.operations import Operations

# Debezium's option -> ours; its values are ours with `_` for `-`.
_NAMES = {
    "decimal.handling.mode": "decimal",
    "time.precision.mode": "time_precision",
    "binary.handling.mode": "binary",
    "interval.handling.mode": "interval",
    "hstore.handling.mode": "hstore",
    "tombstones.on.delete": "tombstones",
    "value.converter.replace.null.with.default": "replace_null_with_default",
    "value.converter.schemas.enable": "schemas",
    "extended.headers.enabled": "debezium_headers",
}


def options_of(connector: Mapping[str, str]) -> Options:
    """Ours for a run of Debezium; what has no encoding becomes null, as Debezium writes it."""
    chosen = {
        ours: connector[name].replace("-", "_")
        for name, ours in _NAMES.items()
        if name in connector
    }
    if connector.get("value.converter.decimal.format") == "NUMERIC":
        chosen["decimal"] = "number"
    unknown = connector.get("include.unknown.datatypes") == "true"
    defaults = {
        "schemas": "true",
        "unrepresentable": "null",
        "debezium_headers": "true",
        "unknown_types": "text" if unknown else "omit",
    }
    # The types of columns are chosen by name here, by a pattern of types there.
    shown = ("*",) if connector.get("datatype.propagate.source.type") == ".+" else ()
    propagated = {"propagate_source_types": shown, "version": "3.6.1.Final"}
    return Options.model_validate({**defaults, **chosen, **propagated})


def operations_of(connector: Mapping[str, str]) -> Operations:
    """What that run left out: truncates unless told otherwise, and updates that change nothing."""
    skipped = connector.get("skipped.operations", "t")
    only_changes = connector.get("skip.messages.without.change") == "true"
    return Operations(() if skipped == "none" else (skipped,), skip_unchanged=only_changes)


@dataclass(frozen=True, slots=True)
class Run:
    """All that a configuration of Debezium asks for, in our terms."""

    options: Options
    operations: Operations
    exclude_tables: tuple[str, ...]
    transaction_metadata: bool
    heartbeat: bool


def run_of(connector: Mapping[str, str]) -> Run:
    """Ours for a run of Debezium."""
    excluded = connector.get("table.exclude.list")
    return Run(
        options_of(connector),
        operations_of(connector),
        tuple(excluded.split(",")) if excluded else (),
        connector.get("provide.transaction.metadata") == "true",
        "heartbeat.interval.ms" in connector,
    )
