"""Records that every partition gets a copy of."""

from cdc.event import EVERY_PARTITION, Record, any_for_every_partition
from cdc.protocols import LogWriter


def expand(records: list[Record], writer: LogWriter) -> list[Record]:
    """The records in order, those for every partition as one copy for each."""
    if not any_for_every_partition(records):
        return records
    expanded: list[Record] = []
    for record in records:
        if record.partition != EVERY_PARTITION:
            expanded.append(record)
            continue
        expanded.extend(
            Record(record.topic, record.key, record.value, record.mark, record.headers, number)
            for number in range(writer.partitions(record.topic))
        )
    return expanded
