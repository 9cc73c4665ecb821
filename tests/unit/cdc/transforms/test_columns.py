"""Columns that are left out, masked or hashed, in every row, and what is refused."""

import hashlib

import pytest
from pydantic import ValidationError

from cdc.errors import ConfigError
from cdc.event import (
    FORM_INTEGER,
    FORM_OPAQUE,
    FORM_TEXT,
    UNCHANGED,
    ChangeEvent,
    RawRow,
    Row,
    RowLayout,
)
from cdc.schema import Array, Column, Float64, Int32, String, TableSchema
from cdc.transforms.columns import Columns, Config, create

PEOPLE = TableSchema(
    "depot",
    "public",
    "people",
    (
        Column("id", Int32(), nullable=False),
        Column("email", String(), nullable=False),
        Column("ssn", String("varchar", 11), default="none"),
        Column("name", String()),
        Column("score", Float64()),
    ),
    key=(0,),
)
ROW = (1, "a@example.org", "123-45-6789", "Ann", 0.5)
# As Debezium writes it with column.mask.hash.v2.SHA-256.with.salt.s3cr3t.
ANN_HASH = "110927a8f8ea312f3665028442e36135958c7ab45c63fc4d7ed3fa35ff234ab8"


def columns(**chosen: object) -> Columns:
    return create(Config.model_validate({"tables": ["public.people"], "salt": "s3cr3t", **chosen}))


def changed(transform: Columns, before: Row | None, after: Row | None) -> ChangeEvent:
    change = transform.bind(PEOPLE)
    assert change is not None
    event = change(ChangeEvent("u", PEOPLE, before, after, None, 3, 4, "last", 5))
    assert event is not None
    return event


def test_rows_are_changed_alike_before_and_after_and_the_rest_is_kept() -> None:
    transform = columns(exclude=["ssn"], mask=["name"], hash=["email"])

    event = changed(transform, ROW, ROW)

    assert tuple(event.after or ()) == (1, ANN_HASH, "*****", 0.5)
    assert event.before == event.after
    assert (event.op, event.ordinal, event.position, event.snapshot) == ("u", 3, 4, "last")


def test_structure_tells_nothing_of_the_values() -> None:
    event = changed(columns(exclude=["email"], mask=["ssn"], hash=["name"]), None, ROW)

    assert [column.name for column in event.table.columns] == ["id", "ssn", "name", "score"]
    assert event.table.columns[1].type == String()
    assert "none" not in event.table.canonical()
    assert event.table.key_names == ("id",)
    assert [column.nullable for column in event.table.columns] == [False, True, True, True]


def test_raw_rows_are_changed_without_decoding_the_others() -> None:
    def never(text: bytes) -> object:
        raise AssertionError("decoded for nothing")

    layout = RowLayout(
        (never, bytes.decode, never, bytes.decode, never),
        (FORM_INTEGER, FORM_TEXT, FORM_INTEGER, FORM_TEXT, FORM_OPAQUE),
    )
    raw = RawRow(layout, [b"1", b"a@example.org", b"123", None, UNCHANGED])

    transform = columns(exclude=["ssn"], mask=["name"], hash=["email"])
    change = transform.bind(PEOPLE)
    assert change is not None
    rows = [change(ChangeEvent("c", PEOPLE, None, raw, None)) for _ in range(2)]

    assert rows[0] is not None
    assert rows[1] is not None
    after = rows[0].after
    assert isinstance(after, RawRow)
    assert isinstance(rows[1].after, RawRow)
    assert after.raw == [b"1", ANN_HASH.encode(), b"*****", UNCHANGED]
    assert after.layout.forms == (FORM_INTEGER, FORM_TEXT, FORM_TEXT, FORM_OPAQUE)
    assert after[1] == ANN_HASH
    assert after.layout is rows[1].after.layout


def test_null_stays_null_when_hashed_and_unchanged_stays_unchanged() -> None:
    row = (1, UNCHANGED, None, UNCHANGED, None)

    event = changed(columns(mask=["name"], hash=["email", "ssn"]), None, row)

    assert event.after == (1, UNCHANGED, None, UNCHANGED, None)


def test_key_may_be_hashed() -> None:
    event = changed(columns(hash=["id"]), None, ROW)

    assert event.after is not None
    assert event.after[0] == hashlib.sha256(b"s3cr3t1").hexdigest()
    assert event.table.key_names == ("id",)
    assert event.table.columns[0].type == String()


@pytest.mark.parametrize(("done", "words"), [("exclude", "leave out"), ("mask", "mask")])
def test_key_may_not_be_left_out_or_masked(done: str, words: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"would {words} column 'id'.* key of table public\.people"
    ):
        columns(**{done: ["id"]}).bind(PEOPLE)


def test_column_that_a_table_named_in_full_lacks_stops() -> None:
    with pytest.raises(ConfigError, match=r"'phone', which table public\.people does not have"):
        columns(exclude=["phone"]).bind(PEOPLE)


def test_other_tables_and_tables_without_the_columns_cost_nothing() -> None:
    assert columns(tables=["public.orders"], mask=["name"]).bind(PEOPLE) is None
    assert columns(tables=["public.*"], mask=["phone"]).bind(PEOPLE) is None


def test_type_that_cannot_be_hashed_is_named() -> None:
    lists = TableSchema("d", "public", "people", (Column("tags", Array()),))

    with pytest.raises(ConfigError, match=r"cannot hash column 'tags'.* type is array"):
        columns(hash=["tags"]).bind(lists)


def test_check_finds_every_problem_at_once() -> None:
    findings = columns(
        tables=["public.*", "shop.orders"], mask=["id", "phone"], hash=["score"]
    ).check([PEOPLE])

    assert [finding.severity for finding in findings] == ["error"] * 3
    assert [finding.subject for finding in findings] == ["shop.orders", "phone", "public.people"]
    assert columns(mask=["name"]).check([PEOPLE]) == []


def test_excluded_columns_are_told_as_globs() -> None:
    transform = columns(tables=["public.*"], exclude=["a*b", "c"], mask=["d"])

    assert transform.excluded == (("public.*", "a[*]b"), ("public.*", "c"))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({}, "names no column"),
        ({"mask": ["a"], "hash": ["a"]}, "'a' is named twice"),
        ({"hash": ["a"], "salt": ""}, "needs a salt"),
        ({"mask": ["a"], "tables": []}, "at least 1 item"),
    ],
)
def test_contradictions_are_refused(chosen: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        columns(**chosen)


def test_salt_is_never_shown() -> None:
    config = Config.model_validate({"tables": ["a.b"], "hash": ["c"], "salt": "s3cr3t"})

    assert "s3cr3t" not in repr(config)
    assert "s3cr3t" not in config.model_dump_json()
