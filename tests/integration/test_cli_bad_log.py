"""A Kafka that cannot be reached, or does not know us: named with the remedy, nothing lost."""

import json
from pathlib import Path

import pytest

from tests.integration.command_line import Folder
from tests.lab.kafka import KafkaServer
from tests.lab.ports import free_ports
from tests.lab.postgres_database import PostgresDatabase

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


def pipeline(folder: Path, url: str, log: str) -> Folder:
    made = Folder(folder)
    made.write(
        f"name: shop\nlog: {log}\n"
        "sources:\n"
        f"  shop: {{type: postgres, url: '{url}', tables: [public.products]}}\n"
        "sinks:\n"
        "  out: {type: stdout, from: [public.products], path: out}\n"
    )
    return made


@pytest.fixture
def url(postgres_database: PostgresDatabase) -> str:
    postgres_database.execute(
        "CREATE TABLE products (id int PRIMARY KEY)", "INSERT INTO products VALUES (1), (2)"
    )
    return postgres_database.url


def test_an_unreachable_kafka_is_tried_again_and_check_says_so(tmp_path: Path, url: str) -> None:
    (port,) = free_ports(1)
    folder = pipeline(
        tmp_path,
        url,
        f"{{type: kafka, bootstrap_servers: '127.0.0.1:{port}', open_timeout_s: 2}}",
    )

    check = folder.cdc("check")
    with folder.start() as daemon:
        worker = daemon.until_phase("shop", "retrying")
        daemon.stop()

    assert check.code == 1
    assert f"127.0.0.1:{port}" in check.out
    assert worker["last_error"]["retriable"]
    assert f"127.0.0.1:{port}" in worker["last_error"]["message"]
    assert "Traceback" not in check.out + check.err + daemon.journal.read_text()


def test_a_kafka_that_does_not_know_us_is_named_and_the_password_is_not_shown(
    tmp_path: Path, url: str, kafka_server: KafkaServer
) -> None:
    client = {**kafka_server.sasl_config, "sasl.password": "hunter2"}
    log = {
        "type": "kafka",
        "bootstrap_servers": kafka_server.sasl_bootstrap_servers,
        "client": {key: value for key, value in client.items() if not key.startswith("bootstrap")},
    }
    folder = pipeline(tmp_path, url, json.dumps(log))

    check = folder.cdc("check")
    run = folder.cdc("run", "--until-current")

    assert check.code == 1
    assert run.code == 1
    assert 'source "shop" failed' in run.err or 'sink "out" failed' in run.err
    assert "hunter2" not in check.out + check.err + run.out + run.err
    assert "Traceback" not in check.out + check.err + run.out + run.err


def test_the_whole_way_through_kafka(
    tmp_path: Path, url: str, kafka_server: KafkaServer, kafka_prefix: str
) -> None:
    log = {
        "type": "kafka",
        "bootstrap_servers": kafka_server.bootstrap_servers,
        "topics": {"partitions": 2, "replication_factor": 1},
    }
    folder = pipeline(tmp_path, url, json.dumps(log))
    name = kafka_prefix.lower().replace("-", "_").replace(".", "_")
    text = (tmp_path / "cdc.yaml").read_text()
    folder.write(
        text.replace("name: shop", f"name: {name.strip('_')}").replace(
            "{type: postgres", f"{{type: postgres, topic_prefix: '{kafka_prefix}shop'"
        )
    )

    result = folder.cdc("run", "--until-current")
    topics = json.loads(folder.cdc("topics", "--json").out)

    assert result.code == 0, result.err
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == ["1", "2"]
    # Kafka counts offsets, and the end of each transaction has one; both keys may be in either
    # partition, and the snapshot in one transaction or two.
    (records,) = [topic["records"] for topic in topics if "products" in topic["name"]]
    assert 2 < records <= 4
