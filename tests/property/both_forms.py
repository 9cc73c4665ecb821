"""What becomes of generated messages: records, or the error. Run as a module in either form.

    python -m tests.property.both_forms SEED MESSAGES

Prints a line for each message: what its change became. The same seed gives the same messages.
"""

import sys
from collections.abc import Callable
from itertools import count
from random import Random

from cdc import schema as logical
from cdc.compiled import implementation
from cdc.errors import CdcError
from cdc.event import ChangeEvent, Record, RowLayout, Transaction
from cdc.schema import Column, LogicalType, TableSchema
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from connectors.postgres.copy_text import RowMaker
from connectors.postgres.decoders import decoder, form
from connectors.postgres.pgoutput import Decoder, Table
from tests.unit.connectors.postgres import replies

KINDS: tuple[LogicalType, ...] = (
    logical.Int64(), logical.Int16(), logical.Int32(), logical.String(), logical.Json(),
    logical.Boolean(), logical.Float64(), logical.Float32(), logical.Decimal(12, 2),
    logical.Decimal(), logical.Uuid(), logical.Date(), logical.Time(6), logical.Timestamp(3),
    logical.Timestamp(6), logical.TimestampTz(6), logical.Bytes(), logical.Array(logical.Int32()),
)  # fmt: skip
COLUMNS = tuple(Column(f"c{place}", kind, nullable=place > 0) for place, kind in enumerate(KINDS))
TABLE = TableSchema("d", "public", "t", COLUMNS, (0,))
OID = 17


def _wide(random: Random, usual: int, widest: int) -> int:
    """A number; seldom one beyond what is usual."""
    return widest if random.random() < 0.01 else usual


def _date(random: Random) -> str:
    day = random.randint(1, _wide(random, 28, 31))
    return f"{random.randint(1, 9999):04d}-{random.randint(1, 12):02d}-{day:02d}"


def _clock(random: Random) -> str:
    hour = random.randint(0, _wide(random, 23, 24))
    whole = f"{hour:02d}:{random.randint(0, 59):02d}:{random.randint(0, 59):02d}"
    return whole + random.choice(["", f".{random.randint(1, 999_999):06d}".rstrip("0")])


def _number(random: Random) -> str:
    digits = str(random.randint(0, 10 ** random.randint(1, 22)))
    fraction = random.choice(["", ".0", f".{random.randint(0, 999)}", ".05"])
    return random.choice(["", "-"]) + digits + fraction


def _text(random: Random) -> str:
    return "".join(random.choices('ab "\\\n\x01/é€😀\x7f' + "x" * 20, k=random.randint(0, 40)))


def _float(random: Random) -> str:
    number = random.choice([random.uniform(-1e8, 1e8), random.uniform(-1, 1), 1e300, 0.1, -0.0])
    return random.choice([repr(number), repr(number), "NaN", "Infinity", "-Infinity"])


WRITE: dict[type[LogicalType], Callable[[Random], str]] = {
    logical.Int64: lambda random: str(random.randint(-(2**63), 2**63 - 1)),
    logical.Int32: lambda random: str(random.randint(-(2**31), _wide(random, 2**31 - 1, 2**34))),
    logical.Int16: lambda random: str(random.randint(-(2**15), _wide(random, 2**15 - 1, 2**18))),
    logical.String: _text,
    logical.Json: _text,
    logical.Boolean: lambda random: random.choice("tf"),
    logical.Float64: _float,
    logical.Float32: lambda random: f"{random.uniform(-1e7, 1e7):.6g}",
    logical.Decimal: _number,
    logical.Uuid: lambda random: "-".join(
        f"{random.getrandbits(4 * width):0{width}x}" for width in (8, 4, 4, 4, 12)
    ),
    logical.Date: _date,
    logical.Time: _clock,
    logical.Timestamp: lambda random: f"{_date(random)} {_clock(random)}",
    logical.TimestampTz: lambda random: f"{_date(random)} {_clock(random)}+00",
    logical.Bytes: lambda random: "\\x" + random.randbytes(random.randint(0, 9)).hex(),
    logical.Array: lambda random: random.choice(["{}", "{1,NULL,-3}", "{{1},{2}}", "[2:3]={5,6}"]),
}


def value(random: Random, kind: LogicalType) -> bytes | None:
    """A value as sent; sometimes NULL, seldom damaged."""
    if random.random() < 0.1:
        return None
    text = WRITE[type(kind)](random).encode()
    if isinstance(kind, logical.Decimal) and kind.scale is not None:
        text = b"%d.%02d" % (random.randint(-(10**9), 10**9), random.randint(0, 99))
    if random.random() < 0.005:
        place = random.randint(0, len(text))
        return text[:place] + random.choice([b"\xff", b"x", b"-", b"."]) + text[place + 1 :]
    return text


def row(random: Random) -> list[bytes | None]:
    """A row; its key is there and an integer."""
    return [b"%d" % random.randint(-9, 2**40), *(value(random, kind) for kind in KINDS[1:])]


def messages(random: Random, wanted: int) -> list[bytes]:
    """Inserts, updates with and without an old row, and deletes."""
    found = []
    for _ in range(wanted):
        kind, lsn = random.choice("IIUUUKD"), random.randint(1, 2**60)
        new = replies.row(*row(random))
        key = replies.row(row(random)[0], *[None] * (len(KINDS) - 1))
        content = {
            "I": b"I" + OID.to_bytes(4, "big") + b"N" + new,
            "U": b"U" + OID.to_bytes(4, "big") + b"N" + new,
            "K": b"U" + OID.to_bytes(4, "big") + b"K" + key + b"N" + new,
            "D": b"D" + OID.to_bytes(4, "big") + random.choice([b"O" + new, b"K" + key]),
        }[kind]
        found.append(replies.xlog_data(content, lsn))
    return found


def shown(encode: Callable[[], list[Record]]) -> str:
    """What came out, in one line."""
    try:
        records = encode()
    except CdcError as error:
        return f"{type(error).__name__}: {error}"
    return repr([(r.topic.name, r.key, r.value, r.mark, r.headers, r.partition) for r in records])


def main(seed: int, wanted: int) -> None:
    """Print what becomes of each message, and of lines of COPY with the same values."""
    random = Random(seed)
    ticks = count(1_789_369_600_000_001)
    serializer = DebeziumJson(
        SourceIdentity("postgresql", "acme", "1"), Options(), None,
        compacts=True, pipeline="p", clock_us=lambda: next(ticks),
    )  # fmt: skip
    layout = RowLayout(tuple(decoder(kind) for kind in KINDS), tuple(form(kind) for kind in KINDS))
    table = Table(TABLE, layout, tuple(place == 0 for place in range(len(KINDS))))
    transaction = Transaction("7", 1_789_369_509_123_456, 7, 41)
    following = Decoder()
    following.tables[OID] = table
    following.begin(transaction, 0)

    def decoded(payload: bytes) -> list[ChangeEvent]:
        events: list[ChangeEvent] = []
        assert following.decode([payload], 0, events) is None
        return events

    print(implementation(), file=sys.stderr)
    for payload in messages(random, wanted):
        print(shown(lambda payload=payload: serializer.encode(decoded(payload))))  # type: ignore[misc]
    maker = RowMaker(table, transaction, 9)
    for _ in range(wanted // 4):
        values = [None if one is None else one.replace(b"\\", b"\\\\") for one in row(random)]
        line = b"\t".join(b"\\N" if one is None else one.replace(b"\n", b"\\n") for one in values)
        print(shown(lambda line=line: serializer.encode([maker.event(line + b"\n", "true")])))  # type: ignore[misc]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
