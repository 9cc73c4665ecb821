"""Decisions of the opensearch sink that need no server: answers, sizes, mappings."""

from typing import Any

import pytest

from cdc.errors import SinkRefused, TransientError
from cdc.schema import TYPES, Array, Date, Int64, Json, LogicalType, String
from cdc.testing.sink_histories import TABLE
from sinks.opensearch_bulk import Item, chunks, held_version, reason, refusal, write_item
from sinks.opensearch_mapping import conflicts, field_mapping, flattened, properties


def answer(status: int, kind: str = "", why: str = "", verb: str = "index") -> dict[str, Any]:
    error = {"error": {"type": kind, "reason": why}} if kind else {}
    return {verb: {"status": status, **error}}


@pytest.mark.parametrize(
    "done",
    [
        answer(201),
        answer(200),
        answer(404, verb="delete"),
        answer(409, "version_conflict_engine_exception", "current version [5] is higher"),
    ],
)
def test_written_gone_and_not_newer_are_done(done: dict[str, Any]) -> None:
    assert refusal(done, 1.0) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "rejected_execution_exception"),
        (429, "circuit_breaking_exception"),
        (503, "unavailable_shards_exception"),
        (500, "null_pointer_exception"),
        (403, "cluster_block_exception"),
        (429, "cluster_block_exception"),
    ],
)
def test_what_passes_by_itself_is_tried_again(status: int, kind: str) -> None:
    with pytest.raises(TransientError):
        refusal(answer(status, kind), 1.0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "security_exception"),
        (403, "security_exception"),
        (404, "index_not_found_exception"),
    ],
)
def test_what_concerns_all_stops_the_sink(status: int, kind: str) -> None:
    with pytest.raises(SinkRefused) as caught:
        refusal(answer(status, kind), 1.0)

    assert caught.value.hint


def test_a_reason_holds_names_and_no_values() -> None:
    # As OpenSearch 3.8.0 answers.
    error = {
        "type": "mapper_parsing_exception",
        "reason": "failed to parse field [age] of type [long] in document with id 'hunter2'. "
        "Preview of field's value: 'hunter2'",
        "caused_by": {
            "type": "illegal_argument_exception",
            "reason": 'For input string: "hunter2"',
        },
    }

    said = reason(error)

    assert (
        said == "mapper_parsing_exception: field [age] of type [long]; illegal_argument_exception"
    )


def test_a_limit_is_told() -> None:
    why = "Limit of total fields [1000] has been exceeded"

    assert reason({"type": "illegal_argument_exception", "reason": why}) == (
        "illegal_argument_exception: " + why
    )


def test_a_conflict_tells_the_version_that_is_held() -> None:
    why = "[1]: version conflict, current version [30] is higher or equal to the one provided [1]"

    assert held_version(answer(409, "version_conflict_engine_exception", why)) == 30
    assert held_version(answer(404, verb="delete")) is None
    with pytest.raises(ValueError, match="which version"):
        held_version(answer(409, "version_conflict_engine_exception", "in other words"))


def test_chunks_hold_everything_in_order_and_no_more_than_their_limit() -> None:
    items = [Item(index, b"x" * size) for index, size in enumerate([4, 4, 3, 20, 1, 9, 1])]

    cut = list(chunks(items, 10))

    assert [[len(item.lines) for item in chunk] for chunk in cut] == [
        [4, 4],
        [3],
        [20],
        [1, 9],
        [1],
    ]
    assert [item for chunk in cut for item in chunk] == items
    assert list(chunks([], 10)) == []


def test_the_sinks_own_field_cannot_come_from_a_row() -> None:
    with pytest.raises(ValueError, match="_cdc_version is the sink's own"):
        write_item(0, "products", "1", 1, {"_cdc_version": 1})


@pytest.mark.parametrize("kind", TYPES.values(), ids=lambda kind: kind.name)
def test_every_type_has_a_mapping_that_fits_itself(kind: type[LogicalType]) -> None:
    mapping = {"field": field_mapping(kind())}

    assert mapping["field"]["type"]
    assert conflicts(mapping, flattened(mapping)) == []


def test_an_array_is_mapped_as_its_items() -> None:
    assert field_mapping(Array(Array(Date()))) == field_mapping(Date())


def test_fields_of_other_types_conflict_both_ways() -> None:
    for one, other in ((Int64(), Date()), (Json(), String()), (Date(), Json())):
        wanted = {"field": field_mapping(one)}
        held = flattened({"field": field_mapping(other)})
        assert len(conflicts(wanted, held)) == 1


def test_a_type_that_somebody_chose_is_trusted() -> None:
    assert conflicts({"name": field_mapping(String())}, {"name": "search_as_you_type"}) == []


def test_inner_fields_have_dotted_names() -> None:
    shown = {"a": {"properties": {"b": {"type": "long"}}}, "c": {"type": "text"}}

    assert flattened(shown) == {"a": "object", "a.b": "long", "c": "text"}


def test_a_chosen_mapping_goes_over_the_type_and_the_version_over_all() -> None:
    made = properties(TABLE, {"name": {"type": "keyword"}, "_cdc_version": {"type": "text"}})

    assert made["name"] == {"type": "keyword"}
    assert made["_cdc_version"] == {"type": "long"}
