"""Every log keeps the contract; a log without a harness is a failure."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import pytest

import cdc.logs
from cdc.clock import SystemClock
from cdc.logs import embedded, kafka
from cdc.logs.memory import MemoryLog
from cdc.protocols import Log, LogContext
from cdc.testing.log_contract import LogContract
from cdc.testing.log_harness import LogHarness, logs_of

NO_ISOLATION = "without transactions, records are readable when they are written"


class MemoryHarness:
    prefix = "shop."
    patience_s = 5.0
    waivers: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._log = MemoryLog(SystemClock())

    def make(self) -> Log:
        return self._log


class EmbeddedHarness:
    prefix = "shop."
    patience_s = 10.0
    waivers: Mapping[str, str] = {
        "test_an_older_writer_is_fenced_and_leaves_nothing": (
            "a living process holds a lock that cannot be taken from it; see tests/unit"
        )
    }

    def __init__(self, folder: Path) -> None:
        self._context = LogContext("shop", folder)

    def make(self) -> Log:
        return embedded.create(embedded.Config(), self._context)


class KafkaHarness:
    patience_s = 30.0

    def __init__(self, servers: str, prefix: str, folder: Path, delivery: str) -> None:
        self.prefix = prefix
        self.waivers: Mapping[str, str] = {}
        if delivery == "at_least_once":
            self.waivers = {
                "test_nothing_is_visible_before_the_commit": NO_ISOLATION,
                "test_what_a_closed_writer_did_not_commit_is_gone": NO_ISOLATION,
                "test_an_older_writer_is_fenced_and_leaves_nothing": (
                    "only the source's lease keeps a second writer out"
                ),
            }
        self._config = kafka.Config.model_validate(
            {
                "bootstrap_servers": servers,
                "delivery": delivery,
                "metadata_refresh_s": 0.2,
                "topics": {"partitions": 2},
            }
        )
        self._context = LogContext(f"p{secrets.token_hex(4)}", folder)

    def make(self) -> Log:
        return kafka.create(self._config, self._context)


class TestMemory(LogContract):
    @pytest.fixture
    def harness(self) -> LogHarness:
        return MemoryHarness()


class TestEmbedded(LogContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> LogHarness:
        return EmbeddedHarness(tmp_path)


@pytest.mark.kafka
class TestKafka(LogContract):
    @pytest.fixture
    def harness(self, request: pytest.FixtureRequest, tmp_path: Path) -> LogHarness:
        return self.of("exactly_once", request, tmp_path)

    def of(self, delivery: str, request: pytest.FixtureRequest, folder: Path) -> LogHarness:
        servers = request.getfixturevalue("kafka_server").bootstrap_servers
        prefix = request.getfixturevalue("kafka_prefix")
        return KafkaHarness(servers, prefix, folder, delivery)


@pytest.mark.kafka
class TestKafkaAtLeastOnce(TestKafka):
    @pytest.fixture
    def harness(self, request: pytest.FixtureRequest, tmp_path: Path) -> LogHarness:
        return self.of("at_least_once", request, tmp_path)


def test_every_log_has_a_harness() -> None:
    found = logs_of(Path(cdc.logs.__file__).parent)

    # The memory log has no configuration of its own, and so no `create`.
    assert sorted(set(found) - {"memory"}) == ["embedded", "kafka"]
