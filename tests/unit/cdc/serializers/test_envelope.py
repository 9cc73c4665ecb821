"""Topic names, and structures that the format cannot carry."""

import pytest

from cdc.errors import ConfigError, SchemaError
from cdc.schema import Array, Column, Decimal, Int32, LogicalType, TableSchema
from cdc.serializers.envelope import (
    column_mappings,
    column_schema,
    key_schema,
    source_schema,
    table_topic,
)
from cdc.serializers.json_values import schema_text
from cdc.serializers.options import Options
from cdc.serializers.semantic import mapping


@pytest.mark.parametrize(
    ("parts", "topic"),
    [
        (("acme", "public", "t"), "acme.public.t"),
        (("acme", "other schema", "ünï-1"), "acme.other_schema._n_-1"),
        (("acme", " ", "t"), "acme.t"),
        (("acme", "s", "t" * 300), "acme.s." + "t" * 242),
        ((".", "", ""), "_"),
        (("..", "", ""), "__"),
    ],
)
def test_topic_names_are_made_legal_as_debezium_makes_them(
    parts: tuple[str, str, str], topic: str
) -> None:
    assert table_topic(*parts) == topic


def test_connector_without_a_source_block_is_named() -> None:
    with pytest.raises(ConfigError, match="'oracle'"):
        source_schema("oracle")


def test_unknown_type_is_told_with_its_column_and_table() -> None:
    class Hologram(LogicalType):
        name = "hologram"

    table = TableSchema("d", "public", "t", (Column("h", Hologram()),))

    with pytest.raises(SchemaError, match=r"column 'h' of table public\.t: .*'hologram'"):
        column_mappings(table, Options())


def test_default_without_an_encoding_or_in_a_struct_is_left_out() -> None:
    fixed, free = Decimal(8, 3), Decimal()
    nan = Column("n", fixed, default="NaN")
    scaled = Column("n", fixed, default="1.5")
    struct = Column("n", free, default="1.5")
    empty = Column("a", Array(), default=())

    texts = [
        schema_text(column_schema(column, mapping(column.type, Options())))
        for column in (nan, scaled, struct, empty)
    ]

    assert [b'"default"' in text for text in texts] == [False, True, False, True]
    assert b'"default":"Bdw="' in texts[1]


def test_type_of_the_source_is_shown_in_values_and_not_in_keys() -> None:
    about = (("type_name", "int4"), ("length", "10"), ("scale", "0"))
    column = Column("id", Int32(), nullable=False, attributes=about)
    table = TableSchema("d", "public", "t", (column,), (0,))

    shown = column_schema(column, mapping(column.type, Options()))
    key = key_schema("acme.public.t", table, [shown])

    start = "__debezium.source.column."
    assert shown.parameters == (
        (f"{start}type", "INT4"),
        (f"{start}length", "10"),
        (f"{start}scale", "0"),
        (f"{start}name", "id"),
    )
    assert key.fields[0][1].parameters == ()
