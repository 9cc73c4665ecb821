"""The source's own checkpoint parts: what was done, and where to go on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cdc.checkpoint import Checkpoint, decode_part, encode_part
from cdc.errors import DecodeError
from connectors.postgres.lsn import Lsn
from connectors.postgres.position import StreamPosition
from connectors.postgres.tables import CapturedTable

POSITION: Final = "position"
_TABLE: Final = "snapshot:"

Stage = Literal["snapshot", "streaming", "complete"]
"""`complete`: a snapshot without a stream behind it is done."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which log the positions are places in, and what they were read through.

    `publication` matters only inside a transaction, whose changes are counted. `started_us` is when
    the server was started that they were read from, in microseconds since 1970; 0: not known.
    """

    system: str
    timeline: int
    database: str
    slot: str
    publication: str
    started_us: int = 0


@dataclass(frozen=True, slots=True)
class Resume:
    """The resume state of a source, without its tables.

    `rows_lsn`: rows that were read may show what was committed before it; None: not known.
    """

    stage: Stage
    origin: Origin
    position: StreamPosition
    rows_lsn: Lsn | None = None

    def part(self) -> bytes:
        """The stored form: the content of part `position`."""
        origin = self.origin
        return encode_part(
            {
                "stage": self.stage,
                "system": origin.system,
                "timeline": origin.timeline,
                "database": origin.database,
                "slot": origin.slot,
                "publication": origin.publication,
                "server_started_us": origin.started_us,
                "rows_lsn": None if self.rows_lsn is None else str(self.rows_lsn),
                **self.position.content(),
            }
        )


def resume_of(checkpoint: Checkpoint | None) -> Resume | None:
    """What a checkpoint says, None when it says nothing. Raises DecodeError."""
    stored = None if checkpoint is None else checkpoint.parts.get(POSITION)
    if stored is None:
        return None
    content = decode_part(POSITION, stored)
    stage = content.get("stage")
    timeline = content.get("timeline")
    started_us, rows_lsn = content.get("server_started_us", 0), content.get("rows_lsn")
    names = [content.get(name) for name in ("system", "database", "slot", "publication")]
    if (
        stage not in {"snapshot", "streaming", "complete"}
        or not isinstance(timeline, int)
        or not isinstance(started_us, int)
        or not isinstance(rows_lsn, str | None)
        or not all(isinstance(name, str) for name in names)
    ):
        raise DecodeError("the stored position is damaged", kind="checkpoint")
    system, database, slot, publication = (str(name) for name in names)
    origin = Origin(system, timeline, database, slot, publication, started_us)
    seen = None if rows_lsn is None else Lsn.parse(rows_lsn)
    return Resume(stage, origin, StreamPosition.of(content), seen)


def part_name(table: str) -> str:
    """The name of the part about a table, by its qualified name."""
    return _TABLE + table


def table_part(
    table: CapturedTable, rows: int | None, narrowed: str | None = None
) -> tuple[str, bytes]:
    """Name and content of the part that says that a table's rows are in the log.

    `rows` None: they were not wanted, only its changes. `narrowed` is what the publication had for
    it then, see Publication.
    """
    content: dict[str, object] = {"oid": table.oid, "rows": rows}
    if narrowed is not None:
        content["narrowed"] = narrowed
    return part_name(table.qualified_name), encode_part(content)


def tables_done(checkpoint: Checkpoint | None) -> dict[tuple[str, int], int]:
    """Rows read of the tables that are done, by qualified name and oid.

    A table that was dropped and made again has another oid and is not done.
    """
    done: dict[tuple[str, int], int] = {}
    for name, stored in _table_parts({} if checkpoint is None else checkpoint.parts):
        content = decode_part(name, stored)
        oid, rows = content.get("oid"), content.get("rows")
        if not isinstance(oid, int) or not isinstance(rows, int | None):
            raise DecodeError(f"checkpoint part {name!r} is damaged", kind="checkpoint")
        done[name.removeprefix(_TABLE), oid] = rows or 0
    return done


def tables_narrowed(checkpoint: Checkpoint | None) -> dict[int, str | None]:
    """How the publication was narrowed for the tables that are done, by oid."""
    narrowed: dict[int, str | None] = {}
    for name, stored in _table_parts({} if checkpoint is None else checkpoint.parts):
        content = decode_part(name, stored)
        oid, text = content.get("oid"), content.get("narrowed")
        if not isinstance(oid, int) or not isinstance(text, str | None):
            raise DecodeError(f"checkpoint part {name!r} is damaged", kind="checkpoint")
        narrowed[oid] = text
    return narrowed


def _table_parts(parts: Mapping[str, bytes | None]) -> Iterable[tuple[str, bytes]]:
    return [
        (name, stored)
        for name, stored in parts.items()
        if name.startswith(_TABLE) and stored is not None
    ]
