"""Reads a topic as a consumer of committed records does, and says how old they are on arrival.

    python -m benchmarks.e2e.arrivals BOOTSTRAP TOPIC COUNT EVERY WARM_S

Age is from the commit in the database (`source.ts_us`) to the moment when the client hands the
record out. Of `COUNT` records every `EVERY`th is looked at; those of the first seconds are left
out. Prints one line of JSON, times in milliseconds.
"""

import json
import re
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

_COMMITTED = re.compile(rb'"ts_us":(\d+)')
_SILENCE_S = 60.0


def percentile(ordered: list[int], share: float) -> float:
    """The value that `share` of all are not above, in milliseconds."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000, 1)


def main(bootstrap: str, topic: str, count: str, every: str, warm_s: str) -> None:
    """Read and print."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "arrivals",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            # A fetch is answered as soon as there is anything.
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    seen, step = 0, int(every)
    ages: list[tuple[int, int]] = []
    while seen < int(count):
        message = consumer.poll(_SILENCE_S)
        now_us = time.time_ns() // 1000
        if message is None or message.error() is not None:
            raise SystemExit(f"{topic}: {seen} of {count} records came, then nothing")
        if seen % step == 0:
            value = message.value()
            assert isinstance(value, bytes)
            # The first one in Debezium's envelope is that of `source`.
            found = _COMMITTED.search(value)
            assert found is not None, value
            committed_us = int(found[1])
            ages.append((committed_us, now_us - committed_us))
        seen += 1
    consumer.close()
    begin_us = ages[0][0] + int(float(warm_s) * 1e6)
    ordered = sorted(age for committed_us, age in ages if committed_us >= begin_us)
    print(
        json.dumps(
            {
                "samples": len(ordered),
                "p50_ms": percentile(ordered, 0.5),
                "p90_ms": percentile(ordered, 0.9),
                "p99_ms": percentile(ordered, 0.99),
                "max_ms": round(ordered[-1] / 1000, 1),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
