"""Which row of a snapshot is first and last, whatever the order in which tables are read."""

from hypothesis import given
from hypothesis import strategies as st

from cdc.event import ChangeEvent
from cdc.schema import TableSchema
from connectors.postgres.markers import Markers

Row = tuple[int, int]


class Maker:
    """Makes events whose position says which row they are."""

    def __init__(self, oid: int) -> None:
        self._table = TableSchema("d", "public", f"t{oid}", (), ())

    def event(self, line: bytes, marker: str) -> ChangeEvent:
        return ChangeEvent("r", self._table, None, (), None, 0, int(line), marker)


def name(row: Row) -> tuple[str, int]:
    return f"t{row[0]}", row[1]


@st.composite
def readings(draw: st.DrawFn) -> list[tuple[int, int | None]]:
    """Rows of some tables in any order, as (table, rows together); None: the table ends."""
    lots = {
        oid: draw(st.lists(st.integers(1, 3), max_size=4)) for oid in range(draw(st.integers(0, 4)))
    }
    steps: list[tuple[int, int | None]] = []
    while lots:
        oid = draw(st.sampled_from(sorted(lots)))
        if lots[oid]:
            steps.append((oid, lots[oid].pop()))
        else:
            del lots[oid]
            steps.append((oid, None))
    return steps


@given(readings())
def test_every_row_comes_once_and_first_and_last_rows_are_marked(
    steps: list[tuple[int, int | None]],
) -> None:
    markers = Markers()
    given_rows: dict[int, int] = {}
    events: list[ChangeEvent] = []
    parts: dict[str, bytes | None] = {}
    for oid, rows in steps:
        if rows is None:
            markers.end(oid, (f"t{oid}", b""), events, parts)
            continue
        maker = Maker(oid)
        for place in range(rows):
            number = given_rows.get(oid, 0)
            given_rows[oid] = number + 1
            if place in {0, rows - 1}:
                markers.push(oid, b"%d" % number, maker, events, parts)
            else:
                # As rows do that a reader has encoded.
                markers.flush(oid, events, parts)
                events.append(maker.event(b"%d" % number, "true"))
    markers.finish(events, parts)

    by_table: dict[str, list[ChangeEvent]] = {}
    for event in events:
        by_table.setdefault(event.table.table, []).append(event)
    assert {f"t{oid}" for oid, rows in steps if rows is None} == set(parts)
    assert {f"t{oid}": list(range(count)) for oid, count in given_rows.items()} == {
        table: [event.position for event in found] for table, found in by_table.items()
    }
    assert [expected(event, events, by_table) for event in events] == [
        event.snapshot for event in events
    ]


def expected(
    event: ChangeEvent, events: list[ChangeEvent], by_table: dict[str, list[ChangeEvent]]
) -> str:
    """The marker by the row's place alone, most important first."""
    own = by_table[event.table.table]
    if event is events[-1]:
        return "last"
    if event is events[0]:
        return "first"
    if event is own[-1]:
        return "last_in_data_collection"
    return "first_in_data_collection" if event is own[0] else "true"


def test_part_of_a_table_comes_no_sooner_than_its_last_row() -> None:
    markers = Markers()
    events: list[ChangeEvent] = []
    parts: dict[str, bytes | None] = {}

    markers.push(1, b"0", Maker(1), events, parts)
    markers.end(1, ("one", b"done"), events, parts)
    before = (list(events), dict(parts))
    markers.push(2, b"0", Maker(2), events, parts)

    assert before == ([], {})
    assert [event.snapshot for event in events] == ["first"]
    assert parts == {"one": b"done"}
