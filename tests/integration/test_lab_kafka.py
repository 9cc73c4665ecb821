"""The lab's Kafka: what tests of the rest may rely on."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer, admin

from tests.lab import KafkaServer
from tests.lab.kafka import SASL_USER

pytestmark = pytest.mark.kafka
_TIMEOUT_S = 30.0


def _create_topic(server: KafkaServer, topic: str) -> admin.AdminClient:
    client = admin.AdminClient({"bootstrap.servers": server.bootstrap_servers})
    client.create_topics([admin.NewTopic(topic, 1, 1)])[topic].result(_TIMEOUT_S)
    return client


def _deliver(config: dict[str, str], topic: str) -> KafkaError | None:
    """Return the error of one delivery, None if it went well."""
    errors: list[KafkaError | None] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        errors.append(error)

    producer = Producer({**config, "message.timeout.ms": int(_TIMEOUT_S * 1000)})
    producer.produce(topic, b"value", on_delivery=note)
    assert producer.flush(_TIMEOUT_S) == 0
    return errors[0]


def test_login_may_write_once_a_rule_allows_it(
    kafka_server: KafkaServer, kafka_prefix: str
) -> None:
    topic = f"{kafka_prefix}guarded"
    client = _create_topic(kafka_server, topic)
    rule = admin.AclBinding(
        admin.ResourceType.TOPIC,
        topic,
        admin.ResourcePatternType.LITERAL,
        f"User:{SASL_USER}",
        "*",
        admin.AclOperation.WRITE,
        admin.AclPermissionType.ALLOW,
    )

    refusal = _deliver(kafka_server.sasl_config, topic)
    client.create_acls([rule])[rule].result(_TIMEOUT_S)

    assert refusal is not None
    assert refusal.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert _deliver(kafka_server.sasl_config, topic) is None


def test_wrong_password_is_refused(kafka_server: KafkaServer) -> None:
    errors: list[int] = []
    client = admin.AdminClient(
        {
            **kafka_server.sasl_config,
            "sasl.password": "wrong",
            "log_level": 0,
        },
        error_cb=lambda error: errors.append(error.code()),
    )

    with pytest.raises(KafkaException, match="_TRANSPORT"):
        client.list_topics(timeout=2)

    client.poll(0)
    assert KafkaError._AUTHENTICATION in errors


def test_unknown_topic_is_not_created_by_writing(
    kafka_server: KafkaServer, kafka_prefix: str
) -> None:
    topic = f"{kafka_prefix}absent"
    config = {
        "bootstrap.servers": kafka_server.bootstrap_servers,
        "topic.metadata.propagation.max.ms": "0",
        "log_level": "0",
    }

    error = _deliver(config, topic)

    assert error is not None
    assert error.code() in {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART}


@pytest.mark.slow
def test_killed_broker_keeps_its_topics_and_address() -> None:
    with KafkaServer.start() as server:
        address = server.bootstrap_servers
        _create_topic(server, "kept")
        assert _deliver({"bootstrap.servers": address}, "kept") is None

        server.kill()
        assert not server.is_running
        server.start_again()

        assert address == server.bootstrap_servers
        client = admin.AdminClient({"bootstrap.servers": address})
        assert "kept" in client.list_topics(timeout=_TIMEOUT_S).topics
