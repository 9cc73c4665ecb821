"""What Tidewire captures from a real Postgres is what Debezium captured, but for known cases."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from cdc.transforms.columns import Columns, Config
from tests.conformance.capture import captured
from tests.conformance.compare import Difference, differences
from tests.conformance.goldens import ROOT, Golden, connector, needs_goldens, records
from tests.conformance.known import (
    CASES,
    KNOWN,
    NOT_CAPTURED,
    NOT_COMPARED,
    PAGE,
    UNCOVERED_COLUMNS,
    page,
)  # fmt: skip
from tests.conformance.options import options_of, written_by
from tests.lab.postgres_database import PostgresDatabase

# Recorded run -> the scripts that it ran.
RUNS = {
    "types_default": "types",
    "types_noschema": "types",
    "types_decimal_string": "types",
    "types_nulldefault_off": "types",
    "identity_default": "identity",
    "identity_noschema": "identity",
    "identity_binary_hex": "identity",
    "identity_binary_base64": "identity_nonn",
    "identity_truncate_skipped_no_tombstone": "identity",
    "edge_default": "edge",
    "edge_time_isostring": "edge",
    "edge_nan_precise": "edge_nan",
    "edge_nan_string": "edge_nan",
}
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
        for difference in differences(debezium, tidewire, UNCOVERED_COLUMNS):
            known = next((each for each in KNOWN if each.fits(difference)), None)
            if known is None:
                left.append(difference)
    return left


@needs_goldens
@pytest.mark.postgres
@pytest.mark.parametrize("run", RUNS)
def test_records_are_debeziums_but_for_known_cases(
    run: str, postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    configuration = connector(run)
    excluding = Columns(Config(tables=("public.*",), exclude=tuple(UNCOVERED_COLUMNS)))
    ignored = {f"acme.{table}" for table in (*NOT_CAPTURED, *NOT_COMPARED)} | {
        f"acme.public.{table}" for table in NOT_RECORDED.get(run, ())
    }
    if configuration.get("publish.via.partition.root") == "true":
        ignored |= {"acme.public.part1", "acme.public.part2"}

    found = captured(postgres_database, RUNS[run], options_of(configuration), excluding, tmp_path)

    expected = by_topic([each for each in records(run) if each.topic not in ignored])
    actual = by_topic(
        [each for each in written_by(configuration, found) if each.topic not in ignored]
    )
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
            assert name in compared | set(NOT_CAPTURED.values()) | set(NOT_COMPARED.values()), name
            continue
        file, _, function = case.test.partition("::")
        assert f"def {function}(" in (ROOT / file).read_text("utf-8"), name
