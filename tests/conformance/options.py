"""The options of Tidewire that correspond to a connector's configuration of Debezium."""

from collections.abc import Iterable, Mapping

from cdc.serializers.options import Options
from tests.conformance.compare import members
from tests.conformance.goldens import Golden

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
    unknown = connector.get("include.unknown.datatypes") == "true"
    defaults = {
        "schemas": "true",
        "unrepresentable": "null",
        "debezium_headers": "true",
        "unknown_types": "text" if unknown else "omit",
    }
    return Options.model_validate({**defaults, **chosen, "version": "3.6.1.Final"})


def written_by(connector: Mapping[str, str], found: Iterable[Golden]) -> list[Golden]:
    """Our records as this configuration of Debezium would let them through.

    It skips truncates unless told otherwise, may skip updates that change nothing, and may write
    headers as JSON with a schema.
    """
    skipped = connector.get("skipped.operations", "t")
    only_changes = connector.get("skip.messages.without.change") == "true"
    kept = []
    for record in found:
        fields = {} if record.value is None else members(record.value.payload)
        if fields.get("op") == f'"{skipped}"':
            continue
        if only_changes and fields and fields["before"] == fields["after"] != "null":
            continue
        kept.append(record)
    return kept
