"""What Tidewire captures from a real Postgres is what Debezium captured, but for known cases."""

from collections import defaultdict
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.conformance.capture import captured
from tests.conformance.compare import Difference, differences
from tests.conformance.goldens import FOLDER, ROOT, Golden, connector, needs_goldens, records
from tests.conformance.known import (
    CASES,
    KNOWN,
    NOT_CAPTURED,
    NOT_COMPARED,
    PAGE,
    STOPPED,
    page,
)  # fmt: skip
from tests.conformance.options import run_of
from tests.lab.postgres_database import PostgresDatabase

# Recorded run -> the scripts that it ran.
RUNS = {
    "ddl": "ddl",
    "ddl_slow": "ddl_slow",
    "types_default": "types",
    "types_noschema": "types",
    "types_binary_base64": "types",
    "types_binary_base64url": "types",
    "types_binary_hex": "types",
    "types_decimal_double": "types",
    "types_decimal_string": "types",
    "types_full_identity": "types_full",
    "types_hstore_map": "types",
    "types_interval_string": "types",
    "types_nulldefault_off": "types",
    "types_numeric_json": "types",
    "types_time_adaptive_us": "types",
    "types_time_connect": "types",
    "types_time_isostring": "types",
    "types_time_microseconds": "types",
    "types_time_nanoseconds": "types",
    "types_propagate": "types",
    "types_unknown": "types",
    "identity_default": "identity",
    "identity_noschema": "identity",
    "identity_binary_hex": "identity",
    "identity_binary_base64": "identity_nonn",
    "identity_truncate_skipped_no_tombstone": "identity",
    "edge_default": "edge",
    "edge_decimal_double": "edge",
    "edge_decimal_string": "edge",
    "edge_interval_string": "edge",
    "edge_time_adaptive_us": "edge",
    "edge_time_connect": "edge",
    "edge_time_isostring": "edge",
    "edge_time_microseconds": "edge",
    "edge_time_nanoseconds": "edge",
    "edge_far_default": "edge_far",
    "edge_far_isostring": "edge_far",
    "edge_nan_double": "edge_nan",
    "edge_nan_precise": "edge_nan",
    "edge_nan_string": "edge_nan",
    "edge_nansnap_double": "edge_nansnap",
    "edge_nansnap_precise": "edge_nansnap",
    "edge_nansnap_string": "edge_nansnap",
    "tx_metadata": "tx",
    "tx_metadata_heartbeat": "tx",
    "tx_plain_hex": "tx",
}
HEARTBEATS = "__debezium-heartbeat.acme"
# The bulky topics were taken out of some recorded runs.
NOT_RECORDED = {
    "identity_noschema": ("toast_default", "toast_full", "toast_nn"),
    "identity_truncate_skipped_no_tombstone": ("toast_default", "toast_full", "toast_nn"),
    "identity_binary_hex": ("toast_full",),
    "identity_binary_base64": ("toast_full",),
}


def by_topic(found: Sequence[Golden]) -> dict[str, list[Golden]]:
    topics = defaultdict(list)
    for record in found:
        topics[record.topic].append(record)
    return dict(topics)


def unexplained(expected: Sequence[Golden], found: Sequence[Golden]) -> list[Difference]:
    """The differences of two topics' records that no case explains."""
    left = []
    for debezium, tidewire in zip(expected, found, strict=True):
        for difference in differences(debezium, tidewire):
            known = next((each for each in KNOWN if each.fits(difference)), None)
            if known is None:
                left.append(difference)
    return left


def _is_before_15(database: PostgresDatabase) -> bool:
    return int(database.server.version.partition(".")[0]) < 15


@needs_goldens
@pytest.mark.postgres
@pytest.mark.parametrize("run", RUNS)
def test_records_are_debeziums_but_for_known_cases(
    run: str, postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    configuration = connector(run)
    if configuration.get("provide.transaction.metadata") == "true" and _is_before_15(
        postgres_database
    ):
        pytest.skip("before version 15 the server tells of transactions without changes too")
    ignored = {f"acme.{table}" for table in (*NOT_CAPTURED, *NOT_COMPARED)} | {
        f"acme.public.{table}" for table in NOT_RECORDED.get(run, ())
    }
    if configuration.get("publish.via.partition.root") == "true":
        ignored |= {"acme.public.part1", "acme.public.part2"}

    found = captured(postgres_database, RUNS[run], run_of(configuration), tmp_path)

    expected = by_topic([each for each in records(run) if each.topic not in ignored])
    actual = by_topic([each for each in found if each.topic not in ignored])
    if HEARTBEATS in expected:
        # How many there are is a matter of time.
        expected[HEARTBEATS] = expected[HEARTBEATS][:1]
    if run in STOPPED:
        assert expected.keys() <= actual.keys()
        actual = {topic: actual[topic][: len(found)] for topic, found in expected.items()}
    assert {t: len(r) for t, r in expected.items()} == {t: len(r) for t, r in actual.items()}
    assert [
        each for topic in expected for each in unexplained(expected[topic], actual[topic])
    ] == []


def test_page_of_differences_is_in_step() -> None:
    assert page() == PAGE.read_text("utf-8")


def test_every_case_is_proved_by_a_recorded_run_or_by_a_test() -> None:
    compared = {known.case for known in KNOWN}

    for name, case in CASES.items():
        if not case.test:
            by_tables = set(NOT_CAPTURED.values()) | set(NOT_COMPARED.values())
            assert name in compared | by_tables | set(STOPPED.values()), name
            continue
        file, _, function = case.test.partition("::")
        assert f"def {function}(" in (ROOT / file).read_text("utf-8"), name


# Recorded runs that others than the test above compare, or that later options are needed for.
ELSEWHERE = {
    "partitions": "tests/conformance/test_partitions.py",
    "edge_nan_nn_precise": CASES["required-nan"].test.partition("::")[0],
}
LATER = ("smt_*", "options_*", "identity_names_avro", "signals_notifications")


@needs_goldens
def test_no_recorded_run_is_left_out() -> None:
    recorded = {path.name.removesuffix(".jsonl") for path in FOLDER.glob("*.jsonl")}
    later = {name for name in recorded if any(fnmatchcase(name, glob) for glob in LATER)}

    assert recorded - later == RUNS.keys() | ELSEWHERE.keys()
    assert all((ROOT / file).is_file() for file in ELSEWHERE.values())
