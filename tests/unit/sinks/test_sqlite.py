"""What the sqlite sink does besides the contract: search, old tombstones, files that resist."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cdc.errors import CdcError, ConfigError, SinkRefused, StorageFull, TransientError
from cdc.protocols import Delete, Mutation, Patch, Upsert
from cdc.testing.sink_histories import TABLE, TARGET
from sinks.sqlite import Config, SqliteSink, search


def write(sink: SqliteSink, id_: str, version: int, **fields: object) -> None:
    assert list(sink.write([Mutation(TARGET, id_, version, Upsert(fields))])) == []


def found(path: Path, query: str) -> list[str]:
    return [hit.id for hit in search(path, query)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents.sqlite"


@pytest.fixture
def sink(path: Path) -> Iterator[SqliteSink]:
    with closing(SqliteSink(Config(path=path))) as sink:
        sink.apply_schema(TABLE)
        yield sink


def test_a_search_finds_words_and_beginnings_best_first(sink: SqliteSink, path: Path) -> None:
    write(sink, "1", 1, name="Red bicycle", text="a bicycle with gears, for the whole family")
    write(sink, "2", 2, name="Bicycle", text="bicycle")
    write(sink, "3", 3, name="Red scooter", price=4)

    assert found(path, "bicy") == ["2", "1"]
    assert found(path, "RED bicycle") == ["1"]
    assert found(path, "gears red") == ["1"]
    assert found(path, "bicycle scooter") == []


def test_a_hit_is_the_document(sink: SqliteSink, path: Path) -> None:
    write(sink, "1", 1, name="Red bicycle", price=4.5, tags=["a"])

    (hit,) = search(path, "bicycle")

    assert hit.document == {"name": "Red bicycle", "price": 4.5, "tags": ["a"]}
    assert (hit.target, hit.id) == (TARGET, "1")


def test_no_character_of_a_query_is_special(sink: SqliteSink, path: Path) -> None:
    write(sink, "1", 1, name="bicycle OR not - naïve café")

    for query in ('"', "bicycle*", "(", "a:b", "-", "^", "NEAR(", "'; --", "\0", "AND", "{text}"):
        found(path, query)
    assert found(path, "Cafe") == ["1"]
    assert found(path, 'bicycle "') == ["1"]
    assert found(path, "   ") == []
    assert found(path, "bicycle NOT missing") == []


def test_a_search_follows_changes_and_deletes(sink: SqliteSink, path: Path) -> None:
    write(sink, "1", 1, name="red")
    write(sink, "2", 2, name="red")

    sink.write(
        [Mutation(TARGET, "1", 3, Patch({"name": "blue"})), Mutation(TARGET, "2", 4, Delete())]
    )

    assert found(path, "red") == []
    assert found(path, "blue") == ["1"]


def test_only_the_named_fields_are_searched(path: Path) -> None:
    with closing(SqliteSink(Config(path=path, search=("name", "tags")))) as sink:
        write(sink, "1", 1, name="bicycle", secret="gears", tags=["family"])

    assert found(path, "bicycle") == ["1"]
    assert found(path, "family") == ["1"]
    assert found(path, "gears") == []


def test_plain_sql_can_search_and_join(sink: SqliteSink, path: Path) -> None:
    write(sink, "1", 1, name="bicycle", price=5)
    sql = (
        "SELECT id, document ->> 'price' FROM search WHERE target = 'public.products'"
        " AND text MATCH 'bicycle' ORDER BY rank"
    )

    with closing(sqlite3.connect(path)) as file:
        assert file.execute(sql).fetchall() == [("1", 5)]


def test_a_search_of_a_file_that_is_not_there_says_so(path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be searched"):
        search(path, "bicycle")

    assert not path.exists()


def test_old_tombstones_are_forgotten(path: Path) -> None:
    now_s = 1_000.0
    config = Config(path=path, tombstone_s=60)
    with closing(SqliteSink(config, lambda: now_s)) as sink:
        sink.write([Mutation(TARGET, "1", 10, Delete())])
        now_s += 59
        write(sink, "1", 5, name="within")
        assert found(path, "within") == []

        now_s += 2
        sink.write([])
        write(sink, "1", 5, name="afterwards")

    assert found(path, "afterwards") == ["1"]


def test_two_sinks_on_one_file_see_each_other(path: Path) -> None:
    with (
        closing(SqliteSink(Config(path=path))) as one,
        closing(SqliteSink(Config(path=path))) as two,
    ):
        write(one, "1", 10, name="new")
        write(two, "1", 5, name="old")
        write(two, "2", 20, name="new")

    assert sorted(found(path, "new")) == ["1", "2"]
    assert found(path, "old") == []


def test_a_full_disk_changes_nothing_and_recovers(sink: SqliteSink, path: Path) -> None:
    write(sink, "1", 1, name="kept")
    file = sink._connection()
    pages = file.execute("PRAGMA page_count").fetchone()[0]
    file.execute(f"PRAGMA max_page_count = {pages}")
    large = Mutation(TARGET, "2", 3, Upsert({"name": "large " * 50_000}))

    with pytest.raises(StorageFull, match="no room left"):
        sink.write([Mutation(TARGET, "1", 2, Upsert({"name": "half"})), large])

    assert found(path, "kept") == ["1"]
    file.execute("PRAGMA max_page_count = 1000000")
    assert list(sink.write([large])) == []
    assert found(path, "large") == ["2"]


def test_a_locked_file_is_tried_again(path: Path) -> None:
    config = Config(path=path, busy_timeout_s=0.01)
    with closing(SqliteSink(config)) as sink, closing(sqlite3.connect(path)) as other:
        write(sink, "1", 1, name="first")
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(TransientError, match="locked by another program"):
            sink.write([Mutation(TARGET, "1", 2, Delete())])


@pytest.mark.parametrize("content", ["no database, but long enough to be read as one", None])
def test_a_file_of_somebody_else_is_refused(path: Path, content: str | None) -> None:
    if content is not None:
        path.write_text(content)
    else:
        with closing(sqlite3.connect(path)) as file:
            file.execute("CREATE TABLE theirs (id)")
    sink = SqliteSink(Config(path=path))

    (_, finding) = sink.check()

    assert finding.severity == "error"
    with pytest.raises(SinkRefused):
        sink.apply_schema(TABLE)


def test_a_missing_folder_is_found_and_refused(tmp_path: Path) -> None:
    sink = SqliteSink(Config(path=tmp_path / "missing" / "documents.sqlite"))

    (_, finding) = sink.check()

    assert (finding.severity, finding.code) == ("error", "sqlite-path")
    assert "mkdir -p" in finding.fix
    with pytest.raises(SinkRefused, match="cannot be used"):
        sink.write([])


def test_check_makes_no_file(path: Path) -> None:
    findings = SqliteSink(Config(path=path)).check()

    assert [finding.severity for finding in findings] == ["ok", "ok"]
    assert not path.exists()


def test_a_document_that_is_no_json_is_rejected_without_its_values(sink: SqliteSink) -> None:
    secret = {"name": object(), "other": "hunter2"}

    (rejected,) = sink.write([Mutation(TARGET, "1", 1, Upsert(secret))])

    assert "object" in rejected.reason
    assert "hunter2" not in rejected.reason


def test_every_failure_is_one_of_ours(path: Path) -> None:
    path.mkdir()

    with pytest.raises(CdcError):
        SqliteSink(Config(path=path)).apply_schema(TABLE)
