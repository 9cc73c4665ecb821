"""Changes as mutations of documents."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from cdc.errors import ConfigError, DecodeError, SchemaError
from cdc.event import UNCHANGED, ChangeEvent, Row
from cdc.projection import Mapping, Projection, TableMapping, parse_template
from cdc.protocols import Delete, Mutation, Patch, Truncate, Upsert
from cdc.schema import (
    Array,
    Boolean,
    Bytes,
    Column,
    Date,
    Decimal,
    Int64,
    Json,
    Map,
    Point,
    String,
    TableSchema,
    Vector,
)

PRODUCTS = TableSchema(
    "shop",
    "public",
    "products",
    (
        Column("id", Int64(), nullable=False),
        Column("name", String()),
        Column("price", Decimal(10, 2)),
    ),
    key=(0,),
)
LINES = replace(
    PRODUCTS,
    table="lines",
    columns=(Column("order", String()), Column("line", String()), Column("text", String())),
    key=(0, 1),
)


def event(
    op: str, before: Row | None, after: Row | None, table: TableSchema = PRODUCTS
) -> ChangeEvent:
    return ChangeEvent(op, table, before, after, None)


def projected(mapping: Mapping, one: ChangeEvent, *, tombstone: bool = False) -> list[Mutation]:
    return Projection(mapping).mutations(one, 7, tombstone=tombstone)


@pytest.mark.parametrize("op", ["r", "c", "u"])
def test_a_whole_row_is_an_upsert(op: str) -> None:
    mutations = projected(Mapping(), event(op, None, (5, None, "1.50")))

    document = {"id": 5, "name": None, "price": "1.50"}
    assert mutations == [Mutation("public.products", "5", 7, Upsert(document))]


def test_a_row_with_values_that_were_not_sent_is_a_patch_of_the_others() -> None:
    mutations = projected(Mapping(), event("u", None, (5, UNCHANGED, "1.50")))

    assert mutations == [Mutation("public.products", "5", 7, Patch({"id": 5, "price": "1.50"}))]


def test_a_value_that_was_not_sent_does_not_matter_where_it_is_not_in_the_document() -> None:
    mutations = projected(Mapping(exclude=("name",)), event("u", None, (5, UNCHANGED, "1.50")))

    assert mutations[0].action == Upsert({"id": 5, "price": "1.50"})


@pytest.mark.parametrize("tombstone", [True, False])
def test_a_delete_needs_only_the_key(tombstone: bool) -> None:
    gone = event("d", (5, UNCHANGED, UNCHANGED), None)

    mutations = projected(Mapping(), gone, tombstone=tombstone)

    assert mutations == [Mutation("public.products", "5", 7, Delete())]


def test_a_truncate_has_no_id() -> None:
    mutations = projected(Mapping(), event("t", None, None))

    assert mutations == [Mutation("public.products", "", 7, Truncate())]


def test_include_exclude_and_rename_choose_the_fields() -> None:
    mapping = Mapping(include=("id", "name", "price"), exclude=("price",), rename={"name": "title"})

    mutations = projected(mapping, event("c", None, (5, "x", "1.50")))

    assert mutations[0].action == Upsert({"id": 5, "title": "x"})


def test_the_structure_of_documents_has_the_fields_and_the_key_that_is_left() -> None:
    renamed = Projection(Mapping(exclude=("name",), rename={"id": "number"})).bind(PRODUCTS)
    keyless = Projection(Mapping(exclude=("id",))).bind(PRODUCTS)

    assert [column.name for column in renamed.documents.columns] == ["number", "price"]
    assert renamed.documents.key == (0,)
    assert [column.name for column in keyless.documents.columns] == ["name", "price"]
    assert keyless.documents.key == ()


def test_a_table_has_its_own_rule_instead_of_the_common_one() -> None:
    mapping = Mapping(
        exclude=("name",), mappings={"public.products": TableMapping(id="product:{id}")}
    )

    mutations = projected(mapping, event("c", None, (5, "x", "1.50")))

    assert mutations[0].id == "product:5"
    assert mutations[0].action == Upsert({"id": 5, "name": "x", "price": "1.50"})


def test_key_is_another_word_for_id() -> None:
    assert Mapping.model_validate({"key": "product:{id}"}).id == "product:{id}"
    with pytest.raises(ValidationError):
        Mapping.model_validate({"keys": "product:{id}"})


def test_ids_of_several_key_columns_are_never_shared() -> None:
    one = projected(Mapping(), event("c", None, ("a:b", "c", ""), LINES))
    other = projected(Mapping(), event("c", None, ("a", "b:c", ""), LINES))
    third = projected(Mapping(), event("c", None, ("a%3Ab", "c", ""), LINES))

    assert (one[0].id, other[0].id, third[0].id) == ("a%3Ab:c", "a:b%3Ac", "a%253Ab:c")


@pytest.mark.parametrize(
    ("kind", "value", "id_"),
    [
        (Int64(), -5, "-5"),
        (Boolean(), True, "true"),
        (Boolean(), False, "false"),
        (Bytes(), b"\x00", "AA=="),
        (Date(), 0, "1970-01-01"),
        (String(), "ä b", "ä b"),
    ],
)
def test_an_id_has_the_text_that_the_document_has(kind: Int64, value: object, id_: str) -> None:
    table = replace(PRODUCTS, columns=(Column("id", kind),))

    assert projected(Mapping(), event("c", None, (value,), table))[0].id == id_


@pytest.mark.parametrize("kind", [Json(), Array(Int64()), Map(), Point(), Vector()])
def test_an_id_of_a_structure_is_refused(kind: Json) -> None:
    table = replace(PRODUCTS, columns=(Column("id", kind),))

    with pytest.raises(ConfigError, match="no part of a document's id"):
        Projection(Mapping()).bind(table)


def test_a_table_without_a_key_needs_an_id() -> None:
    table = replace(PRODUCTS, key=())

    with pytest.raises(ConfigError, match="has no key"):
        Projection(Mapping()).bind(table)
    assert projected(Mapping(id="{name}"), event("c", None, (5, "x", "1"), table))[0].id == "x"


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("{id}", [("", "id"), ("", "")]),
        ("product:{id}", [("product:", "id"), ("", "")]),
        ("{a}-{b}!", [("", "a"), ("-", "b"), ("!", "")]),
        ("{{{a}}}", [("{", "a"), ("}", "")]),
        ("plain", [("plain", "")]),
    ],
)
def test_templates(template: str, parts: list[tuple[str, str]]) -> None:
    assert parse_template(template) == parts


@pytest.mark.parametrize("template", ["{", "a}b", "{}", "{a", "{a}{"])
def test_a_template_with_a_stray_brace_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="id template"):
        parse_template(template)


def test_a_template_without_a_column_is_refused() -> None:
    with pytest.raises(ConfigError, match="would be one document"):
        Projection(Mapping(id="all")).bind(PRODUCTS)


@pytest.mark.parametrize(
    ("mapping", "option"),
    [
        (Mapping(include=("nmae",)), "include"),
        (Mapping(exclude=("nmae",)), "exclude"),
        (Mapping(rename={"nmae": "x"}), "rename"),
        (Mapping(id="{nmae}"), "id"),
    ],
)
def test_an_unknown_column_is_refused_with_the_nearest_one(mapping: Mapping, option: str) -> None:
    with pytest.raises(ConfigError) as error:
        Projection(mapping).bind(PRODUCTS)

    assert f"`{option}` names the column 'nmae'" in str(error.value)
    assert "Did you mean 'name'?" in str(error.value)


def test_an_unknown_column_of_a_table_without_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not have"):
        Projection(Mapping(exclude=("a",))).bind(replace(PRODUCTS, columns=(), key=()))


def test_two_columns_that_would_be_one_field_are_refused() -> None:
    with pytest.raises(ConfigError, match="would be the field 'price'"):
        Projection(Mapping(rename={"name": "price"})).bind(PRODUCTS)


# --- ids that do not follow from the key ----------------------------------------------------------

BY_NAME = Mapping(id="{name}")


def test_an_update_that_changes_the_id_deletes_the_old_document_first() -> None:
    mutations = projected(BY_NAME, event("u", (5, "old", "1"), (5, "new", "1")))

    assert mutations == [
        Mutation("public.products", "old", 7, Delete()),
        Mutation("public.products", "new", 7, Upsert({"id": 5, "name": "new", "price": "1"})),
    ]


def test_an_update_that_keeps_the_id_is_one_upsert() -> None:
    mutations = projected(BY_NAME, event("u", (5, "same", "1"), (5, "same", "2")))

    assert [mutation.id for mutation in mutations] == ["same"]


def test_a_value_that_was_not_sent_is_taken_from_the_old_row_for_the_id() -> None:
    mutations = projected(BY_NAME, event("u", (5, "same", "1"), (5, UNCHANGED, "2")))

    assert mutations == [Mutation("public.products", "same", 7, Patch({"id": 5, "price": "2"}))]


@pytest.mark.parametrize(
    "one",
    [
        event("u", None, (5, "new", "1")),
        event("u", (5, UNCHANGED, UNCHANGED), (5, "new", "1")),
        event("u", None, (5, UNCHANGED, "1")),
        event("u", (5, "old", "1"), (5, "new", UNCHANGED)),
        event("d", (5, UNCHANGED, UNCHANGED), None),
    ],
)
def test_a_change_that_does_not_tell_the_old_id_is_refused_with_the_remedy(
    one: ChangeEvent,
) -> None:
    with pytest.raises(SchemaError, match="REPLICA IDENTITY FULL"):
        projected(BY_NAME, one)


def test_a_tombstone_changes_nothing_where_the_id_does_not_follow_from_the_key() -> None:
    gone = event("d", (5, UNCHANGED, UNCHANGED), None)

    assert projected(BY_NAME, gone, tombstone=True) == []


def test_a_null_in_the_id_is_refused() -> None:
    with pytest.raises(SchemaError, match="has NULL"):
        projected(BY_NAME, event("c", None, (5, None, "1")))


@pytest.mark.parametrize(
    "one", [event("c", None, None), event("x", None, (5, "a", "1")), event("m", None, None)]
)
def test_an_event_that_makes_no_sense_is_an_error(one: ChangeEvent) -> None:
    with pytest.raises(DecodeError):
        projected(Mapping(), one)
