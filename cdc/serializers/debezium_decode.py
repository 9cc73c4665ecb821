"""Debezium's JSON records back as changes: ours by schema id, foreign ones by inline schemas."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from cdc.errors import DecodeError, SchemaError
from cdc.event import UNCHANGED, ChangeEvent, Stored, Transaction
from cdc.protocols import Schemas
from cdc.schema import TableSchema
from cdc.serializers.debezium_foreign import ForeignTables, is_no_row
from cdc.serializers.envelope import TRUNCATE_FIELD, column_mappings
from cdc.serializers.json_values import Read, reader
from cdc.serializers.options import Options

HEADER = "cdc"
_OPS = frozenset("rcudt")
_DIGITS_MAX = 4000
# What comes of content that has other types than it should; nobody can list all of that.
_ODD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class RowReader:
    """How the rows of one structure are read: names and readers, aligned with its columns.

    `has_numbers`: decimals are JSON numbers, whose digits a float would lose.
    """

    table: TableSchema
    names: tuple[str, ...]
    readers: tuple[Read | None, ...]
    has_numbers: bool = False

    def row(self, content: object, unchanged: int, nulls: int, where: str) -> tuple[object, ...]:
        """The logical values of an object; bitmaps say which are UNCHANGED or NULL after all."""
        if not isinstance(content, dict):
            raise DecodeError(f"{where}: a row is not an object", kind="record")
        values: list[object] = []
        # What stands for a value that was not sent need not be one of its type.
        stand_ins = unchanged | nulls
        try:
            for name, read in zip(self.names, self.readers, strict=True):
                value = content[name]
                plain = value is None or read is None or (stand_ins >> len(values)) & 1
                values.append(value if plain or read is None else read(value))
        except KeyError as error:
            raise DecodeError(f"{where}: column {error} is missing", kind="record") from error
        except (ValueError, TypeError) as error:
            raise DecodeError(
                f"{where}: a value of column {name!r} is damaged", kind="record"
            ) from error
        _put(values, unchanged, UNCHANGED, where)
        _put(values, nulls, None, where)
        return tuple(values)

    def key_row(self, content: object, where: str) -> tuple[object, ...]:
        """A row that has only the key, from the object of a record's key."""
        if not isinstance(content, dict):
            raise DecodeError(f"{where}: a key is not an object", kind="record")
        values: list[object] = [UNCHANGED] * len(self.names)
        for index in self.table.key:
            name = self.names[index]
            if name not in content:
                raise DecodeError(f"{where}: key column {name!r} is missing", kind="record")
            read = self.readers[index]
            value = content[name]
            values[index] = value if value is None or read is None else read(value)
        return tuple(values)


def _put(values: list[object], bitmap: int, value: object, where: str) -> None:
    if bitmap >> len(values):
        raise DecodeError(f"{where}: a bitmap names columns that there are not", kind="record")
    while bitmap:
        index = (bitmap & -bitmap).bit_length() - 1
        values[index] = value
        bitmap &= bitmap - 1


def row_reader(stored: TableSchema) -> RowReader:
    """The reader of rows of a stored structure, as it says that they are written.

    Not as the source writes now: a topic keeps what was written before. Raises SchemaError.
    """
    table = replace(stored, encoding=())
    readers = []
    for how in column_mappings(table, Options.of_encoding(stored.encoding)):
        json_read = reader(how.schema)
        logical_read = how.read
        readers.append(_chain(json_read, logical_read))
    names = tuple(column.name for column in table.columns)
    return RowReader(table, names, tuple(readers), ("decimal", "number") in stored.encoding)


def _chain(first: Read | None, second: Read | None) -> Read | None:
    if first is None or second is None:
        return first or second

    def both(value: object) -> object:
        return second(first(value))

    return both


