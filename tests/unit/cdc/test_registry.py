"""How the parts of a pipeline are put together from its configuration."""

from pathlib import Path

import orjson
import pytest

from cdc.chain import Chain
from cdc.config import Config, read
from cdc.errors import ConfigError, SchemaError
from cdc.event import ChangeEvent, Stored
from cdc.protocols import Heartbeat, Mutation, Upsert
from cdc.registry import Parts, drop, scaffold, searches, topics_of
from cdc.schema import Column, Int64, String, TableSchema
from tests.unit.cdc import supervised

TABLE = TableSchema(
    "d",
    "public",
    "t",
    (Column("id", Int64(), nullable=False), Column("name", String("text"), nullable=True)),
    key=(0,),
)


def parsed(folder: Path, *lines: str) -> Config:
    source = (
        f"name: shop\nsources:\n  shop: {{type: {supervised.__name__}, topic_prefix: my.shop}}\n"
    )
    return read(source + "\n".join(lines), folder / "cdc.yaml")


def stored(topic: str, key: object, value: object) -> Stored:
    return Stored(topic, 0, 0, orjson.dumps(key), orjson.dumps(value), (), 0)


def test_a_sink_reads_the_topics_of_its_tables_or_those_that_are_named(tmp_path: Path) -> None:
    config = parsed(
        tmp_path,
        "sinks:",
        '  ours: {type: blackhole, from: ["public.t *"]}',
        "  others: {type: blackhole, topics: [inventory.public.t]}",
    )

    assert topics_of(config, "ours") == ["my.shop.public.t_*"]
    assert topics_of(config, "others") == ["inventory.public.t"]


def test_what_a_search_finds_is_told_as_plain_content(tmp_path: Path) -> None:
    config = parsed(
        tmp_path,
        "sinks:",
        "  found: {type: sqlite, from: [public.t], path: found.sqlite}",
        "  other: {type: sqlite, from: [public.t], path: other.sqlite}",
        "  empty: {type: blackhole, from: [public.t]}",
    )
    parts = Parts(config)
    sink = parts.sink("found")
    sink.apply_schema(TABLE)
    sink.write([Mutation("public.t", "7", 1, Upsert({"id": 7, "name": "red lamp"}))])
    sink.close()

    found = searches(config, only=["found", "empty"])

    assert list(found) == ["found"]
    assert found["found"]("lamp", 9) == [
        {"target": "public.t", "id": "7", "document": {"id": 7, "name": "red lamp"}}
    ]
    parts.close()


@pytest.mark.parametrize("url", ["shop", "nothing://host/db", "redis://host"])
def test_an_url_of_no_database_that_we_know_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no URL of a database"):
        scaffold(url)


def test_a_source_that_made_nothing_has_nothing_to_drop(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot do this"):
        drop(parsed(tmp_path), "shop")


def test_a_topic_is_decoded_by_the_source_that_has_its_prefix_and_else_as_debeziums(
    tmp_path: Path,
) -> None:
    parts = Parts(parsed(tmp_path))
    decode = parts.decoder()
    schema = {"type": "struct", "fields": [{"type": "int32", "optional": False, "field": "id"}]}
    key = {"schema": schema, "payload": {"id": 7}}

    gone = decode(Stored("inventory.public.t", 0, 0, orjson.dumps(key), None, (), 0))

    assert gone is not None
    assert (gone.op, gone.table.qualified_name, gone.before) == ("d", "public.t", (7,))
    with pytest.raises(SchemaError, match=r"my\.shop\.public\.t"):
        decode(stored("my.shop.public.t", {"id": 7}, {"id": 7}))
    parts.close()


def test_operations_are_left_out_behind_the_transforms_of_a_source(tmp_path: Path) -> None:
    text = (
        f"name: shop\nsources:\n  shop:\n    type: {supervised.__name__}\n"
        "    transforms: [{type: columns, tables: [public.t], exclude: [name]}]\n"
    )
    plain = read(text, tmp_path / "cdc.yaml")
    skipping = read(f"{text}    skipped_operations: [t]\n", tmp_path / "cdc.yaml")
    unchanged = read(f"{text}    skip_unchanged: true\n", tmp_path / "cdc.yaml")

    made = [Parts(config).transforms("shop") for config in (plain, skipping, unchanged)]

    assert [len(transforms) for transforms in made] == [1, 2, 2]
    truncate = ChangeEvent("t", TABLE, None, None, None)
    assert Chain(made[1]).apply([truncate]) == []
    same = ChangeEvent("u", TABLE, (1, "a"), (1, "b"), None)
    assert Chain(made[2]).apply([same]) == []
    assert len(Chain(made[1]).apply([same])) == 1


def test_source_is_told_of_metadata_and_heartbeat(tmp_path: Path) -> None:
    text = f"name: shop\nsources:\n  shop: {{type: {supervised.__name__}, "
    plain = read(text + "}", tmp_path / "cdc.yaml")
    asked = read(
        text + "transaction_metadata: true, heartbeat: {interval_s: 2, topic: false}}",
        tmp_path / "cdc.yaml",
    )

    contexts = [Parts(config).source_context("shop") for config in (plain, asked)]

    assert [context.transaction_metadata for context in contexts] == [False, True]
    assert [None, Heartbeat(2.0, topic=False)] == [context.heartbeat for context in contexts]


def test_source_is_told_which_columns_show_their_types(tmp_path: Path) -> None:
    text = f"name: shop\nsources:\n  shop: {{type: {supervised.__name__}, "
    plain = read(text + "}", tmp_path / "cdc.yaml")
    asked = read(text + 'format: {propagate_source_types: ["*.orders.*"]}}', tmp_path / "cdc.yaml")

    contexts = [Parts(config).source_context("shop") for config in (plain, asked)]

    assert [context.described_columns for context in contexts] == [(), ("*.orders.*",)]
