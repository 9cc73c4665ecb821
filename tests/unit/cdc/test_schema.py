import pickle

import pytest

from cdc import schema
from cdc.errors import DecodeError
from cdc.schema import Column, TableSchema, compare


def table(*columns: Column, key: tuple[int, ...] = (0,)) -> TableSchema:
    return TableSchema("shop", "public", "products", columns, key)


ID = Column("id", schema.Int64(), nullable=False)


def test_id_is_the_start_of_the_hash_of_the_canonical_text() -> None:
    # Computed once from the canonical text below with sha256sum; a change here orphans every
    # record that is stored anywhere.
    products = table(ID, Column("name", schema.String(length=40)))

    assert products.canonical() == (
        '{"columns":[{"name":"id","nullable":false,"type":{"name":"int64"}},'
        '{"name":"name","nullable":true,"type":{"kind_":"text","length_":40,"name":"string"}}],'
        '"database":"shop","key":[0],"namespace":"public","partial":false,"table":"products"}'
    )
    assert products.id == "98200d009f263c32"


@pytest.mark.parametrize("kind", list(schema.TYPES.values()))
def test_every_type_survives_the_canonical_form(kind: type[schema.LogicalType]) -> None:
    products = table(ID, Column("value", kind()), Column("values", schema.Array(kind())))

    again = TableSchema.from_canonical(products.canonical())

    assert products == again
    assert products.id == again.id


@pytest.mark.parametrize(
    "default", [None, True, 7, "x", b"\x00\xff", 1.5, (1, None, (2,)), float("inf")]
)
def test_every_default_survives_the_canonical_form(default: object) -> None:
    products = table(ID, Column("value", schema.String(), default=default))

    assert products == TableSchema.from_canonical(products.canonical())


def test_no_default_is_not_a_default_of_none() -> None:
    without = table(ID, Column("value", schema.String()))
    with_null = table(ID, Column("value", schema.String(), default=None))

    assert without.id != with_null.id
    assert TableSchema.from_canonical(without.canonical()).columns[1].default is schema.NO_DEFAULT


def test_attributes_survive_the_canonical_form() -> None:
    products = table(ID, Column("v", schema.Int32(), attributes=(("type_name", "INT4"),)))

    assert products == TableSchema.from_canonical(products.canonical())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        table(ID).canonical().replace("int64", "int65").encode(),
        table(ID).canonical().replace('{"name":"int64"}', "7").encode(),
        table(ID).canonical().replace('"nullable"', '"attributes":7,"nullable"').encode(),
    ],
)
def test_damaged_structure_is_a_decode_error(text: bytes) -> None:
    with pytest.raises(DecodeError, match="damaged"):
        TableSchema.from_canonical(text)


def test_names_of_table_and_key() -> None:
    products = table(ID, Column("sku", schema.String()), key=(1, 0))

    assert products.qualified_name == "public.products"
    assert products.key_names == ("sku", "id")


def test_comparison_names_what_changed() -> None:
    old = table(ID, Column("a", schema.Int32()), Column("b", schema.Int32()))
    new = table(ID, Column("b", schema.Int64()), Column("c", schema.Int32()), key=(0, 1))

    change = compare(old, new)

    assert change == schema.SchemaChange(("c",), ("a",), ("b",), key_changed=True)
    assert change
    assert not compare(old, old)


def test_no_default_stays_itself_through_pickle() -> None:
    assert pickle.loads(pickle.dumps(schema.NO_DEFAULT)) is schema.NO_DEFAULT
    assert repr(schema.NO_DEFAULT) == "NO_DEFAULT"
