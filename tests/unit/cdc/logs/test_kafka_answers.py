"""What the Kafka log makes of answers that a healthy cluster does not give.

The cluster's answers are played by scripts; its errors are librdkafka's own.
"""

import sys
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AclOperation, ConfigResource
from pydantic import ValidationError

from cdc.checkpoint import Checkpoint
from cdc.errors import (
    CdcError,
    ConfigError,
    Fenced,
    LogRefused,
    MissingExtra,
    TransientError,
)
from cdc.event import Record, Topic
from cdc.logs import kafka
from cdc.logs.kafka import check, checkpoints, codes
from cdc.logs.kafka import topics as topics_module
from cdc.logs.kafka.client import Clients
from cdc.logs.kafka.config import Config, TopicsConfig
from cdc.logs.kafka.failures import Reasons, translated
from cdc.logs.kafka.log import KafkaLog
from cdc.logs.kafka.outbox import Outbox
from cdc.logs.kafka.reader import KafkaReader
from cdc.logs.kafka.topics import Topics
from cdc.logs.kafka.writer import KafkaWriter
from cdc.protocols import LogContext, Partition

TOPIC = Topic("shop.public.t", compacted=True)
PLACE = Partition(TOPIC.name, 0)
DENIED = KafkaError.CLUSTER_AUTHORIZATION_FAILED


def failure(code: int, *, retriable: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, "as scripted", retriable=retriable))


class Answer:
    """A future of the admin client."""

    def __init__(self, content: object) -> None:
        self._content = content

    def result(self, timeout_s: float) -> Any:
        if isinstance(self._content, Exception):
            raise self._content
        return self._content


class Scripted:
    """A client: every method returns, calls or raises what the script has next; the last stays."""

    def __init__(self, **script: object) -> None:
        self._script = {name: list(_several(steps)) for name, steps in script.items()}
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: object, **options: object) -> Any:
            self.calls.append((name, arguments))
            steps = self._script.get(name, [None])
            step = steps.pop(0) if len(steps) > 1 else steps[0]
            if isinstance(step, Exception):
                raise step
            return step(*arguments, **options) if callable(step) else step

        return call


def _several(steps: object) -> Iterable[object]:
    return steps if isinstance(steps, tuple) else (steps,)