class Decoder:
    """Decodes records; keeps the readers of the structures it has met."""

    __slots__ = ("_foreign", "_readers", "_schemas")

    def __init__(self, schemas: Schemas | None) -> None:
        self._schemas = schemas
        self._readers: dict[str, RowReader] = {}
        self._foreign = ForeignTables()

    def decode(self, stored: Stored) -> ChangeEvent | None:
        """The change in a record; None for records that change no row.

        Raises DecodeError for damaged records, SchemaError for unknown structures.
        """
        where = f"record {stored.offset} of {stored.topic}/{stored.partition}"
        try:
            return self._decode(stored, where)
        except _ODD as error:
            raise DecodeError(f"{where}: not as Debezium's format has it", kind="record") from error

    def _decode(self, stored: Stored, where: str) -> ChangeEvent | None:
        header = _header(stored)
        if header is None:
            return self._decode_foreign(stored, where)
        sequence, schema_id, unchanged, nulls, before_nulls = _header_parts(header, where)
        rows = self._reader(schema_id)
        if stored.value is None:
            key = _payload(stored.key, where, exact=rows.has_numbers)
            return None if key is None else _tombstone(rows, key, sequence, where)
        content = _payload(stored.value, where, exact=rows.has_numbers)
        if not isinstance(content, dict):
            raise DecodeError(f"{where}: the value is not an object", kind="record")
        op, event = _event(rows.table, content, sequence, where)
        if op == "d":
            event.before = rows.row(content["before"], unchanged, nulls, where)
        elif op != "t":
            event.after = rows.row(content["after"], unchanged, nulls, where)
            if content["before"] is not None:
                event.before = rows.row(content["before"], 0, before_nulls, where)
        return event.event()

    def _reader(self, schema_id: str) -> RowReader:
        rows = self._readers.get(schema_id)
        if rows is None:
            if self._schemas is None:
                raise SchemaError("this serializer was made to encode only")
            rows = row_reader(self._schemas.find(schema_id))
            self._readers[schema_id] = rows
        return rows

    def _decode_foreign(self, stored: Stored, where: str) -> ChangeEvent | None:
        """A record without our header: no row, or one of a Debezium that is not ours.

        The inline schema of the latter says what it holds.
        """
        if stored.value is None:
            key = _parsed(stored.key, where)
            rows = self._foreign.of_key(stored.topic, key)
            if rows is None:
                return None
            reader_of_key = RowReader(*rows)
            return _tombstone(reader_of_key, _unwrapped(key), stored.offset, where)
        value = _parsed(stored.value, where)
        if is_no_row(_payload(stored.key, where), _unwrapped(value)):
            return None
        found = self._foreign.of_value(stored.topic, stored.key, value)
        if found is None:
            return None
        table, names, readers, content = found
        rows_reader = RowReader(table, names, readers)
        op, event = _event(table, content, stored.offset, where)
        if content["before"] is not None and op != "t":
            event.before = rows_reader.row(content["before"], 0, 0, where)
        if content["after"] is not None:
            event.after = rows_reader.row(content["after"], 0, 0, where)
        return event.event()


def _header(stored: Stored) -> bytes | None:
    for name, text in stored.headers:
        if name == HEADER:
            return text
    return None


def _header_parts(header: bytes, where: str) -> tuple[int, str, int, int, int]:
    parts = header.split(b".")
    try:
        bitmaps = [int(part, 16) for part in parts[2:]]
        bitmaps += [0] * (3 - len(bitmaps))
        unchanged, nulls, before_nulls = bitmaps
        return int(parts[0]), parts[1].decode("ascii"), unchanged, nulls, before_nulls
    except (ValueError, IndexError) as error:
        raise DecodeError(f"{where}: the header `cdc` is damaged", kind="record") from error


def _parsed(text: bytes | None, where: str, *, exact: bool = False) -> object:
    """The content; `exact` leaves fractions as text, which is slower."""
    if text is None:
        return None
    try:
        if exact:
            return json.loads(text, parse_float=str, parse_int=_integer)
        return orjson.loads(text)
    except json.JSONDecodeError as error:
        raise DecodeError(f"{where}: not JSON", kind="record") from error


def _integer(text: str) -> object:
    # Python reads no integers of more digits; as text they are read as decimals are.
    return int(text) if len(text) <= _DIGITS_MAX else text


def _unwrapped(content: object) -> object:
    """The payload, where the schema is beside it."""
    if isinstance(content, dict) and content.keys() == {"schema", "payload"}:
        return content["payload"]
    return content


def _payload(text: bytes | None, where: str, *, exact: bool = False) -> object:
    return _unwrapped(_parsed(text, where, exact=exact))


def _tombstone(rows: RowReader, key: object, sequence: int, where: str) -> ChangeEvent | None:
    if isinstance(key, dict) and TRUNCATE_FIELD in key:
        return None
    before = rows.key_row(key, where)
    return ChangeEvent("d", rows.table, before, None, None, sequence=sequence)


@dataclass(slots=True)
class _Draft:
    """An event whose rows are still to come."""

    op: str
    table: TableSchema
    transaction: Transaction
    position: int
    snapshot: str | None
    sequence: int
    before: tuple[object, ...] | None = None
    after: tuple[object, ...] | None = None

    def event(self) -> ChangeEvent:
        return ChangeEvent(
            self.op,
            self.table,
            self.before,
            self.after,
            self.transaction,
            0,
            self.position,
            self.snapshot,
            self.sequence,
        )


def _event(
    table: TableSchema, content: Mapping[str, object], sequence: int, where: str
) -> tuple[str, _Draft]:
    op = content.get("op")
    source = content.get("source")
    if not isinstance(op, str) or op not in _OPS or not isinstance(source, dict):
        raise DecodeError(f"{where}: not a change of Debezium's format", kind="record")
    if not {"before", "after"} <= content.keys():
        raise DecodeError(f"{where}: the rows are missing", kind="record")
    marker = source.get("snapshot")
    xid = source.get("txId")
    us = source.get("ts_us")
    transaction = Transaction(
        "" if xid is None else str(xid),
        int(source.get("ts_ms") or 0) * 1000 if us is None else int(us),
        xid,
        _prior_position(source.get("sequence")),
        source.get("origin"),
        source.get("origin_lsn"),
    )
    snapshot = None if marker in {None, "false"} else str(marker)
    return op, _Draft(op, table, transaction, int(source.get("lsn") or 0), snapshot, sequence)


def _prior_position(sequence: object) -> int | None:
    if not isinstance(sequence, str):
        return None
    pair = orjson.loads(sequence)
    return None if pair[0] is None else int(pair[0])
