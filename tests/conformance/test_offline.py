"""Debezium's own records, read as foreign ones and written again, are the same text."""

from dataclasses import replace

import pytest

from cdc.event import ChangeEvent, Stored
from cdc.schema import TimestampTz
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from tests.conformance.compare import Difference, differences
from tests.conformance.goldens import Golden, connector, needs_goldens, records, side_of
from tests.conformance.options import options_of

VARIANTS = [
    "ddl", "ddl_slow", "edge_decimal_double", "edge_decimal_string", "edge_default",
    "edge_far_isostring", "edge_interval_string", "edge_nan_double", "edge_nan_precise",
    "edge_time_adaptive_us", "edge_time_connect", "edge_time_isostring", "edge_time_microseconds",
    "edge_time_nanoseconds", "identity_binary_base64", "identity_binary_hex", "identity_default",
    "identity_truncate_skipped_no_tombstone", "types_binary_base64", "types_binary_base64url",
    "types_binary_hex", "types_decimal_double", "types_decimal_string", "types_default",
    "types_full_identity", "types_hstore_map", "types_interval_string", "types_nulldefault_off",
    "types_time_adaptive_us", "types_time_connect", "types_time_isostring",
    "types_time_microseconds", "types_time_nanoseconds",
]  # fmt: skip

# An inline schema does not tell how many fraction digits a timestamptz column has.
FRACTION_DIGITS = {"f_tstz0": 0, "f_tstz3": 3, "tstz0": 0, "tstz3": 3}


def told(event: ChangeEvent) -> ChangeEvent:
    """The event with the facts about its columns that inline schemas lack."""
    columns = [
        replace(column, type=TimestampTz(FRACTION_DIGITS[column.name]))
        if column.name in FRACTION_DIGITS
        else column
        for column in event.table.columns
    ]
    table = replace(event.table, columns=tuple(columns))
    return event.with_rows(table, event.before, event.after)


def is_stand_in(difference: Difference) -> bool:
    """Whether it is what stands for a timestamptz that was not sent: read back, it is a value."""
    stand_in = '"1970-01-01T00:00:00Z"'
    return difference.path.startswith("before.") and difference.debezium == stand_in


@needs_goldens
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_debezium_wrote_is_written_again_as_it_was(variant: str) -> None:
    options = options_of(connector(variant)).model_copy(update={"debezium_headers": False})
    identity = SourceIdentity("postgresql", "acme", "3.6.1.Final")
    serializer = DebeziumJson(
        identity, options, None, compacts=False, pipeline="p", clock_us=lambda: 0
    )
    compared = 0
    for golden in records(variant):
        if golden.value is None:
            continue
        key = None if golden.key is None else golden.key.text()
        stored = Stored(golden.topic, 0, golden.offset, key, golden.value.text(), (), 0)
        event = serializer.decode(stored)
        if event is None:
            continue

        written = [
            record for record in serializer.encode([told(event)]) if not record.topic.internal
        ]

        again = Golden(
            written[0].topic.name,
            golden.offset,
            golden.headers,
            side_of(written[0].key),
            side_of(written[0].value),
        )
        found = differences(golden, again)
        assert [each for each in found if not is_stand_in(each)] == []
        compared += 1
    assert compared > 0
