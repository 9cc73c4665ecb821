"""`cdc tail` and `cdc topics`: what is in the log."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cdc.cli.terminal import (
    DEFAULT_FILE,
    AsJson,
    ConfigFile,
    console,
    print_json,
    print_json_line,
)
from cdc.errors import CdcError, DecodeError, SchemaError

if TYPE_CHECKING:
    from cdc.event import ChangeEvent, Row, Stored
    from cdc.protocols import Log
    from cdc.registry import Parts
    from cdc.schema import TableSchema

RECORDS_MAX: Final = 500
POLL_S: Final = 0.5
INTERNAL: Final = "__cdc."


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("tail", short_help="Print change events from the log.")(tail)
    app.command("topics", short_help="List the topics of the log.")(topics)


def topics(
    config: ConfigFile = DEFAULT_FILE,
    internal: Annotated[
        bool, typer.Option("--internal", help="Show Tidewire's own topics too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the topics of the pipeline, with counts, sizes and columns."""
    from rich.markup import escape
    from rich.table import Table

    from cdc.cli.figures import size

    parts, pipeline = _parts(config)
    found = [info for info in parts.topics() if internal or not info.name.startswith(INTERNAL)]
    columns = _columns(parts.log(), pipeline)
    if as_json:
        print_json(
            [
                {
                    "name": info.name,
                    "partitions": info.partitions,
                    "records": info.records,
                    "size_bytes": info.size_bytes,
                    "compacted": info.compacted,
                    "columns": _of_topic(info.name, columns),
                }
                for info in found
            ]
        )
        return
    table = Table(box=None, pad_edge=False)
    for name in ("topic", "partitions", "records", "size", "cleanup", "columns"):
        table.add_column(name, overflow="fold")
    for info in found:
        table.add_row(
            escape(info.name),
            str(info.partitions),
            f"{info.records:,}",
            size(info.size_bytes),
            "compact" if info.compacted else "delete",
            escape(", ".join(_of_topic(info.name, columns))),
        )
    console().print(table)


def tail(
    topic: Annotated[str, typer.Argument(help="The topic; * stands for any text.")],
    config: ConfigFile = DEFAULT_FILE,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest record.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Stop after N records.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print values as the record has them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print change events from the log as they come, until Ctrl-C."""
    parts, _ = _parts(config)
    log = parts.log()
    names = [info.name for info in log.topics()]
    if not any(_matches(name, topic) for name in names):
        from cdc.config.problems import did_you_mean

        raise CdcError(f'the log has no topic "{topic}"{did_you_mean(topic, names)}')
    with closing(parts):
        decode = parts.decoder()
        records = _records(log, topic, from_start=from_start)
        for printed, stored in enumerate(records, start=1):  # pragma: no branch - they never end
            if as_json:
                print_json_line(_content(stored))
            else:
                event = None if raw else _decoded(decode, stored)
                text = raw_line(stored) if event is None else line(stored, event)
                console().print(text, markup=False)
            if printed == limit:
                return


def _parts(config: ConfigFile) -> "tuple[Parts, str]":
    from cdc.config import load
    from cdc.registry import Parts

    read = load(config, only=())
    return Parts(read), read.name


def _decoded(
    decode: "Callable[[Stored], ChangeEvent | None]", stored: "Stored"
) -> "ChangeEvent | None":
    """The change in a record, None where there is none that we can read: it is printed as it is."""
    try:
        return decode(stored)
    except (DecodeError, SchemaError):
        return None


def _matches(name: str, pattern: str) -> bool:
    from cdc.logs.globs import Patterns

    return Patterns([pattern]).means(name)


def _records(log: "Log", topic: str, *, from_start: bool) -> "Iterator[Stored]":
    with closing(log.reader([topic], None)) as reader:
        reader.seek("beginning" if from_start else "end")
        while True:
            yield from reader.poll(RECORDS_MAX, POLL_S)


def _columns(log: "Log", pipeline: str) -> dict[str, list[str]]:
    """The columns of each table, by `schema.table`, as of its newest structure in the log."""
    from cdc.schema import TableSchema

    columns: dict[str, list[str]] = {}
    topic = f"{INTERNAL}{pipeline}.schemas"
    if not any(info.name == topic for info in log.topics()):
        return columns
    with closing(log.reader([topic], None)) as reader:
        left = sum(reader.ends().values())
        while left > 0 and (records := reader.poll(RECORDS_MAX, POLL_S)):
            left -= len(records)
            for stored in records:
                if stored.value is not None:
                    table = TableSchema.from_canonical(stored.value)
                    columns[table.qualified_name] = [column.name for column in table.columns]
    return columns


def _of_topic(topic: str, columns: dict[str, list[str]]) -> list[str]:
    # A topic is called prefix.schema.table.
    return next((names for table, names in columns.items() if topic.endswith(f".{table}")), [])


def _json(text: bytes | None) -> object:
    """What the bytes hold as JSON, without an inline Connect schema; else as text."""
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError:
        return text.decode("utf-8", "backslashreplace")
    if isinstance(content, dict) and content.keys() == {"schema", "payload"}:
        return content["payload"]
    return content


def _content(stored: "Stored") -> dict[str, object]:
    return {
        "topic": stored.topic,
        "partition": stored.partition,
        "offset": stored.offset,
        "timestamp_us": stored.timestamp_us,
        "key": _json(stored.key),
        "value": _json(stored.value),
        "headers": {
            name: value.decode("utf-8", "backslashreplace") for name, value in stored.headers
        },
    }


def line(stored: "Stored", event: "ChangeEvent") -> str:
    """Where it is, what happened, and the row as people write its values.

    Columns that were not sent are left out of the row, and named behind it.
    """
    op = "tombstone" if stored.value is None else event.op
    parts = [_where(stored), op]
    row = event.before if event.after is None else event.after
    if row is not None:
        key, fields, unchanged = _fields(event.table, row)
        parts += [_compact(key)] if key else []
        parts += [_compact(fields)] if stored.value is not None else []
        parts += [f"unchanged: {', '.join(unchanged)}"] if unchanged and event.op != "d" else []
    return " ".join(parts)


def _fields(
    table: "TableSchema", row: "Row"
) -> tuple[dict[str, object], dict[str, object], list[str]]:
    """Key and row by name, and the names of columns that were not sent."""
    from cdc.documents import converter
    from cdc.event import UNCHANGED

    fields: dict[str, object] = {}
    unchanged: list[str] = []
    for column, value in zip(table.columns, row, strict=True):
        convert = converter(column.type)
        if value is UNCHANGED:
            unchanged.append(column.name)
        else:
            fields[column.name] = value if value is None or convert is None else convert(value)
    key = {name: fields[name] for name in table.key_names if name in fields}
    return key, fields, unchanged


def _where(stored: "Stored") -> str:
    return f"{stored.topic}/{stored.partition}/{stored.offset}"


def raw_line(stored: "Stored") -> str:
    """Where it is, what happened, and the row as the record has it."""
    where = _where(stored)
    key = _compact(_json(stored.key))
    value = _json(stored.value)
    if value is None:
        return f"{where} tombstone {key}"
    if not (isinstance(value, dict) and "op" in value):
        return f"{where} {key} {_compact(value)}"
    row = value.get("after") if value.get("after") is not None else value.get("before")
    if row is None:  # a logical message has neither
        row = value.get("message")
    return f"{where} {value['op']} {key} {_compact(row)}"


def _compact(content: object) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)