def config(**settings: object) -> Config:
    return Config.model_validate({"bootstrap_servers": "broker:9092", **settings})


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts scripted clients in the place of real ones."""

    def play(**clients: Scripted) -> None:
        for kind, client in clients.items():
            monkeypatch.setattr(Clients, kind, lambda self, *rest, client=client: client)

    return play


def admin(**script: object) -> Scripted:
    return Scripted(**{"list_topics": SimpleNamespace(topics={}), **script})


# --- settings and errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"topics": {"config": {"cleanup.policy": "delete"}}}, "topics.cleanup_policy"),
        ({"client": {"bootstrap.servers": "x"}}, "bootstrap.servers cannot be set here"),
    ],
)
def test_what_tidewire_sets_itself_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**settings)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (KafkaError._SSL, LogRefused, "no TLS connection to Kafka at broker:9092"),
        (KafkaError.POLICY_VIOLATION, LogRefused, "Kafka at broker:9092 refuses it"),
        (KafkaError.NOT_ENOUGH_REPLICAS, TransientError, "writing failed: NOT_ENOUGH_REPLICAS"),
        (KafkaError._FENCED, Fenced, "a newer writer"),
    ],
)
def test_an_error_says_whether_it_may_pass(code: int, kind: type[CdcError], words: str) -> None:
    error = translated(KafkaError(code, "text"), "writing", "broker:9092", Reasons())

    assert isinstance(error, kind)
    assert words in error.message


def test_a_client_that_is_done_for_because_it_was_fenced_says_fenced() -> None:
    reasons = Reasons()
    reasons.hear(KafkaError(KafkaError._FENCED, "a newer one"))
    # Brokers that answer again do not undo it.
    reasons.clear()

    error = translated(KafkaError(KafkaError._FATAL, "text"), "writing", "broker:9092", reasons)

    assert isinstance(error, Fenced)
    assert "a newer writer" in error.message


@pytest.mark.parametrize(
    ("blocked", "error"),
    [("confluent_kafka", MissingExtra), ("cdc.logs.kafka.topics", ModuleNotFoundError)],
)
def test_only_a_missing_client_library_is_told_as_that(
    blocked: str, error: type[Exception], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "cdc.logs.kafka.log")
    monkeypatch.setitem(sys.modules, blocked, None)

    with pytest.raises(error):
        kafka.create(config(), LogContext("shop", tmp_path))


def test_a_name_that_kafka_does_not_take_is_refused_at_once(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be part of a Kafka topic's name"):
        KafkaLog(config(), LogContext("shop/eu", tmp_path))


# --- check ----------------------------------------------------------------------------------------


def cluster(rights: list[AclOperation] | None) -> Answer:
    nodes = [SimpleNamespace(id=1), SimpleNamespace(id=2)]
    return Answer(SimpleNamespace(nodes=nodes, authorized_operations=rights))


def broker_settings(timeout_ms: int, replicas: int) -> Callable[..., dict[object, Answer]]:
    def describe(resources: list[ConfigResource], **options: object) -> dict[object, Answer]:
        settings = {
            "transaction.max.timeout.ms": SimpleNamespace(value=str(timeout_ms)),
            "transaction.state.log.replication.factor": SimpleNamespace(value=str(replicas)),
        }
        return {resources[0]: Answer(settings)}

    return describe


def found(client: Scripted, play: Callable[..., None], **settings: object) -> dict[str, str]:
    play(admin=client)
    made = config(**settings)
    return {each.code: each.severity for each in check.findings(made, Clients(made))}


def test_a_cluster_that_does_not_describe_itself_is_not_reachable(
    play: Callable[..., None],
) -> None:
    client = admin(describe_cluster=Answer(failure(KafkaError._TIMED_OUT)))

    assert found(client, play) == {"kafka-not-reachable": "error"}


def test_missing_rights_are_a_warning_and_unknown_ones_are_none(
    play: Callable[..., None],
) -> None:
    def client(rights: list[AclOperation] | None) -> Scripted:
        return admin(describe_cluster=cluster(rights))

    once: dict[str, object] = {"delivery": "at_least_once"}

    assert "kafka-rights" not in found(client(None), play, **once)
    assert found(client([AclOperation.DESCRIBE]), play, **once)["kafka-rights"] == "warning"
    assert found(client([AclOperation.CREATE]), play, **once)["kafka-rights"] == "ok"


def test_brokers_that_do_not_show_their_settings_are_a_warning(play: Callable[..., None]) -> None:
    def describe(resources: list[ConfigResource], **options: object) -> dict[object, Answer]:
        return {resources[0]: Answer(failure(DENIED))}

    client = admin(describe_cluster=cluster(None), describe_configs=describe)

    assert found(client, play)["kafka-transactions"] == "warning"


@pytest.mark.parametrize(
    ("timeout_ms", "replicas", "severity"),
    [(900_000, 2, "ok"), (30_000, 1, "error"), (900_000, 3, "error")],
)
def test_a_cluster_that_cannot_run_our_transactions_is_found(
    play: Callable[..., None], timeout_ms: int, replicas: int, severity: str
) -> None:
    unknown = Answer(failure(KafkaError.UNKNOWN_TOPIC_OR_PART))
    client = admin(
        describe_cluster=cluster(None),
        describe_configs=broker_settings(timeout_ms, replicas),
        describe_topics={"__transaction_state": unknown},
    )

    assert found(client, play)["kafka-transactions"] == severity


# --- topics, groups, checkpoints ------------------------------------------------------------------


def topics_of(client: Scripted, play: Callable[..., None]) -> Topics:
    play(admin=client)
    return Topics(Clients(config()), TopicsConfig())


def test_what_may_not_be_asked_about_a_topic_names_the_topic(play: Callable[..., None]) -> None:
    def denied(asked: Any, **options: object) -> dict[object, Answer]:
        return {each: Answer(failure(DENIED)) for each in asked}

    topics = topics_of(admin(list_offsets=denied, describe_configs=denied), play)

    with pytest.raises(LogRefused, match=TOPIC.name):
        topics.offsets([PLACE], codes.LATEST)
    with pytest.raises(LogRefused, match=TOPIC.name):
        topics.policies([TOPIC.name])
    assert topics.policies([]) == {}


def test_a_topic_that_another_worker_was_quicker_to_make_is_used(
    play: Callable[..., None],
) -> None:
    missing = {TOPIC.name: Answer(failure(KafkaError.UNKNOWN_TOPIC_OR_PART))}
    there = {TOPIC.name: Answer(SimpleNamespace(partitions=[0, 1, 2]))}
    exists = {TOPIC.name: Answer(failure(KafkaError.TOPIC_ALREADY_EXISTS))}
    client = admin(describe_topics=(missing, missing, there), create_topics=exists)

    assert topics_of(client, play).partitions(TOPIC) == 3


def test_a_topic_that_cannot_be_made_is_refused_by_name(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {TOPIC.name: Answer(failure(KafkaError.UNKNOWN_TOPIC_OR_PART))}
    refused = {TOPIC.name: Answer(failure(KafkaError.POLICY_VIOLATION))}

    with pytest.raises(LogRefused, match=f"creating topic {TOPIC.name}"):
        topics_of(admin(describe_topics=missing, create_topics=refused), play).partitions(TOPIC)

    made = {TOPIC.name: Answer(None)}
    monkeypatch.setattr(topics_module, "_MADE_S", 0.0)
    with pytest.raises(TransientError, match="no broker knows it yet"):
        topics_of(admin(describe_topics=missing, create_topics=made), play).partitions(TOPIC)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (KafkaError.NON_EMPTY_GROUP, "has members"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "deleting consumer group cdc.shop.search failed"),
        (KafkaError.GROUP_ID_NOT_FOUND, None),
    ],
)
def test_forgetting_a_group_says_what_is_in_the_way(
    play: Callable[..., None], tmp_path: Any, code: int, words: str | None
) -> None:
    play(admin=admin(delete_consumer_groups={"cdc.shop.search": Answer(failure(code))}))
    log = KafkaLog(config(), LogContext("shop", tmp_path))

    if words is None:
        log.forget("search")
    else:
        with pytest.raises(CdcError, match=words):
            log.forget("search")


class Said:
    """A message of the checkpoint topic, or an error in place of one."""

    def __init__(
        self, offset: int, key: object = None, value: object = None, code: int | None = None
    ) -> None:
        self._offset, self._key, self._value = offset, key, value
        self._error = None if code is None else KafkaError(code, "as scripted")

    def error(self) -> KafkaError | None:
        return self._error

    def offset(self) -> int:
        return self._offset

    def key(self) -> object:
        return self._key

    def value(self) -> object:
        return self._value


def ends(*pairs: tuple[int, int]) -> Callable[..., dict[TopicPartition, Answer]]:
    """Stable and high end, for each look."""
    looks = [end for pair in pairs for end in pair]

    def offsets(asked: Any, **options: object) -> dict[TopicPartition, Answer]:
        end = looks.pop(0) if len(looks) > 2 else looks[0]
        looks.append(looks.pop(0)) if len(looks) == 2 else None
        return {place: Answer(SimpleNamespace(offset=end)) for place in asked}

    return offsets


def read(
    play: Callable[..., None], consumer: Scripted, offsets: object, patience_s: float
) -> dict[str, bytes]:
    play(admin=admin(list_offsets=offsets), consumer=consumer)
    clients = Clients(config())
    topics = Topics(clients, TopicsConfig())
    return checkpoints.read(clients, topics, "c", time.monotonic() + patience_s)


def test_a_checkpoint_is_read_to_its_end_once_no_transaction_is_open(
    play: Callable[..., None],
) -> None:
    early, late = Said(3, code=codes.PARTITION_EOF), Said(5, code=codes.PARTITION_EOF)
    messages = [Said(0, b"a", b"1"), Said(1, b"b", b"2"), Said(2, b"b", None), Said(4), early]
    consumer = Scripted(consume=(messages, [late]))

    assert read(play, consumer, ends((3, 5), (5, 5)), 60.0) == {"a": b"1"}
    assert consumer.calls[-1][0] == "close"


@pytest.mark.parametrize(
    ("consumer", "offsets", "patience_s", "words"),
    [
        (Scripted(), ends((3, 5)), 0.0, "a transaction of an earlier writer is still open"),
        (Scripted(consume=([],)), ends((5, 5)), 0.0, "no end within open_timeout_s"),
        (Scripted(list_topics=failure(codes.TIMED_OUT)), ends((5, 5)), 1.0, "reading the checkp"),
        (Scripted(consume=([Said(0, code=DENIED)],)), ends((5, 5)), 1.0, "does not allow it"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_says_why(
    play: Callable[..., None], consumer: Scripted, offsets: object, patience_s: float, words: str
) -> None:
    with pytest.raises(CdcError, match=words):
        read(play, consumer, offsets, patience_s)


# --- the writer -----------------------------------------------------------------------------------


class Box:
    """An Outbox whose answers are scripted; what it is given last stays to be seen."""

    def __init__(self, producer: Scripted | None = None, **script: object) -> None:
        self.producer = producer or Scripted()
        self.reasons = Reasons()
        self._script = Scripted(**script)
        self.appended: list[str] = []

    def append(self, records: list[Record], timeout_s: float) -> bool:
        taken = bool(self._script.append())
        if taken:
            self.appended += [(record.key or b"").decode() for record in records]
        return taken

    def flush(self, timeout_s: float) -> bool:
        return bool(self._script.flush())

    def translated(self, error: KafkaError, doing: str) -> CdcError:
        return translated(error, doing, "broker:9092", self.reasons)

    def first_failure(self) -> tuple[KafkaError, str] | None:
        return None

    def close(self) -> None:
        self.producer.purge()


def writer(box: Box, **settings: object) -> KafkaWriter:
    made = config(**settings)
    opened = KafkaWriter(made, Clients(made), "shop", "shop")
    opened._outbox = box  # type: ignore[assignment]
    return opened


def test_a_writer_is_opened_once_and_used_only_then() -> None:
    with pytest.raises(RuntimeError, match="opened once"):
        writer(Box()).open()
    with pytest.raises(RuntimeError, match="not open"):
        KafkaWriter(config(), Clients(config()), "shop", "shop").append([], 1.0)


def test_a_transaction_that_cannot_be_aborted_does_not_keep_a_writer_from_closing() -> None:
    producer = Scripted(abort_transaction=failure(codes.TIMED_OUT))
    opened = writer(Box(producer, append=True))
    opened.append([], 1.0)

    opened.close()
    opened.close()

    assert [name for name, _ in producer.calls] == [
        "begin_transaction", "purge", "abort_transaction", "purge",
    ]  # fmt: skip


def test_fencing_is_tried_again_while_that_may_help() -> None:
    busy = failure(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True)
    producer = Scripted(init_transactions=(busy, None))
    box = Box(producer)

    writer(box)._fence(box, time.monotonic() + 60.0)  # type: ignore[arg-type]

    assert [name for name, _ in producer.calls].count("init_transactions") == 2


@pytest.mark.parametrize(
    ("error", "patience_s", "kind"),
    [
        (failure(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED), 60.0, LogRefused),
        (failure(codes.TIMED_OUT, retriable=True), 0.0, TransientError),
    ],
)
def test_fencing_that_does_not_help_says_what_failed(
    error: KafkaException, patience_s: float, kind: type[CdcError]
) -> None:
    box = Box(Scripted(init_transactions=error))

    with pytest.raises(kind, match="opening the transactional writer of source shop"):
        writer(box)._fence(box, time.monotonic() + patience_s)  # type: ignore[arg-type]


def test_a_commit_goes_on_where_brokers_were_too_slow() -> None:
    slow = failure(codes.TIMED_OUT, retriable=True)
    producer = Scripted(commit_transaction=(slow, None))
    box = Box(producer, append=(False, True))
    opened = writer(box)
    checkpoint = Checkpoint({"position": b"7"})

    answers = [opened.commit(checkpoint, 0.0) for _ in range(3)]

    assert answers == [False, False, True]
    assert box.appended == ["position"]


def test_a_commit_without_transactions_writes_the_position_last_and_goes_on_where_it_was() -> None:
    box = Box(flush=(False, True, False, True, False, True), append=(False, True, False, True))
    opened = writer(box, delivery="at_least_once")
    checkpoint = Checkpoint({"position": b"7", "sequence": b"8"})

    answers: list[bool] = []
    while not (answers and answers[-1]):
        answers.append(opened.commit(checkpoint, 0.0))

    # Records, and both kinds of parts, each refused once and not yet durable once.
    assert answers == [False] * 5 + [True]
    assert box.appended == ["sequence", "position"]


def test_a_full_queue_takes_a_record_for_one_partition_later(play: Callable[..., None]) -> None:
    there = {TOPIC.name: Answer(SimpleNamespace(partitions=[0]))}
    producer = Scripted(produce=(BufferError("full"), BufferError("full"), None))
    play(admin=admin(describe_topics=there), producer=producer)
    clients = Clients(config())
    box = Outbox(config(), clients, Topics(clients, TopicsConfig()), {})
    records = [Record(TOPIC, b"k", b"v", partition=0)]

    answers = [box.append(records, 0.0), box.append(records, 0.0)]

    assert answers == [False, True]


@pytest.mark.parametrize(("open_s", "kind"), [(10.0, Fenced), (100.0, TransientError)])
def test_a_transaction_that_was_open_for_too_long_is_no_newer_writer(
    open_s: float, kind: type[CdcError]
) -> None:
    box = Box(Scripted(commit_transaction=failure(KafkaError._FENCED)), append=True)
    opened = writer(box, transaction_timeout_s=60)
    opened._begun_s = time.monotonic() - open_s

    with pytest.raises(kind) as raised:
        opened.commit(Checkpoint({"position": b"7"}), 1.0)

    assert ("transaction_timeout_s" in str(raised.value.hint)) == (kind is TransientError)


def test_a_second_failed_record_is_not_taken_for_the_cause(play: Callable[..., None]) -> None:
    play(admin=admin(), producer=Scripted())
    clients = Clients(config())
    box = Outbox(config(), clients, Topics(clients, TopicsConfig()), {})
    message: Any = SimpleNamespace(topic=lambda: TOPIC.name)

    box._not_delivered(None, message)
    box._not_delivered(KafkaError(DENIED, "first"), message)
    box._not_delivered(KafkaError(KafkaError._PURGE_QUEUE, "second"), message)

    with pytest.raises(LogRefused, match="first"):
        box.raise_failure()


# --- the reader -----------------------------------------------------------------------------------


def reader(
    play: Callable[..., None], consumer: Scripted, group: str | None = "search", **script: object
) -> KafkaReader:
    play(admin=admin(**script), consumer=consumer)
    return KafkaReader(config(), Clients(config()), [TOPIC.name], group, "cdc.shop.search")


def at(offset: int, code: int | None = None) -> TopicPartition:
    place: Any = TopicPartition(TOPIC.name, 0, offset)
    error = None if code is None else KafkaError(code, "as scripted")
    return SimpleNamespace(topic=place.topic, partition=0, offset=offset, error=error)  # type: ignore[return-value]


def stored(offset: int) -> Any:
    return SimpleNamespace(topic=TOPIC.name, partition=0, offset=offset)


def test_a_reader_that_was_closed_reads_nothing(play: Callable[..., None]) -> None:
    one = reader(play, Scripted())
    one.close()

    with pytest.raises(RuntimeError, match="closed"):
        one.poll(1, 0.0)


def test_only_topics_that_are_read_can_be_sought(play: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="topic other is not read here"):
        reader(play, Scripted()).seek({Partition("other", 0): 1})


@pytest.mark.parametrize(
    "settling",
    [failure(KafkaError.REBALANCE_IN_PROGRESS), [at(8, KafkaError.ILLEGAL_GENERATION)]],
)
def test_a_commit_waits_while_the_group_is_rearranged(
    play: Callable[..., None], settling: object
) -> None:
    consumer = Scripted(committed=[at(-1)], commit=(settling, [at(8)]))
    one = reader(play, consumer)
    one._on_assign(consumer, [at(-1)])  # type: ignore[arg-type]

    one.commit([stored(7)])

    assert [name for name, _ in consumer.calls if name in {"commit", "poll"}] == [
        "commit", "poll", "commit",
    ]  # fmt: skip


def test_a_group_that_does_not_settle_is_not_waited_for_for_ever(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc.logs.kafka.reader._COMMIT_S", 0.0)
    consumer = Scripted(committed=[at(-1)], commit=failure(KafkaError.REBALANCE_IN_PROGRESS))
    one = reader(play, consumer)
    one._on_assign(consumer, [at(-1)])  # type: ignore[arg-type]

    with pytest.raises(TransientError, match="does not settle"):
        one.commit([stored(7)])


@pytest.mark.parametrize(
    "answer",
    [
        failure(KafkaError.GROUP_AUTHORIZATION_FAILED),
        [at(8, KafkaError.GROUP_AUTHORIZATION_FAILED)],
    ],
)
def test_a_commit_that_is_refused_says_what_is_missing(
    play: Callable[..., None], answer: object
) -> None:
    consumer = Scripted(committed=[at(-1)], commit=answer)
    one = reader(play, consumer)
    one._on_assign(consumer, [at(-1)])  # type: ignore[arg-type]

    with pytest.raises(LogRefused, match="committing offsets"):
        one.commit([stored(7)])


def test_records_of_partitions_that_others_have_now_are_not_committed(
    play: Callable[..., None],
) -> None:
    consumer = Scripted()
    one = reader(play, consumer)

    one.commit([stored(7)])

    assert "commit" not in [name for name, _ in consumer.calls]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"committed": failure(codes.TIMED_OUT)}, "taking over partitions"),
        ({"incremental_unassign": failure(codes.TIMED_OUT)}, "giving up partitions"),
    ],
)
def test_what_fails_while_partitions_move_is_raised_by_the_next_poll(
    play: Callable[..., None], script: dict[str, object], words: str
) -> None:
    consumer = Scripted(**script)
    one = reader(play, consumer)

    move: Any = one._on_assign if "committed" in script else one._on_revoke
    move(consumer, [at(-1)])

    with pytest.raises(TransientError, match=words):
        one.poll(1, 0.0)


def test_partitions_that_come_while_it_pauses_are_paused_too(play: Callable[..., None]) -> None:
    consumer = Scripted(committed=[at(4)])
    one = reader(play, consumer)
    one._paused = True

    one._on_assign(consumer, [at(-1)])  # type: ignore[arg-type]

    assert [name for name, _ in consumer.calls][-2:] == ["incremental_assign", "pause"]
    assert one._next == {PLACE: 4}


def test_a_group_that_seeks_the_beginning_passes_over_what_it_committed(
    play: Callable[..., None],
) -> None:
    consumer = Scripted(committed=[at(4)])
    one = reader(play, consumer)
    one.seek("beginning")

    one._on_assign(consumer, [at(-1)])  # type: ignore[arg-type]

    name, (partitions,) = consumer.calls[-1]
    begun: Any = partitions
    assert name == "incremental_assign"
    assert [(TOPIC.name, OFFSET_BEGINNING)] == [(each.topic, each.offset) for each in begun]


def test_a_reader_without_records_finds_out_whether_brokers_are_there(
    play: Callable[..., None],
) -> None:
    consumer = Scripted(list_topics=(None, failure(codes.TIMED_OUT)))
    one = reader(play, consumer)
    one._reasons.down = True

    answered = one.poll(1, 0.0)
    was_down = one._reasons.down
    one._reasons.down = True

    assert (list(answered), was_down) == ([], False)
    with pytest.raises(TransientError, match="reading failed"):
        one.poll(1, 0.0)


def test_committed_offsets_that_cannot_be_read_say_so(play: Callable[..., None]) -> None:
    metadata = SimpleNamespace(topics={TOPIC.name: SimpleNamespace(partitions=[0], error=None)})
    one = reader(
        play,
        Scripted(committed=failure(KafkaError.GROUP_AUTHORIZATION_FAILED)),
        list_topics=metadata,
    )

    with pytest.raises(LogRefused, match="reading committed offsets"):
        one.positions()


class Read:
    """A message of a topic that is read, or an error in place of one."""

    def __init__(self, offset: int, error: KafkaError | None = None) -> None:
        self._offset, self._error = offset, error

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return TOPIC.name

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


def test_what_came_with_a_record_is_there_for_the_next_poll(play: Callable[..., None]) -> None:
    consumer = Scripted(poll=Read(7), consume=([Read(8)],))
    one = reader(play, consumer)

    first = one.poll(2, 0.0)
    one._stash.extend(first)
    again = [one.poll(1, 0.0), one.poll(1, 0.0)]

    assert [[stored.offset for stored in polled] for polled in again] == [[7], [8]]
    assert [name for name, _ in consumer.calls].count("poll") == 1


def test_a_topic_that_may_not_be_read_is_refused_by_name(play: Callable[..., None]) -> None:
    denied = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "as scripted")
    one = reader(play, Scripted(poll=Read(0, denied)))

    with pytest.raises(LogRefused, match=f"reading topic {TOPIC.name}"):
        one.poll(1, 0.0)


def test_a_partition_without_a_committed_offset_is_where_it_begins(
    play: Callable[..., None],
) -> None:
    def begins(asked: Any, **options: object) -> dict[TopicPartition, Answer]:
        return {place: Answer(SimpleNamespace(offset=3)) for place in asked}

    metadata = SimpleNamespace(topics={TOPIC.name: SimpleNamespace(partitions=[0], error=None)})
    one = reader(play, Scripted(committed=[at(-1001)]), list_topics=metadata, list_offsets=begins)

    assert one.positions() == {PLACE: 3}
