"""How a snapshot's tables are ordered, cut into ranges and put into tasks."""

from connectors.postgres.parallel_snapshot import TABLES_A_TASK, tasks_of
from connectors.postgres.snapshot_progress import TABLES_MAX, Tally
from connectors.postgres.table_reads import Piece, TableRead, ordered, range_source, ranges
from connectors.postgres.tables import CapturedTable


def captured(oid: int, name: str, rows: int | None = None, size_bytes: int = 0) -> CapturedTable:
    return CapturedTable(oid, "public", name, rows, size_bytes, "d", True, True, None)


def read(oid: int, *pages: int, in_ranges: bool = True, rows: int | None = None) -> TableRead:
    name = f"t{oid}"
    pieces = tuple(Piece(oid + place, "public", name, each) for place, each in enumerate(pages))
    table = captured(oid, name, rows, sum(pages) * 8192)
    return TableRead(table, pieces, in_ranges=in_ranges)


def test_ranges_cover_every_page_once_and_the_last_has_no_end() -> None:
    found = [pages for _, pages in ranges(read(1, 10), 4)]

    assert found == [(0, 4), (4, 8), (8, None)]


def test_relation_that_fits_or_may_not_be_cut_is_read_whole() -> None:
    assert [pages for _, pages in ranges(read(1, 4), 4)] == [(0, None)]
    assert [pages for _, pages in ranges(read(1, 0), 4)] == [(0, None)]
    assert [pages for _, pages in ranges(read(1, 100, in_ranges=False), 4)] == [(0, None)]


def test_every_leaf_of_a_table_is_read() -> None:
    found = [(piece.oid, pages) for piece, pages in ranges(read(1, 3, 6), 4)]

    assert found == [(1, (0, None)), (2, (0, 4)), (2, (4, None))]


def test_small_tables_share_a_task_and_large_ranges_have_their_own() -> None:
    reads = [read(10, 1), read(20, 2), read(30, 9), read(40, 1)]

    tasks = tasks_of(reads, 4)

    assert [[(work.read.table.oid, work.size_pages) for work in task] for task in tasks] == [
        [(10, 1), (20, 2)],
        [(30, 4)],
        [(30, 4)],
        [(30, 1), (40, 1)],
    ]


def test_thousands_of_empty_tables_make_few_tasks() -> None:
    tasks = tasks_of([read(oid, 0) for oid in range(10_000)], 4)

    assert len(tasks) == -(-10_000 // TABLES_A_TASK)


def test_order_is_by_the_first_pattern_that_means_a_table() -> None:
    tables = [captured(1, "a"), captured(2, "b"), captured(3, "c"), captured(4, "d")]

    names = [table.table for table in ordered(tables, ["public.d", "public.?", "public.c"])]

    assert names == ["d", "a", "b", "c"]


def test_statement_quotes_every_name_and_keeps_conditions_apart() -> None:
    piece = Piece(7, 'we"ird', "ta ble", 9)
    one = TableRead(captured(7, "t"), (piece,), conditions=("a = 1 -- one", "b OR c"))

    statement = range_source(one, piece, (4, 8), ["id", 'co"l']).statement

    assert statement[statement.index("COPY") :] == (
        'COPY (SELECT "id", "co""l" FROM ONLY "we""ird"."ta ble" WHERE (a = 1 -- one\n) '
        "AND (b OR c\n) AND ctid >= '(4,0)' AND ctid < '(8,0)') TO STDOUT; "
        'ROLLBACK TO SAVEPOINT "rows"'
    )
    assert 'LOCK TABLE ONLY "we""ird"."ta ble" IN ACCESS SHARE MODE; ' in statement


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_progress_by_ranges_follows_pages_and_tells_the_time_left() -> None:
    clock = Clock()
    tally = Tally([read(1, 8, rows=1000), read(2, 2, rows=None)], clock)
    first = tally.whole()

    tally.add_rows(1, 500)
    tally.add_pages(1, 5)
    clock.now_s += 30
    half = tally.whole()
    tally.add_pages(1, 3)
    tally.end(1)
    tally.end(2)
    last = tally.whole()

    assert (
        first.tables, first.tables_done, first.rows_done, first.rows_estimated,
        first.bytes_done, first.bytes_estimated, first.eta_s,
    ) == (2, 0, 0, None, 0, 81920, None)  # fmt: skip
    assert (half.rows_done, half.bytes_done, half.eta_s) == (500, 40960, 30.0)
    assert (last.tables_done, last.bytes_done, last.eta_s) == (2, 81920, 0.0)
    assert [(table.table, table.rows_done, table.done) for table in tally.tables()] == [
        ("public.t1", 500, True),
        ("public.t2", 0, True),
    ]


def test_progress_of_a_whole_table_follows_its_estimate_and_no_further() -> None:
    tally = Tally([read(1, 10, rows=100)])

    tally.add(1, 50)
    half = tally.whole().bytes_done
    tally.add(1, 100)

    assert half == 40960
    assert tally.whole().bytes_done == 81920
    assert tally.rows_of(1) == 150


def test_tables_are_listed_up_to_a_limit_and_counted_all() -> None:
    reads = [read(oid, oid % 7) for oid in range(1, TABLES_MAX + 500)]

    tally = Tally(reads)

    assert len(tally.tables()) == TABLES_MAX
    assert len(reads) == tally.whole().tables
