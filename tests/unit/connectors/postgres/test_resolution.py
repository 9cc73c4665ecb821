"""The structure of a change's time, from a Relation and candidates that are older and younger."""

from dataclasses import replace

import pytest

from cdc.errors import SchemaError
from cdc.schema import NO_DEFAULT, Array, Column, Enum, Int32, Int64, String, TableSchema
from connectors.postgres.column_rules import ColumnRules
from connectors.postgres.logical_types import TypeFacts, Types
from connectors.postgres.pgoutput import Relation, RelationColumn
from connectors.postgres.resolution import KnownColumn, KnownTable, Resolved, resolve, types_at
from connectors.postgres.xids import full_xid

INT, LONG, TEXT, MOOD, MOODS, WHOLE = 23, 20, 25, 90_001, 90_002, 90_003


def column(
    name: str, oid: int = INT, made: int = 0, default: object = NO_DEFAULT, *, not_null: bool = True
) -> KnownColumn:
    kind = {INT: Int32(), LONG: Int64()}.get(oid, String("text"))
    return KnownColumn(oid, -1, not_null, made, Column(name, kind, not not_null, default))


def table(*columns: KnownColumn, key: tuple[str, ...] = (), made: int = 0) -> KnownTable:
    schema = TableSchema("db", "public", "t", tuple(column.logical for column in columns))
    return KnownTable(1, schema, columns, key, bool(key), made, toasts=False)


def sent(name: str, oid: int = INT, *, identity: bool = False) -> RelationColumn:
    return RelationColumn(name, oid, -1, identity)


def relation(*columns: RelationColumn, identity: str = "d") -> Relation:
    return Relation(1, "public", "t", identity, columns)


def resolved(
    message: Relation, *candidates: KnownTable, xid: int = 100, types: Types | None = None
) -> Resolved:
    return resolve(message, xid, candidates, types or Types(), "db", {})


def test_older_relation_decodes_by_its_own_names_and_types() -> None:
    message = relation(sent("gone", TEXT), sent("n", LONG, identity=True), sent("id"))
    now = table(column("id"), column("n", default=7), key=("id",))

    found = resolved(message, now)

    assert found.schema.columns == (
        Column("gone", String("text")),
        Column("n", Int64(), nullable=False),
        Column("id", Int32(), nullable=False),
    )
    assert found.schema.key_names == ("n",)


@pytest.mark.parametrize(
    ("xid", "nullable", "default", "withheld"), [(99, True, 1, 100), (100, False, 2, None)]
)
def test_fact_of_a_later_transaction_is_left_to_what_is_remembered(
    xid: int, nullable: bool, default: int, withheld: int | None
) -> None:
    now = table(column("n", made=100, default=2))
    remembered = table(column("n", made=50, default=1, not_null=False))

    found = resolved(relation(sent("n")), now, remembered, xid=xid)

    assert Column("n", Int32(), nullable, default) == found.schema.columns[0]
    assert withheld == found.withheld


def test_what_nobody_knows_of_a_column_is_left_open() -> None:
    now = table(column("n", made=200, default=2))

    found = resolved(relation(sent("n")), now)

    assert found.schema.columns == (Column("n", Int32()),)
    assert found.withheld == 200


def test_relation_without_primary_key_was_before_the_key() -> None:
    now = table(column("id"), key=("id",))

    assert resolved(relation(sent("id")), now).schema.key == ()


def test_order_of_the_primary_key_is_that_of_the_candidate_with_the_same_columns() -> None:
    message = relation(sent("a", identity=True), sent("b", identity=True))
    now = table(column("a"), column("b"), key=("b",))
    remembered = table(column("a"), column("b"), key=("b", "a"))

    assert resolved(message, now, remembered).schema.key_names == ("b", "a")
    assert resolved(message, now).schema.key_names == ("a", "b")


