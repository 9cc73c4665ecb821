"""Records in a compact form, for the way from a reader process to the writer.

Records of one lot mostly have the same topic and headers, so that these go once for a run of them.
Pure; the form is one tuple of plain values.
"""

from collections.abc import Sequence

from cdc.event import Record, Topic, keyed_record

Run = tuple[int, str, bool, bool, tuple[tuple[str, bytes], ...], int | None]
"""How many records; name, `compacted` and `internal` of their topic; headers; partition."""

Packed = tuple[list[bytes | None], list[bytes | None], list[bytes | None], list[Run]]
"""Keys, values and marks of all records, and the runs they form."""


def pack(records: Sequence[Record]) -> Packed:
    """The records without their sequences, which the writer gives."""
    runs: list[Run] = []
    first: Record | None = None
    count = 0
    for record in records:
        if first is None or not _alike(record, first):
            if first is not None:
                runs.append(_run(first, count))
            first, count = record, 0
        count += 1
    if first is not None:
        runs.append(_run(first, count))
    return (
        [record.key for record in records],
        [record.value for record in records],
        [record.mark for record in records],
        runs,
    )


class Unpacker:
    """Makes records again; those of one topic share one object, over all lots.

    Every reader gives out each structure it meets; the writer needs one of them. Whatever else is
    in an internal topic passes too, once.
    """

    def __init__(self) -> None:
        self._topics: dict[tuple[str, bool, bool], Topic] = {}
        self._seen: set[tuple[str, bytes | None]] = set()

    def records(self, packed: Packed) -> list[Record]:
        """The records in their order, with sequence 0."""
        keys, values, marks, runs = packed
        records: list[Record] = []
        place = 0
        for count, name, compacted, internal, headers, partition in runs:
            topic = self._topic(name, compacted, internal)
            for index in range(place, place + count):
                mark = marks[index]
                if mark is not None and partition is None:
                    records.append(keyed_record(topic, keys[index], values[index], mark, headers))
                elif not internal or self._is_new(name, keys[index]):
                    records.append(
                        Record(topic, keys[index], values[index], mark, headers, partition)
                    )
            place += count
        return records

    def _topic(self, name: str, compacted: bool, internal: bool) -> Topic:  # noqa: FBT001
        topic = self._topics.get((name, compacted, internal))
        if topic is None:
            topic = self._topics[name, compacted, internal] = Topic(name, compacted, internal)
        return topic

    def _is_new(self, name: str, key: bytes | None) -> bool:
        if (name, key) in self._seen:
            return False
        self._seen.add((name, key))
        return True


def _alike(record: Record, other: Record) -> bool:
    return (
        record.topic is other.topic
        and record.headers == other.headers
        and record.partition == other.partition
    )


def _run(record: Record, count: int) -> Run:
    topic = record.topic
    return count, topic.name, topic.compacted, topic.internal, record.headers, record.partition
