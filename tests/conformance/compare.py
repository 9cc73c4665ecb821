"""Compares two records as text, field by field, after making equal what depends on the run."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from tests.conformance.goldens import Golden, Side, side_of

_DECODER = json.JSONDecoder()
_ABSENT = "(absent)"
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# Columns that the database fills with the time or at random, in table `defaults`.
_RUN_DEPENDENT = frozenset({"n_datenow", "n_tsnow", "n_tstznow", "n_uuidgen", "o_tsnow"})


Mask = Callable[[str, str], str]
"""From a path (`source.lsn`, `key.id`) and a text to the text with what may differ made equal."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two records differ, and both texts. `path` is like `after.f_name` or `header.x`."""

    topic: str
    offset: int
    path: str
    debezium: str
    tidewire: str


def members(text: str) -> dict[str, str]:
    """The members of an object's text: names decoded, values as their exact text, in order."""
    found: dict[str, str] = {}
    assert text.startswith("{")
    place = 1
    while text[place] != "}":
        name, place = _DECODER.raw_decode(text, place)
        assert text[place] == ":"
        _, end = _DECODER.raw_decode(text, place + 1)
        found[name] = text[place + 1 : end]
        place = end + (text[end] == ",")
    assert place == len(text) - 1
    return found


def items(text: str) -> list[str]:
    """The items of an array's text, as exact text."""
    found = []
    place = 1
    while text[place] != "]":
        _, end = _DECODER.raw_decode(text, place)
        found.append(text[place:end])
        place = end + (text[end] == ",")
    return found


def differences(debezium: Golden, tidewire: Golden, mask: Mask | None = None) -> list[Difference]:
    """Every difference of two records.

    `mask` makes equal what may differ; by default all that depends on the run.
    """
    mask = mask or of_any_run
    left_side, right_side = _flat(debezium, mask), _flat(tidewire, mask)
    expected, actual = dict(left_side), dict(right_side)
    found = []
    for path in {**expected, **actual}:
        left, right = expected.get(path, _ABSENT), actual.get(path, _ABSENT)
        if left != right:
            found.append(Difference(debezium.topic, debezium.offset, path, left, right))
    if not found:
        for (left, _), (right, _) in zip_longest(left_side, right_side, fillvalue=("", _ABSENT)):
            if left != right:
                found.append(Difference(debezium.topic, debezium.offset, "order", left, right))
                break
    return found


def _flat(record: Golden, mask: Mask) -> list[tuple[str, str]]:
    """Everything of a record as paths and exact texts, in the order in which it was written."""
    return [
        ("topic", record.topic),
        *((f"header.{name}", _header(name, text)) for name, text in record.headers),
        *_flat_side("key", record.key, mask),
        *_flat_side("", record.value, mask),
    ]


def _header(name: str, text: str) -> str:
    # A run's own id is a UUID of version 7; that both are is all that can be compared.
    if name.endswith(".runId"):
        return "v7" if _UUID7.fullmatch(text) else text
    # Kafka Connect can be told to write headers as JSON with a schema; ours are always plain.
    side = side_of(text.encode())
    assert side is not None
    return side.payload


def _flat_side(name: str, side: Side | None, mask: Mask) -> Iterator[tuple[str, str]]:
    prefix = f"{name}." if name else ""
    if side is None:
        yield name or "value", "null"
        return
    if side.schema is not None:
        yield from _flat_schema(f"{prefix}schema", side.schema)
    for field, text in members(side.payload).items():
        if name or field not in {"before", "after", "source", "transaction"} or text == "null":
            yield prefix + field, mask(prefix + field, text)
            continue
        for column, value in members(text).items():
            yield f"{field}.{column}", mask(f"{field}.{column}", value)


def _flat_schema(path: str, text: str) -> Iterator[tuple[str, str]]:
    """A struct's own properties and each of its fields; a column's schema is one text."""
    for name, value in members(text).items():
        if name != "fields":
            yield f"{path}.{name}", value
            continue
        for field in items(value):
            field_name = json.loads(members(field)["field"])
            if field_name in {"before", "after", "source"}:
                yield from _flat_schema(f"{path}.{field_name}", field)
            else:
                yield f"{path}.{field_name}", field


def of_any_run(path: str, text: str) -> str:
    """The text with what depends on the run made equal; nulls stay nulls."""
    part, _, name = path.rpartition(".")
    if text == "null":
        return text
    if part in {"before", "after"}:
        # Only a time can be the epoch, which is a placeholder: digits of a UUID mean nothing.
        epoch = text == "0" or text.startswith('"1970-01-01')
        timed = name in _RUN_DEPENDENT and not epoch
        # Fractions of seconds are as long as they need to be.
        return re.sub(r"[0-9a-f]", "0", re.sub(r"\.\d+", "", text)) if timed else text
    if name in {"version", "db"}:
        return f'"{name}"'
    # The id of a transaction is in its key, its value, and the block of a change.
    is_id = name == "id" and re.fullmatch(r'"\d+:\d+"', text)
    is_number = name in {"ts_ms", "ts_us", "ts_ns", "txId", "lsn"} and re.fullmatch(r"-?\d+", text)
    if is_id or is_number or name == "sequence":
        return re.sub(r"-?\d+", "0", text)
    return data_collections(text) if name == "data_collections" else text


def data_collections(text: str) -> str:
    """The counts of a transaction in one order: Debezium's is that of a hash table."""
    return "[" + ",".join(sorted(items(text))) + "]"
