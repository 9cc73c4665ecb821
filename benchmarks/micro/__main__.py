"""Single parts of the hot path over recorded bytes: CPU seconds per million changes.

    python -m benchmarks.micro record FOLDER
    python -m benchmarks.micro replay FOLDER [--part decode|encode|produce] [--rounds 5]

For changes of the code: the same bytes each time, only this process, no server and no broker.
"""

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.micro import recording
from benchmarks.micro.recording import Recording
from cdc.collector import relax
from cdc.compiled import implementation
from cdc.event import Record, Transaction
from cdc.logs.kafka.config import Config
from cdc.sequence import Sequencer
from cdc.serializers.debezium_json import DebeziumJson
from cdc.serializers.envelope import SourceIdentity
from cdc.serializers.options import Options
from connectors.postgres.assemble import Assembler
from connectors.postgres.copy_text import RowMaker
from connectors.postgres.emission import Emission
from connectors.postgres.in_progress import TransactionsInProgress
from connectors.postgres.lsn import Lsn
from connectors.postgres.position import StreamPosition
from connectors.postgres.spill import SpillFolder

PARTS = ("decode", "encode", "produce")


def _serializer() -> DebeziumJson:
    return DebeziumJson(
        SourceIdentity("postgresql", "bench", "1"),
        Options(),
        None,
        compacts=True,
        pipeline="bench",
        clock_us=lambda: time.time_ns() // 1000,
    )


class Sink:
    """Where encoded records end: counted, or given to a producer of librdkafka's mock cluster."""

    def __init__(self, *, produce: bool) -> None:
        self.records = 0
        self._sequencer = Sequencer(None, exactly_once=True, wall_us=1)
        self._outbox = None
        if produce:
            from cdc.logs.kafka.client import Clients
            from cdc.logs.kafka.outbox import Outbox

            config = Config.model_validate(
                {"bootstrap_servers": "mock", "client": {"test.mock.num.brokers": 1}}
            )

            class AnyTopic:
                def partitions(self, _topic: object) -> int:
                    return 1

            self._outbox = Outbox(config, Clients(config), AnyTopic(), {})  # type: ignore[arg-type]

    def take(self, records: list[Record]) -> None:
        self.records += len(records)
        self._sequencer.number(records)
        if self._outbox is not None:
            while not self._outbox.append(records, 1.0):
                pass

    def end(self) -> None:
        if self._outbox is not None:
            assert self._outbox.flush(60)


def _replay_stream(given: Recording, part: str) -> tuple[float, int]:
    table = given.table()
    assembler = Assembler(
        StreamPosition(Lsn(0)),
        lambda _, __: table,
        TransactionsInProgress(SpillFolder(Path("never-written"), None), 1 << 20),
        Emission("bench"),
        lambda _: frozenset(),
    )
    serializer = _serializer()
    sink = Sink(produce=part == "produce")
    events = 0
    began = time.process_time()
    for lot in given.lots:
        batch = assembler.feed(lot)
        events += len(batch)
        if part != "decode" and batch:
            sink.take(serializer.encode(batch))
    sink.end()
    return time.process_time() - began, events


def _replay_copy(given: Recording, part: str) -> tuple[float, int]:
    maker = RowMaker(given.table(), Transaction("7", 1_700_000_000_000_000, 7), 1)
    serializer = _serializer()
    sink = Sink(produce=part == "produce")
    events = 0
    began = time.process_time()
    for lot in given.lots:
        batch: list[object] = []
        maker.append(lot, 0, len(lot), batch)  # type: ignore[arg-type]
        events += len(batch)
        if part != "decode" and batch:
            sink.take(serializer.encode(batch))  # type: ignore[arg-type]
    sink.end()
    return time.process_time() - began, events


def main() -> None:
    """Record, or replay and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("what", choices=["record", "replay"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--set")
    parser.add_argument("--lot", type=int, default=500, help="messages a lot")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if given.what == "record":
        recording.record(given.folder)
        return
    relax()
    print(f"{implementation()}; CPU s per million changes, least and middle of {given.rounds}")
    names = [given.set] if given.set else [*(f"stream-{rows}" for rows in recording.SETS), "copy"]
    for name in names:
        content = recording.load(given.folder, name, given.lot)
        replay: Callable[[Recording, str], tuple[float, int]]
        replay = _replay_copy if name == "copy" else _replay_stream
        for part in [given.part] if given.part else PARTS:
            costs = []
            for _ in range(given.rounds):
                gc.collect()
                cpu_s, events = replay(content, part)
                assert events == content.events, (events, content.events)
                costs.append(cpu_s / events * 1e6)
            costs.sort()
            print(f"{name:14} up to {part:8} {costs[0]:6.2f} {costs[len(costs) // 2]:6.2f}")


if __name__ == "__main__":
    main()
