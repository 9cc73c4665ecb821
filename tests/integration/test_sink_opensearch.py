"""The opensearch sink on a real node: mappings, refusals, and nodes that fail."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc.errors import ConfigError, SchemaError, SinkRefused, TransientError
from cdc.protocols import Document, Mutation, SinkContext, Upsert
from cdc.schema import (
    Array,
    Boolean,
    Bytes,
    Column,
    Date,
    Decimal,
    Float64,
    Int32,
    Int64,
    Json,
    String,
    TableSchema,
    Timestamp,
    TimestampTz,
    Uuid,
)
from cdc.secret import Secret
from cdc.testing.sink_histories import TABLE, TARGET, delete, patch, product, truncate, upsert
from sinks.opensearch import Config, OpenSearchSink, create
from tests.contract.sink_harnesses import OpenSearchHarness
from tests.integration.front import PASSWORD, USER, Front
from tests.lab.opensearch import OpenSearchServer

pytestmark = pytest.mark.opensearch

TYPES = TableSchema(
    "shop",
    "public",
    "products",
    (
        Column("id", Int32(), nullable=False),
        Column("name", String()),
        Column("amount", Decimal(10, 2)),
        Column("on_sale", Boolean()),
        Column("day", Date()),
        Column("at", Timestamp()),
        Column("seen", TimestampTz()),
        Column("ref", Uuid()),
        Column("data", Bytes()),
        Column("more", Json()),
        Column("tags", Array(String())),
        Column("ratio", Float64()),
    ),
    key=(0,),
)


@pytest.fixture
def index(
    opensearch_server: OpenSearchServer, opensearch_prefix: str, tmp_path: Path
) -> OpenSearchHarness:
    return OpenSearchHarness(opensearch_server.url, opensearch_prefix, tmp_path)


def make(place: OpenSearchHarness, url: str = "", **options: Any) -> OpenSearchSink:
    values = {"url": Secret(url or place.url), "index": place.alias, **options}
    return create(Config(**values), SinkContext("shop", "search", place.folder))


def hits(index: OpenSearchHarness, query: object) -> list[str]:
    index.ask("POST", f"/{index.alias}/_refresh")
    found = index.ask("POST", f"/{index.alias}/_search", {"query": query})
    return sorted(hit["_id"] for hit in found["hits"]["hits"])


def test_fields_can_be_searched_as_their_types_ask(index: OpenSearchHarness) -> None:
    documents: dict[str, Document] = {
        "1": {
            "id": 1,
            "name": "Red Bicycle",
            "amount": "12.30",
            "on_sale": True,
            "day": "2026-11-23",
            "at": "2026-11-23T12:30:00.5",
            "seen": "2026-11-23T12:30:00.123456Z",
            "ref": "0b6f0cf0-0000-4000-8000-000000000001",
            "data": "aGVsbG8=",
            "more": {"a": 1},
            "tags": ["new", "cheap"],
            "ratio": 0.5,
        },
        "2": {
            "id": 2,
            "name": None,
            "amount": "NaN",
            "day": "infinity",
            "at": "-infinity",
            "more": "a text where another document has an object",
            "tags": [],
            "ratio": "-Infinity",
        },
    }
    with closing(make(index)) as sink:
        sink.apply_schema(TYPES)

        mutations = [Mutation(TARGET, i, 1, Upsert(one)) for i, one in documents.items()]
        assert list(sink.write(mutations)) == []

    assert index.documents(TARGET) == documents
    assert hits(index, {"match": {"name": "bicycle"}}) == ["1"]
    assert hits(index, {"term": {"name.keyword": "Red Bicycle"}}) == ["1"]
    assert hits(index, {"range": {"amount": {"gt": 12.2, "lt": 12.4}}}) == ["1"]
    assert hits(index, {"range": {"day": {"gte": "2026-11-23", "lt": "2026-11-24"}}}) == ["1"]
    assert hits(index, {"range": {"at": {"gte": "2026-11-23T12:30:00.4Z"}}}) == ["1"]
    assert hits(index, {"term": {"tags.keyword": "cheap"}}) == ["1"]
    assert hits(index, {"term": {"on_sale": True}}) == ["1"]
    assert hits(index, {"range": {"ratio": {"lt": 1}}}) == ["1"]
    assert hits(index, {"exists": {"field": "_ignored"}}) == ["2"]


def test_the_index_is_behind_an_alias_and_remembers_deletes(index: OpenSearchHarness) -> None:
    with closing(make(index, tombstone_s=120, settings={"number_of_replicas": 0})) as sink:
        sink.apply_schema(TABLE)
        findings = sink.check()

    (name,) = index.ask("GET", f"/_alias/{index.alias}")
    settings = index.ask("GET", f"/{name}/_settings")[name]["settings"]["index"]
    assert name == f"{index.alias}_v1"
    assert (settings["gc_deletes"], settings["number_of_replicas"]) == ("120s", "0")
    assert {finding.severity for finding in findings} == {"ok"}


def test_a_refused_document_is_told_without_its_values_and_harms_no_other(
    index: OpenSearchHarness,
) -> None:
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)

        rejected = sink.write([upsert(1, 10), upsert(2, 11, id="hunter2"), upsert(3, 12)])

    assert [one.index for one in rejected] == [1]
    assert rejected[0].reason.startswith("mapper_parsing_exception: field [id] of type [long]")
    assert "hunter2" not in rejected[0].reason
    assert sorted(index.documents(TARGET)) == ["1", "3"]


def test_a_refused_change_keeps_what_was_there_before_it(index: OpenSearchHarness) -> None:
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)

        rejected = sink.write([upsert(1, 10), upsert(1, 11, id="no"), upsert(2, 12)])
        later = sink.write([upsert(1, 20, name="later")])

    assert ([one.index for one in rejected], list(later)) == ([1], [])
    assert index.documents(TARGET)["1"] == product(1, name="later")


@pytest.mark.parametrize("id_", ["", "x" * 513, "ü" * 257])
def test_an_id_that_would_spoil_the_whole_request_is_rejected_alone(
    index: OpenSearchHarness, id_: str
) -> None:
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)

        rejected = sink.write([upsert(1, 10), Mutation(TARGET, id_, 11, Upsert(product(2)))])

    assert [one.index for one in rejected] == [1]
    assert "512" in rejected[0].reason
    assert list(index.documents(TARGET)) == ["1"]


def test_a_request_refused_as_a_whole_is_halved_until_the_document_is_found(
    index: OpenSearchHarness,
) -> None:
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)
        mutations = [upsert(number, 10) for number in range(1, 8)]
        mutations[4] = upsert(5, 10, more=_nested(200))

        rejected = sink.write(mutations)

    assert [one.index for one in rejected] == [4]
    assert sorted(index.documents(TARGET)) == ["1", "2", "3", "4", "6", "7"]


def _nested(depth: int) -> object:
    inner: object = 1
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def test_bulk_requests_are_cut_by_bytes_and_keep_their_order(index: OpenSearchHarness) -> None:
    with closing(make(index, bulk_bytes_max=1)) as sink:
        sink.apply_schema(TABLE)
        sink.write([upsert(1, 10), patch(1, 11, name="b"), delete(2, 12), upsert(3, 13)])

    assert index.documents(TARGET) == {"1": product(1, name="b"), "3": product(3)}


def test_a_column_whose_type_does_not_fit_any_more_is_named(index: OpenSearchHarness) -> None:
    changed = replace(TABLE, columns=(*TABLE.columns[:2], Column("price", Date())))
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)

        with pytest.raises(SchemaError, match=r"price \(is double, must be date\)"):
            sink.apply_schema(changed)


def test_a_wider_integer_does_not_fit_a_narrower_field(index: OpenSearchHarness) -> None:
    narrow = replace(TABLE, columns=(Column("id", Int32()),))
    wide = replace(TABLE, columns=(Column("id", Int64()),))
    with closing(make(index)) as sink:
        sink.apply_schema(narrow)
        with pytest.raises(SchemaError, match=r"id \(is integer, must be long\)"):
            sink.apply_schema(wide)


def test_mappings_of_the_configuration_go_over_the_types(index: OpenSearchHarness) -> None:
    with closing(make(index, mappings={"name": {"type": "keyword"}})) as sink:
        sink.apply_schema(TABLE)
        sink.apply_schema(TABLE)
        sink.write([upsert(1, 10, name="Red Bicycle")])

    assert hits(index, {"term": {"name": "Red Bicycle"}}) == ["1"]
    assert hits(index, {"match": {"name": "bicycle"}}) == []


def test_an_impossible_mapping_is_a_schema_error(index: OpenSearchHarness) -> None:
    with (
        closing(make(index, mappings={"name": {"type": "nothing"}})) as sink,
        pytest.raises(SchemaError, match="mapper_parsing_exception"),
    ):
        sink.apply_schema(TABLE)


def test_an_index_in_the_place_of_the_alias_is_not_touched(index: OpenSearchHarness) -> None:
    index.ask("PUT", f"/{index.alias}")
    with closing(make(index)) as sink:
        with pytest.raises(SinkRefused, match="is an index and no alias"):
            sink.apply_schema(TABLE)
        (*_, finding) = sink.check()

    assert finding.severity == "error"
    assert index.ask("GET", f"/{index.alias}")[index.alias]["mappings"] == {}


def test_an_index_that_lost_its_alias_is_not_taken_over(index: OpenSearchHarness) -> None:
    index.ask("PUT", f"/{index.alias}_v1")
    with (
        closing(make(index)) as sink,
        pytest.raises(SinkRefused, match="exists without the alias"),
    ):
        sink.apply_schema(TABLE)


def test_an_alias_that_vanished_stops_the_sink_and_makes_no_index(
    index: OpenSearchHarness,
) -> None:
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)
        index.ask("DELETE", f"/{index.alias}_v1")

        with pytest.raises(SinkRefused, match="does not exist any more"):
            sink.write([upsert(1, 10)])
        with pytest.raises(SinkRefused, match="does not exist any more"):
            sink.write([patch(1, 10, name="x")])
        with pytest.raises(SinkRefused):
            sink.write([truncate(10)])

    assert index.ask("GET", f"/_cat/indices/{index.alias}*?format=json") == []


def test_two_tables_need_two_indexes(index: OpenSearchHarness) -> None:
    orders = replace(TABLE, table="orders")
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)
        with pytest.raises(SchemaError, match="would share the index"):
            sink.apply_schema(orders)

    name = f"{index.alias}-{{table}}"
    with closing(make(index, index=name)) as sink:
        sink.apply_schema(TABLE)
        sink.apply_schema(orders)
        order = Mutation("public.orders", "1", 5, Upsert({"id": 7}))
        sink.write([upsert(1, 10), order, truncate(20)])

    index.ask("POST", f"/{index.alias}-*/_refresh")
    counts = [
        index.ask("GET", f"/{index.alias}-{t}/_count")["count"] for t in ("products", "orders")
    ]
    assert counts == [0, 1]


@pytest.mark.parametrize("name", ["{nothing}", "_hidden", "a,b", "{table", "a b"])
def test_a_name_that_no_index_can_have_is_a_configuration_error(
    index: OpenSearchHarness, name: str
) -> None:
    with closing(make(index, index=name)) as sink, pytest.raises(ConfigError, match="no name"):
        sink.apply_schema(TABLE)


def test_a_blocked_index_is_waited_for(index: OpenSearchHarness) -> None:
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)
        index.ask("PUT", f"/{index.alias}/_settings", {"index.blocks.write": True})
        with pytest.raises(TransientError, match="blocks writes"):
            sink.write([upsert(1, 10)])
        index.ask("PUT", f"/{index.alias}/_settings", {"index.blocks.write": False})

        sink.write([upsert(1, 10)])

    assert index.documents(TARGET) == {"1": product(1)}


def test_check_warns_of_an_index_that_forgets_deletes_sooner(index: OpenSearchHarness) -> None:
    with closing(make(index)) as sink:
        sink.apply_schema(TABLE)
        index.ask("PUT", f"/{index.alias}/_settings", {"index.gc_deletes": "60s"})
        (*_, finding) = sink.check()

    assert (finding.severity, finding.code) == ("warning", "opensearch-tombstones")
    assert '"index.gc_deletes": "3600s"' in finding.fix


def test_a_node_that_is_not_there_is_transient_and_logged_by_nobody(
    index: OpenSearchHarness, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(make(index, "http://127.0.0.1:1")) as sink:
        with pytest.raises(TransientError, match="cannot be reached"):
            sink.apply_schema(TABLE)
        (finding,) = sink.check()

    assert (finding.severity, finding.code) == ("error", "opensearch-connection")
    assert caplog.records == []


@pytest.mark.slow
def test_documents_survive_a_kill_and_the_sink_goes_on(tmp_path: Path) -> None:
    with OpenSearchServer.start() as server:
        index = OpenSearchHarness(server.url, "killed-", tmp_path)
        with closing(make(index)) as sink:
            sink.apply_schema(TABLE)
            sink.write([upsert(1, 20), upsert(2, 21), truncate(15)])
            server.kill()
            with pytest.raises(TransientError, match="cannot be reached"):
                sink.write([upsert(3, 22)])
            server.start_again()

            rejected = sink.write([upsert(1, 10), upsert(3, 22)])

        with closing(make(index)) as sink:
            sink.apply_schema(TABLE)
            sink.write([upsert(4, 14)])
        assert list(rejected) == []
        assert index.documents(TARGET) == {str(n): product(n) for n in (1, 2, 3)}


def test_tls_and_password_reach_the_node(index: OpenSearchHarness, tmp_path: Path) -> None:
    with (
        Front(index.url, tmp_path) as front,
        closing(
            make(index, front.url, username=USER, password=PASSWORD, tls_ca_file=front.ca_file)
        ) as sink,
    ):
        sink.apply_schema(TABLE)
        sink.write([upsert(1, 10), patch(1, 11, name="b")])

    assert index.documents(TARGET) == {"1": product(1, name="b")}


def test_a_wrong_password_is_refused_without_showing_it(
    index: OpenSearchHarness, tmp_path: Path
) -> None:
    options = {"username": USER, "password": "hunter2"}
    with (
        Front(index.url, tmp_path) as front,
        closing(make(index, front.url, tls_ca_file=front.ca_file, **options)) as sink,
    ):
        with pytest.raises(SinkRefused, match="401") as caught:
            sink.apply_schema(TABLE)
        (finding,) = sink.check()

    assert "hunter2" not in f"{caught.value} {finding}"


def test_a_missing_right_is_refused(index: OpenSearchHarness, tmp_path: Path) -> None:
    options = {"username": USER, "password": PASSWORD}
    with (
        Front(index.url, tmp_path) as front,
        closing(make(index, front.url, tls_ca_file=front.ca_file, **options)) as sink,
    ):
        sink.apply_schema(TABLE)
        front.forbids = True

        with pytest.raises(SinkRefused, match="403 security_exception"):
            sink.write([upsert(1, 10)])


def test_a_busy_cluster_is_given_time(index: OpenSearchHarness, tmp_path: Path) -> None:
    options = {"username": USER, "password": PASSWORD, "busy_pause_s": 2.5}
    with (
        Front(index.url, tmp_path) as front,
        closing(make(index, front.url, tls_ca_file=front.ca_file, **options)) as sink,
    ):
        sink.apply_schema(TABLE)
        front.busy = 1

        with pytest.raises(TransientError) as caught:
            sink.write([upsert(1, 10)])
        assert caught.value.retry_after_s == 2.5
        sink.write([upsert(1, 10)])

    assert index.documents(TARGET) == {"1": product(1)}


@pytest.mark.parametrize(
    ("mode", "trusted", "host_name", "is_accepted"),
    [
        ("verify-full", False, "localhost", False),
        ("verify-full", True, "elsewhere", False),
        ("verify-ca", True, "elsewhere", True),
        ("verify-ca", False, "localhost", False),
        ("require", False, "elsewhere", True),
    ],
)
def test_the_tls_mode_says_what_is_checked(
    index: OpenSearchHarness,
    tmp_path: Path,
    mode: str,
    trusted: bool,
    host_name: str,
    is_accepted: bool,
) -> None:
    with Front(index.url, tmp_path, host_name) as front:
        options = {"username": USER, "password": PASSWORD, "tls_mode": mode}
        if trusted:
            options["tls_ca_file"] = str(front.ca_file)
        with closing(make(index, front.url, **options)) as sink:
            if is_accepted:
                sink.apply_schema(TABLE)
            else:
                with pytest.raises(SinkRefused, match="no secure connection"):
                    sink.apply_schema(TABLE)
