"""Each event has the structure of its time, whatever becomes of its table, read at once or later.

Every case runs twice: `followed` reads after each statement, `behind` stops the source first, runs
all of it, drops what can be dropped, and reads then.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.errors import SchemaError
from cdc.event import UNCHANGED, ChangeEvent
from cdc.schema import NO_DEFAULT, Array, Enum, TableSchema
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from connectors.postgres import catalog, replication, structures
from connectors.postgres.replication import ReplicationConnection
from tests.integration.postgres_capture import Capture
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres


@pytest.fixture
def capture(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[Capture]:
    """A source of all tables, through a publication of all tables, that is not started yet."""
    postgres_database.execute("CREATE PUBLICATION given FOR ALL TABLES")
    made = Capture(
        postgres_database.url,
        tmp_path,
        tables=["*.*"],
        publication="given",
        create_publication=False,
    )
    yield made
    made.close()


def shape(schema: TableSchema) -> str:
    """A structure in short: `name type`, `!` for NOT NULL, `=default`; the key in brackets."""
    columns = []
    for column in schema.columns:
        kind = column.type
        text = f"{column.name} {kind.name}"
        while isinstance(kind, Array):
            kind = kind.item
        if isinstance(kind, Enum):
            text += "(" + ",".join(kind.labels) + ")"
        text += "" if column.nullable else "!"
        text += "" if column.default is NO_DEFAULT else f"={column.default}"
        columns.append(text)
    key = f" [{','.join(schema.key_names)}]" if schema.key else ""
    return f"{schema.table}: {', '.join(columns)}{key}"


def shapes(events: Sequence[ChangeEvent]) -> list[str]:
    """Those of the changes; a table that is new by name is also read, in between."""
    return [shape(event.table) for event in events if event.op != "r"]


@dataclass(frozen=True)
class Case:
    """`steps` are run one by one; each that changes rows has its structure in `shapes`.

    `end` removes what the events are about. `behind`: what differs when it is read later.
    """

    setup: tuple[str, ...]
    steps: tuple[str, ...]
    shapes: tuple[str, ...]
    end: tuple[str, ...] = ("DROP TABLE t",)
    behind: tuple[str, ...] | None = None


PLAIN = ("CREATE TABLE t (id int PRIMARY KEY, v text)",)
MOOD = (
    "CREATE TYPE mood AS ENUM ('a', 'b')",
    "CREATE TABLE t (id int PRIMARY KEY, m mood, ms mood[])",
)
SWAP = (
    "BEGIN; ALTER TABLE t RENAME TO s; ALTER TABLE u RENAME TO t; ALTER TABLE s RENAME TO u; COMMIT"
)

CASES = {
    "add column": Case(
        PLAIN,
        (
            "ALTER TABLE t ADD COLUMN n int NOT NULL DEFAULT 7",
            "INSERT INTO t VALUES (1, 'x', 1)",
            "ALTER TABLE t ADD COLUMN o int",
            "INSERT INTO t VALUES (2, 'x', 1, 1)",
        ),
        (
            "t: id int32!, v string, n int32!=7 [id]",
            "t: id int32!, v string, n int32!=7, o int32 [id]",
        ),
        end=(),
    ),
    "add column, table gone": Case(
        PLAIN,
        ("ALTER TABLE t ADD COLUMN n int NOT NULL DEFAULT 7", "INSERT INTO t VALUES (1, 'x', 1)"),
        ("t: id int32!, v string, n int32!=7 [id]",),
        behind=("t: id int32!, v string, n int32 [id]",),
    ),
    "drop column": Case(
        ("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 7, v text)",),
        (
            "INSERT INTO t VALUES (1, 1, 'x')",
            "ALTER TABLE t DROP COLUMN n",
            "INSERT INTO t VALUES (2, 'x')",
        ),
        ("t: id int32!, n int32!=7, v string [id]", "t: id int32!, v string [id]"),
    ),
    "rename column": Case(
        PLAIN,
        ("ALTER TABLE t RENAME COLUMN v TO w", "INSERT INTO t VALUES (1, 'x')"),
        ("t: id int32!, w string [id]",),
    ),
    "rename key column": Case(
        PLAIN,
        (
            "INSERT INTO t VALUES (1, 'x')",
            "ALTER TABLE t RENAME COLUMN id TO di",
            "INSERT INTO t VALUES (2, 'x')",
        ),
        ("t: id int32!, v string [id]", "t: di int32!, v string [di]"),
        end=(),
    ),
    "change type": Case(
        ("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)",),
        (
            "INSERT INTO t VALUES (1, 1)",
            "ALTER TABLE t ALTER n TYPE text",
            "INSERT INTO t VALUES (2, 'x')",
            "ALTER TABLE t ALTER n TYPE varchar(9)",
            "INSERT INTO t VALUES (3, 'x')",
        ),
        (
            "t: id int32!, n int32! [id]",
            "t: id int32!, n string! [id]",
            "t: id int32!, n string! [id]",
        ),
        end=(),
        behind=(
            "t: id int32!, n int32! [id]",
            "t: id int32!, n string [id]",
            "t: id int32!, n string! [id]",
        ),
    ),
    "default and not null": Case(
        ("CREATE TABLE t (id int PRIMARY KEY, n int)",),
        (
            "INSERT INTO t VALUES (1, 1)",
            "ALTER TABLE t ALTER n SET NOT NULL, ALTER n SET DEFAULT 5",
            "INSERT INTO t VALUES (2, 1)",
        ),
        ("t: id int32!, n int32 [id]", "t: id int32!, n int32!=5 [id]"),
        end=(),
    ),
    "enum value added": Case(
        MOOD,
        (
            "INSERT INTO t VALUES (1, 'a', '{a}')",
            "ALTER TYPE mood ADD VALUE 'c' BEFORE 'b'",
            "INSERT INTO t VALUES (2, 'a', '{a}')",
            "INSERT INTO t VALUES (3, 'c', NULL)",
            "ALTER TYPE mood ADD VALUE 'd'",
            "INSERT INTO t VALUES (4, NULL, '{a,d}')",
        ),
        (
            "t: id int32!, m enum(a,b), ms array(a,b) [id]",
            "t: id int32!, m enum(a,b), ms array(a,b) [id]",
            "t: id int32!, m enum(a,c,b), ms array(a,c,b) [id]",
            "t: id int32!, m enum(a,c,b,d), ms array(a,c,b,d) [id]",
        ),
        end=(),
        behind=(
            "t: id int32!, m enum(a,b), ms array(a,b) [id]",
            "t: id int32!, m enum(a,c,b), ms array(a,c,b) [id]",
            "t: id int32!, m enum(a,c,b), ms array(a,c,b) [id]",
            "t: id int32!, m enum(a,c,b,d), ms array(a,c,b,d) [id]",
        ),
    ),
    "enum value added, then a column": Case(
        MOOD,
        (
            "INSERT INTO t VALUES (1, 'a')",
            "ALTER TYPE mood ADD VALUE 'c'",
            "INSERT INTO t VALUES (2, 'c')",
            "ALTER TABLE t ADD COLUMN n int",
            "INSERT INTO t VALUES (3, 'a')",
        ),
        (
            "t: id int32!, m enum(a,b), ms array(a,b) [id]",
            "t: id int32!, m enum(a,b,c), ms array(a,b,c) [id]",
            "t: id int32!, m enum(a,b,c), ms array(a,b,c), n int32 [id]",
        ),
        end=(),
    ),
    "enum value renamed": Case(
        MOOD,
        (
            "INSERT INTO t VALUES (1, 'b')",
            "ALTER TYPE mood RENAME VALUE 'b' TO 'z'",
            "INSERT INTO t VALUES (2, 'z')",
        ),
        (
            "t: id int32!, m enum(a,b), ms array(a,b) [id]",
            "t: id int32!, m enum(a,z), ms array(a,z) [id]",
        ),
        end=(),
    ),
    "enum gone": Case(
        MOOD,
        ("INSERT INTO t VALUES (1, 'b')", "INSERT INTO t VALUES (2, 'b')"),
        ("t: id int32!, m enum(a,b), ms array(a,b) [id]",) * 2,
        end=("DROP TABLE t", "DROP TYPE mood"),
    ),
    "enum gone whose label was never known": Case(
        MOOD,
        ("ALTER TYPE mood ADD VALUE 'c' BEFORE 'b'", "INSERT INTO t VALUES (1, 'c')"),
        ("t: id int32!, m enum(a,c,b), ms array(a,c,b) [id]",),
        end=("DROP TABLE t", "DROP TYPE mood"),
        behind=("t: id int32!, m enum(a,b,c), ms array(a,b) [id]",),
    ),
    "domain altered": Case(
        (
            "CREATE DOMAIN whole AS int NOT NULL",
            "CREATE TABLE t (id int PRIMARY KEY, w whole)",
        ),
        (
            "INSERT INTO t VALUES (1, 1)",
            "ALTER DOMAIN whole DROP NOT NULL",
            "INSERT INTO t VALUES (2, NULL)",
        ),
        ("t: id int32!, w int32! [id]", "t: id int32!, w int32 [id]"),
        end=(),
    ),
    "table renamed": Case(
        ("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 7)",),
        ("INSERT INTO t VALUES (1)", "ALTER TABLE t RENAME TO u", "INSERT INTO u VALUES (2)"),
        ("t: id int32!, n int32!=7 [id]", "u: id int32!, n int32!=7 [id]"),
        end=("DROP TABLE u",),
    ),
    "dropped and made again": Case(
        ("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 7)",),
        (
            "INSERT INTO t VALUES (1)",
            "DROP TABLE t",
            "CREATE TABLE t (id bigint PRIMARY KEY, n int)",
            "INSERT INTO t VALUES (2)",
        ),
        ("t: id int32!, n int32!=7 [id]", "t: id int64!, n int32 [id]"),
        end=(),
    ),
    "swapped with another": Case(
        (
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 7)",
            "CREATE TABLE u (id int PRIMARY KEY, v text)",
        ),
        (
            "INSERT INTO t VALUES (1)",
            SWAP,
            "INSERT INTO t VALUES (2, 'x')",
            "INSERT INTO u VALUES (3)",
        ),
        (
            "t: id int32!, n int32!=7 [id]",
            "t: id int32!, v string [id]",
            "u: id int32!, n int32!=7 [id]",
        ),
        end=("DROP TABLE t, u",),
    ),
    "schema renamed": Case(
        ("CREATE SCHEMA one", "CREATE TABLE one.t (id int PRIMARY KEY, n int NOT NULL)"),
        (
            "INSERT INTO one.t VALUES (1, 1)",
            "ALTER SCHEMA one RENAME TO two",
            "INSERT INTO two.t VALUES (2, 1)",
        ),
        ("t: id int32!, n int32! [id]",) * 2,
        end=("DROP SCHEMA two CASCADE",),
    ),
    "primary key changed": Case(
        ("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)",),
        (
            "INSERT INTO t VALUES (1, 1)",
            "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n, id)",
            "INSERT INTO t VALUES (2, 2)",
        ),
        ("t: id int32!, n int32! [id]", "t: id int32!, n int32! [n,id]"),
        end=(),
    ),
    "primary key changed under full identity": Case(
        (
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)",
            "ALTER TABLE t REPLICA IDENTITY FULL",
        ),
        (
            "INSERT INTO t VALUES (1, 1)",
            "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n)",
            "INSERT INTO t VALUES (2, 2)",
        ),
        ("t: id int32!, n int32! [id]", "t: id int32!, n int32! [n]"),
        end=(),
    ),
    "inheritance": Case(
        (
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)",
            "CREATE TABLE c (v text, PRIMARY KEY (id)) INHERITS (t)",
        ),
        (
            "INSERT INTO t VALUES (1, 1)",
            "INSERT INTO c VALUES (2, 1, 'x')",
            "ALTER TABLE t ADD COLUMN o int",
            "UPDATE t SET o = 1",
        ),
        (
            "t: id int32!, n int32! [id]",
            "c: id int32!, n int32!, v string [id]",
            "t: id int32!, n int32!, o int32 [id]",
            "c: id int32!, n int32!, v string, o int32 [id]",
        ),
        end=(),
    ),
    "partition attached, detached, dropped": Case(
        (
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 7) PARTITION BY LIST (id)",
            "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)",
            "CREATE TABLE t2 (id int PRIMARY KEY, n int NOT NULL DEFAULT 7)",
        ),
        (
            "INSERT INTO t VALUES (1)",
            "ALTER TABLE t ATTACH PARTITION t2 FOR VALUES IN (2)",
            "INSERT INTO t VALUES (2)",
            "ALTER TABLE t DETACH PARTITION t1",
            "INSERT INTO t1 VALUES (3)",
        ),
        (
            "t1: id int32!, n int32!=7 [id]",
            "t2: id int32!, n int32!=7 [id]",
            "t1: id int32!, n int32!=7 [id]",
        ),
        end=("DROP TABLE t1", "DROP TABLE t"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_structure_is_that_of_its_time_when_it_is_followed(
    name: str, postgres_database: PostgresDatabase, capture: Capture
) -> None:
    case = CASES[name]
    postgres_database.execute(*case.setup)
    capture.start()
    capture.until_streaming()

    for step in case.steps:
        postgres_database.execute(step)
        capture.until_current()

    assert case.shapes == tuple(shapes(capture.events))


@pytest.mark.parametrize("name", CASES)
def test_structure_is_that_of_its_time_when_it_is_read_later(
    name: str, postgres_database: PostgresDatabase, capture: Capture
) -> None:
    case = CASES[name]
    postgres_database.execute(*case.setup)
    capture.start()
    capture.until_streaming()
    capture.crash()

    postgres_database.execute(*case.steps, *case.end)
    capture.start()
    capture.until_current()

    assert (case.behind or case.shapes) == tuple(shapes(capture.events))


def test_facts_survive_a_crash_behind_the_change_that_needs_them(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute(*MOOD)
    capture.start()
    capture.until_streaming()
    postgres_database.execute(
        "ALTER TABLE t ADD n int NOT NULL DEFAULT 7", "INSERT INTO t VALUES (1, 'a')"
    )
    capture.until_current()
    capture.crash()

    postgres_database.execute("INSERT INTO t VALUES (2, 'b')", "DROP TABLE t", "DROP TYPE mood")
    capture.start()
    capture.until_current()

    expected = "t: id int32!, m enum(a,b), ms array(a,b), n int32!=7 [id]"
    assert shapes(capture.events) == [expected, expected]
    assert [tuple(event.after)[:2] for event in capture.events if event.after] == [
        (1, "a"),
        (2, "b"),
    ]


def test_type_that_was_gone_before_it_was_known_stops_with_its_name(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute(*PLAIN)
    capture.start()
    capture.until_streaming()
    capture.crash()
    postgres_database.execute(
        "CREATE TYPE mood AS ENUM ('a')",
        "ALTER TABLE t ADD m mood",
        "INSERT INTO t VALUES (1, 'x', 'a')",
        "ALTER TABLE t DROP m",
        "DROP TYPE mood",
    )

    capture.start()

    with pytest.raises(SchemaError, match=r"column m of public\.t has the type public\.mood"):
        capture.until_current()


def test_first_changes_of_many_tables_are_looked_up_together(
    postgres_database: PostgresDatabase, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [f"t{number}" for number in range(100)]
    postgres_database.execute(
        "; ".join(f"CREATE TABLE {table} (id int PRIMARY KEY)" for table in tables)
    )
    capture.start()
    capture.until_streaming()
    capture.crash()
    postgres_database.execute(*(f"INSERT INTO {table} VALUES (1)" for table in tables))
    looks: list[int] = []

    def counted(connection: psycopg.Connection, oids: list[int], *more: Any) -> Any:
        looks.append(len(oids))
        return catalog.describe(connection, oids, *more)

    monkeypatch.setattr(structures, "describe", counted)

    capture.start()
    capture.until_current()

    assert [event.table.table for event in capture.events] == tables
    assert sum(looks) == len(tables)
    assert len(looks) <= 5


IDENTITY = "ALTER TABLE t REPLICA IDENTITY"


def test_replica_identity_may_change_between_changes(
    postgres_database: PostgresDatabase, capture: Capture
) -> None:
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, b int NOT NULL, v text)",
        "CREATE UNIQUE INDEX t_b ON t (b)",
        "INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b')",
    )
    capture.start()
    capture.until_streaming()
    capture.events.clear()

    postgres_database.execute(
        "UPDATE t SET v = 'c' WHERE id = 1",
        f"{IDENTITY} FULL",
        "UPDATE t SET v = 'd' WHERE id = 1",
        f"{IDENTITY} USING INDEX t_b",
        "UPDATE t SET b = 11 WHERE id = 1",
        "DELETE FROM t WHERE id = 2",
        f"{IDENTITY} NOTHING",
        "INSERT INTO t VALUES (3, 30, 'e')",
        f"{IDENTITY} DEFAULT",
        "DELETE FROM t WHERE id = 1",
    )
    capture.until_current()

    assert [
        (event.op, event.before and tuple(event.before), event.after and tuple(event.after))
        for event in capture.events
    ] == [
        ("u", None, (1, 10, "c")),
        ("u", (1, 10, "c"), (1, 10, "d")),
        ("u", (UNCHANGED, 10, UNCHANGED), (1, 11, "d")),
        ("d", (UNCHANGED, 20, UNCHANGED), None),
        ("c", None, (3, 30, "e")),
        ("d", (1, UNCHANGED, UNCHANGED), None),
    ]
    assert {event.table.key_names for event in capture.events} == {("id",)}
    assert [event.table.partial for event in capture.events] == [
        True, False, True, True, True, True,
    ]  # fmt: skip


# --- what a publication says ----------------------------------------------------------------------


def since(database: PostgresDatabase, version: int, what: str) -> None:
    if int(database.server.version.split(".")[0]) < version:
        pytest.skip(f"{what} came with version {version}")


def given(database: PostgresDatabase, folder: Path, *tables: str) -> Capture:
    return Capture(
        database.url, folder, tables=tables, publication="given", create_publication=False
    )


def test_column_list_and_row_filter_are_followed_by_snapshot_and_stream(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    since(postgres_database, 15, "column lists")
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL DEFAULT 'x', secret text)",
        "CREATE PUBLICATION given FOR TABLE t (id, v) WHERE (id < 10)",
        "INSERT INTO t VALUES (1, 'a', 's'), (11, 'b', 's')",
    )
    with given(postgres_database, tmp_path, "public.t") as capture:
        capture.until_streaming()
        postgres_database.execute(
            "INSERT INTO t VALUES (2, 'c', 's'), (12, 'd', 's')",
            "UPDATE t SET id = 3 WHERE id = 11",
            "UPDATE t SET id = 13 WHERE id = 1",
        )
        capture.until_current()
        assert {shape(event.table) for event in capture.events} == {
            "t: id int32!, v string!=x [id]"
        }

    assert capture.state()["public.t"] == {(2,): (2, "c"), (3,): (3, "b")}


def test_partitions_come_under_their_roots_name_when_the_publication_says_so(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE part (id int, k int, PRIMARY KEY (k, id)) PARTITION BY LIST (k)",
        "CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1)",
        "CREATE TABLE part2 (k int NOT NULL, id int NOT NULL, PRIMARY KEY (k, id))",
        "ALTER TABLE part ATTACH PARTITION part2 FOR VALUES IN (2)",
        "CREATE PUBLICATION given FOR TABLE part WITH (publish_via_partition_root)",
        "INSERT INTO part VALUES (1, 1), (2, 2)",
    )
    with given(postgres_database, tmp_path, "public.part") as capture:
        capture.until_streaming()
        capture.until_current()
        assert [event.snapshot for event in capture.events] == ["first", "last"]
        postgres_database.execute(
            "INSERT INTO part VALUES (3, 1)",
            "UPDATE part SET k = 2 WHERE id = 3",
            "CREATE TABLE part3 PARTITION OF part FOR VALUES IN (3)",
            "INSERT INTO part VALUES (4, 3)",
        )
        capture.until_current()
        capture.restart()
        capture.until_current()

    assert {shape(event.table) for event in capture.events} == {"part: id int32!, k int32! [k,id]"}
    assert [event.op for event in capture.events] == ["r", "r", "c", "d", "c", "c"]
    assert capture.state()["public.part"] == {
        (1, 1): (1, 1), (2, 2): (2, 2), (2, 3): (3, 2), (3, 4): (4, 3),
    }  # fmt: skip


def test_topics_of_partitions_change_when_the_publication_changes_their_name(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute(
        "CREATE TABLE part (id int PRIMARY KEY) PARTITION BY LIST (id)",
        "CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1, 2, 3)",
        "CREATE PUBLICATION given FOR TABLE part",
        "INSERT INTO part VALUES (1)",
    )
    with given(postgres_database, tmp_path, "public.part") as capture:
        capture.until_current()
        postgres_database.execute(
            "ALTER PUBLICATION given SET (publish_via_partition_root = true)",
            "INSERT INTO part VALUES (2)",
        )
        capture.until_current()
        postgres_database.execute(
            "ALTER PUBLICATION given SET (publish_via_partition_root = false)",
            "INSERT INTO part VALUES (3)",
        )
        capture.until_current()

    assert {name: set(rows) for name, rows in capture.state().items()} == {
        "public.part": {(1,), (2,)},
        "public.part1": {(1,), (2,), (3,)},
    }


def test_generated_columns_are_captured_where_the_publication_has_them(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    since(postgres_database, 18, "publishing generated columns")
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED)",
        "CREATE PUBLICATION given FOR TABLE t WITH (publish_generated_columns = stored)",
        "INSERT INTO t VALUES (1)",
    )
    with given(postgres_database, tmp_path, "public.t") as capture:
        capture.until_streaming()
        postgres_database.execute("INSERT INTO t VALUES (2)")
        capture.until_current()

    assert capture.state()["public.t"] == {(1,): (1, 2), (2,): (2, 4)}
    assert len({shape(event.table) for event in capture.events}) == 1


@pytest.mark.parametrize("messages", [2, 4])
def test_change_of_a_structure_is_told_once_wherever_a_lot_ends_and_the_source_with_it(
    postgres_database: PostgresDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    messages: int,
) -> None:
    read = ReplicationConnection.read

    def read_lot(connection: ReplicationConnection, timeout_s: float) -> list[bytes]:
        lot: list[bytes] = []
        while len(lot) < messages and (more := read(connection, timeout_s)):
            lot += [payload for payload in more if payload[:1] == b"w"] if lot else more
        return lot

    monkeypatch.setattr(replication, "LOT_MESSAGES_MAX", 1)
    monkeypatch.setattr(ReplicationConnection, "read", read_lot)
    postgres_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY)"
    )
    with Capture(postgres_database.url, tmp_path, schema_changes=True) as capture:
        capture.until_current()
        postgres_database.execute(
            "BEGIN; INSERT INTO u VALUES (1); ALTER TABLE t ADD v int; INSERT INTO t VALUES (1, 1);"
            "COMMIT"
        )
        capture.until(lambda: len(capture.events) > 0)
        capture.restart()
        capture.until_current()

    assert [event.op for event in capture.events] == ["c", "s", "c"]


def test_changes_of_structures_are_records_in_front_of_the_first_row(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with Capture(postgres_database.url, tmp_path, schema_changes=True) as capture:
        capture.until_current()
        postgres_database.execute(
            "INSERT INTO t VALUES (1)",
            "ALTER TABLE t ADD v varchar(9) NOT NULL DEFAULT 'd'",
            "INSERT INTO t VALUES (2, 'x')",
            "INSERT INTO t VALUES (3, 'x')",
        )
        capture.until_current()
        capture.restart()
        postgres_database.execute("INSERT INTO t VALUES (4, 'x')")
        capture.until_current()
        postgres_database.execute("CREATE TABLE u (id int PRIMARY KEY)")
        capture.until_current()
        postgres_database.execute("INSERT INTO u VALUES (1)", "DROP TABLE t")
        capture.until(lambda: len([one for one in capture.events if one.op == "s"]) == 3)

    identity = SourceIdentity("postgresql", "shop", "1")
    serializer = DebeziumJson(
        identity, Options(), None, compacts=False, pipeline="p", clock_us=lambda: 0
    )
    topics = []
    changes = []
    for record in serializer.encode(capture.events):
        if not record.topic.internal:
            topics.append(record.topic.name)
        if record.topic.name == "shop":
            assert record.value is not None
            changes.append(json.loads(record.value))
    assert topics == [
        "shop.public.t", "shop", "shop.public.t", "shop.public.t", "shop.public.t", "shop",
        "shop.public.u", "shop",
    ]  # fmt: skip
    assert [(each["tableChanges"][0]["type"], each["source"]["table"]) for each in changes] == [
        ("ALTER", "t"), ("CREATE", "u"), ("DROP", "t"),
    ]  # fmt: skip
    change = changes[0]
    assert change["ddl"] is None
    assert (change["source"]["schema"], change["source"]["table"]) == ("public", "t")
    (altered,) = change["tableChanges"]
    assert altered["type"] == "ALTER"
    assert altered["id"] == f'"{postgres_database.name}"."public"."t"'
    assert altered["table"]["primaryKeyColumnNames"] == ["id"]
    assert [
        (column["name"], column["jdbcType"], column["typeName"], column["optional"])
        for column in altered["table"]["columns"]
    ] == [("id", 4, "int4", False), ("v", 12, "varchar", False)]