@pytest.mark.parametrize(("made", "key"), [(100, ("b",)), (101, ("a",))])
def test_key_under_full_identity_is_that_of_its_time(made: int, key: tuple[str, ...]) -> None:
    message = relation(sent("a", identity=True), sent("b", identity=True), identity="f")
    now = table(column("a"), column("b"), key=("b",), made=made)
    remembered = table(column("a"), column("b"), key=("a",))

    assert key == resolved(message, now, remembered).schema.key_names


def test_key_of_the_identity_index_is_what_the_message_marks_when_nothing_is_known() -> None:
    message = relation(sent("a"), sent("b", identity=True), identity="i")

    assert resolved(message).schema.key_names == ("b",)


def test_type_that_was_gone_before_it_was_known_is_refused_by_the_name_the_server_told() -> None:
    message = relation(sent("m", MOOD))

    with pytest.raises(SchemaError, match=r"column m of public\.t has the type public\.mood"):
        resolve(message, 1, (), Types(), "db", {MOOD: "public.mood"})


def test_excluded_column_needs_no_type() -> None:
    message = relation(sent("m", MOOD))

    found = resolve(message, 1, (), Types(), "db", {}, ColumnRules((("public.*", "m"),)))

    assert found.schema.columns == (Column("m", String(f"oid {MOOD}")),)


# --- types ----------------------------------------------------------------------------------------

OLD = TypeFacts(MOOD, "public.mood", "enum", labels=("a", "b"), labels_made=(10, 10))
RENAMED = replace(OLD, labels=("a", "z"), labels_made=(10, 200))
GROWN = replace(OLD, labels=("a", "c", "b"), labels_made=(10, 200, 10))


@pytest.mark.parametrize(
    ("xid", "catalog", "remembered", "labels"),
    [
        (199, GROWN, None, ("a", "b")),
        (200, GROWN, OLD, ("a", "c", "b")),
        (199, RENAMED, OLD, ("a", "b")),
        (199, RENAMED, None, ("a",)),
        (199, None, OLD, ("a", "b")),
    ],
)
def test_labels_are_those_of_their_time(
    xid: int, catalog: TypeFacts | None, remembered: TypeFacts | None, labels: tuple[str, ...]
) -> None:
    moods = TypeFacts(MOODS, "public._mood", "array", MOOD)

    types, _ = types_at(
        xid,
        Types({} if catalog is None else {MOOD: catalog, MOODS: moods}),
        Types({} if remembered is None else {MOOD: remembered, MOODS: moods}),
    )

    assert types.resolve(MOODS, -1) == Array(Enum(labels))


def test_domain_that_refuses_nulls_since_later_does_not_yet() -> None:
    whole = TypeFacts(WHOLE, "public.whole", "domain", INT, -1, not_null=True, made=200)

    before, withheld = types_at(199, Types({WHOLE: whole}), Types())
    after, none = types_at(200, Types({WHOLE: whole}), Types())

    assert (before.not_null(WHOLE), withheld) == (False, 200)
    assert (after.not_null(WHOLE), none) == (True, None)
    now = table(column("w", WHOLE, not_null=False))
    found = resolved(relation(sent("w", WHOLE)), now, types=before)
    assert found.schema.columns == (Column("w", Int32()),)


def test_default_that_was_no_label_yet_is_not_shown() -> None:
    types, _ = types_at(100, Types({MOOD: GROWN}), Types())
    now = table(column("m", MOOD, default="c"))

    found = resolved(relation(sent("m", MOOD)), now, types=types)

    assert found.schema.columns == (Column("m", Enum(("a", "b")), nullable=False),)


@pytest.mark.parametrize(
    ("xid", "next_xid", "full"),
    [
        (99, 100, 99),
        (0xFFFFFFFF, (7 << 32) + 5, (7 << 32) - 1),
        (4, (7 << 32) + 5, (7 << 32) + 4),
    ],
)
def test_short_id_is_one_of_the_last_that_were_given_out(
    xid: int, next_xid: int, full: int
) -> None:
    assert full == full_xid(xid, next_xid)
