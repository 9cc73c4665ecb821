"""The options of Tidewire that correspond to a connector's configuration of Debezium."""

from collections.abc import Mapping

from cdc.serializers.options import Options

# Debezium's option -> ours; its values are ours with `_` for `-`.
_NAMES = {
    "decimal.handling.mode": "decimal",
    "time.precision.mode": "time_precision",
    "binary.handling.mode": "binary",
    "interval.handling.mode": "interval",
    "tombstones.on.delete": "tombstones",
    "value.converter.replace.null.with.default": "replace_null_with_default",
    "value.converter.schemas.enable": "schemas",
}


def options_of(connector: Mapping[str, str]) -> Options:
    """Ours for a run of Debezium; what has no encoding becomes null, as Debezium writes it."""
    chosen = {
        ours: connector[name].replace("-", "_")
        for name, ours in _NAMES.items()
        if name in connector
    }
    defaults = {"schemas": "true", "unrepresentable": "null", "debezium_headers": "true"}
    return Options.model_validate({**defaults, **chosen, "version": "3.6.1.Final"})
