"""A Kafka is shared: what is shown of it is the pipeline's own."""

import secrets
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from cdc.config import read
from cdc.registry import Parts
from tests.lab.kafka import KafkaServer

pytestmark = pytest.mark.kafka

CONFIG = """
name: {pipeline}
state_dir: {folder}/state
log:
  type: kafka
  bootstrap_servers: {servers}
sources:
  shop:
    type: postgres
    url: postgresql://127.0.0.1/shop
    topic_prefix: {prefix}shop
    tables: [public.*]
sinks:
  other:
    type: blackhole
    topics: ["{prefix}legacy.*"]
"""


def test_topics_of_others_are_not_the_pipelines(
    kafka_server: KafkaServer, kafka_prefix: str, tmp_path: Path
) -> None:
    pipeline = f"p{secrets.token_hex(4)}"
    ours = [f"{kafka_prefix}shop.public.t", f"{kafka_prefix}legacy.t", f"__cdc.{pipeline}.schemas"]
    others = [f"{kafka_prefix}shops", f"{kafka_prefix}else", f"__cdc.{pipeline}2.schemas"]
    admin = AdminClient({"bootstrap.servers": kafka_server.bootstrap_servers})
    for answer in admin.create_topics([NewTopic(name, 1, 1) for name in ours + others]).values():
        answer.result()
    text = CONFIG.format(
        pipeline=pipeline,
        folder=tmp_path,
        servers=kafka_server.bootstrap_servers,
        prefix=kafka_prefix,
    )

    with closing(Parts(read(text, tmp_path / "cdc.yaml", only=()))) as parts:
        names = [info.name for info in parts.topics()]

    assert sorted(ours) == names
