"""What must hold before Kafka can be the log; asks, changes nothing."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AclOperation, ConfigResource, DescribeClusterResult

from cdc.errors import CdcError
from cdc.logs.kafka.client import REQUEST_S, Clients
from cdc.logs.kafka.config import Config
from cdc.logs.kafka.failures import kafka_error
from cdc.logs.kafka.topics import Topics
from cdc.protocols import Finding

_TRANSACTIONS_TOPIC: Final = "__transaction_state"
_REPLICAS: Final = "transaction.state.log.replication.factor"
_TIMEOUT: Final = "transaction.max.timeout.ms"


def findings(config: Config, clients: Clients) -> list[Finding]:
    """Every precondition that can be asked for, failed ones with the fix."""
    try:
        topics = Topics(clients, config.topics)
        topics.all(lambda _: False, min(REQUEST_S, config.open_timeout_s))
        cluster: DescribeClusterResult = topics.admin.describe_cluster(
            include_authorized_operations=True, request_timeout=REQUEST_S
        ).result(REQUEST_S + 1)
    except KafkaException as error:
        inner = clients.translated(kafka_error(error), "describing the cluster", topics.reasons)
        return [_failed("kafka-not-reachable", inner)]
    except CdcError as error:
        return [_failed("kafka-not-reachable", error)]
    brokers = len(cluster.nodes)
    found = [
        Finding(
            "ok",
            "kafka-reachable",
            "log.bootstrap_servers",
            f"Kafka at {config.bootstrap_servers} answers, with {brokers} brokers",
        ),
        _replication(config, brokers),
        *_rights(config, cluster),
    ]
    if config.delivery == "exactly_once":
        found += _transactions(config, topics, brokers, cluster.nodes[0].id)
    return found


def _failed(code: str, error: CdcError) -> Finding:
    return Finding("error", code, "log.bootstrap_servers", error.message, error.hint)


def _replication(config: Config, brokers: int) -> Finding:
    factor = config.topics.replication_factor
    subject = "log.topics.replication_factor"
    if factor is not None and factor > brokers:
        message = f"new topics want {factor} replicas, and there are {brokers} brokers"
        fix = f"Set log.topics.replication_factor to {brokers} or less, or add brokers."
        return Finding("error", "kafka-replication", subject, message, fix)
    wanted = "as many replicas as the cluster's default" if factor is None else f"{factor} replicas"
    return Finding("ok", "kafka-replication", subject, f"new topics get {wanted}")


def _rights(config: Config, cluster: DescribeClusterResult) -> list[Finding]:
    """Rights on the cluster; rights on single topics show only when they are used."""
    allowed = cluster.authorized_operations
    if not allowed:
        return []
    names = set(allowed)
    if not config.topics.create or names & {AclOperation.CREATE, AclOperation.ALL}:
        return [Finding("ok", "kafka-rights", "log", "this user's rights on the cluster suffice")]
    return [
        Finding(
            "warning",
            "kafka-rights",
            "log.topics.create",
            "this user may not create topics everywhere on the cluster",
            "Allow Create on the topics by their prefix, or create them and set "
            "log.topics.create to false.",
        )
    ]


def _transactions(config: Config, topics: Topics, brokers: int, broker: int) -> list[Finding]:
    subject = "log.delivery"
    try:
        settings = _broker_settings(topics, broker)
    except KafkaException as error:
        return [
            Finding(
                "warning",
                "kafka-transactions",
                subject,
                f"the brokers' settings cannot be read ({kafka_error(error).name()})",
                "Allow DescribeConfigs on the cluster to have them checked.",
            )
        ]
    found: list[Finding] = []
    longest_s = int(settings[_TIMEOUT]) / 1000
    if config.transaction_timeout_s > longest_s:
        message = (
            f"transactions may take {config.transaction_timeout_s:g} s, "
            f"but the brokers allow {longest_s:g} s"
        )
        fix = f"Set log.transaction_timeout_s to {longest_s:g} or less."
        found.append(
            Finding("error", "kafka-transactions", "log.transaction_timeout_s", message, fix)
        )
    replicas = int(settings[_REPLICAS])
    if replicas > brokers and topics.find(_TRANSACTIONS_TOPIC) is None:
        message = f"transactions need {replicas} brokers ({_REPLICAS}), and there are {brokers}"
        fix = f"Set {_REPLICAS}={brokers} on the brokers, or log.delivery to at_least_once."
        found.append(Finding("error", "kafka-transactions", subject, message, fix))
    ok = Finding("ok", "kafka-transactions", subject, "the cluster can run transactions")
    return found or [ok]


def _broker_settings(topics: Topics, broker: int) -> Mapping[str, str]:
    resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
    answers = topics.admin.describe_configs([resource], request_timeout=REQUEST_S)
    entries = answers[resource].result(REQUEST_S + 1)
    return {name: entry.value for name, entry in entries.items() if entry.value is not None}
