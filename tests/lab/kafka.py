"""A private Kafka: one real broker in KRaft mode, from Maven jars on a Java from a wheel."""

import base64
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab import pins
from tests.lab.cache import filled
from tests.lab.errors import Unavailable
from tests.lab.identity import Account
from tests.lab.java import BENCH_FLAGS, TEST_FLAGS, common_flags, java_home
from tests.lab.maven import copy_with_dependencies
from tests.lab.ports import HOST, start_on_free_ports
from tests.lab.process import Launch, RunFolder, ServerProcess

JARS = f"kafka-{pins.KAFKA}"
SASL_USER = "tester"
_TEST_HEAP = "-Xmx384m"
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 2.0
_DELETE_TIMEOUT_S = 30.0
_PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": (
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT"
    ),
    "num.partitions": "1",
    # A topic that the product forgot to create must be seen, not made by the broker.
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.backoff.ms": "500",
    # After a kill the controller refuses the broker until its former session has run out.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    # Whoever comes without a name (the plain listener, the controller) may do everything; who logs
    # in on the second listener may do what access rules allow, which at first is nothing.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "sasl.enabled.mechanisms": "PLAIN",
}


def kafka_jars() -> Path:
    """Return the folder of the broker's jars, downloaded if need be.

    Raises Unavailable if they cannot be had.
    """
    artifacts = [
        f"org.apache.kafka:kafka_{pins.KAFKA_SCALA}:{pins.KAFKA}",
        f"org.slf4j:slf4j-simple:{pins.SLF4J_SIMPLE}",
    ]
    return filled(JARS, lambda folder: copy_with_dependencies(artifacts, folder))


class KafkaServer:
    """One Kafka broker; make it with `start`, end it with `close` or as a context manager.

    Topics are not created by themselves. `bootstrap_servers` needs no login and may do everything;
    `sasl_bootstrap_servers` needs SASL_PLAINTEXT and PLAIN with `SASL_USER` and `sasl_password`,
    who may do nothing until an access rule allows it.
    """

    version = pins.KAFKA

    def __init__(
        self,
        folder: RunFolder,
        ports: tuple[int, ...],
        settings: Mapping[str, str],
        *,
        bench: bool,
    ) -> None:
        """Start a broker on three ports (plain, with login, controller) in `folder`."""
        self.port, self.sasl_port, self._controller_port = ports
        self.sasl_password = secrets.token_hex(12)
        self._folder = folder
        self._settings = dict(settings)
        self._bench = bench
        self._cluster_id = _identifier()
        self._data_dir = folder.path / f"data-{self.port}"
        self._data_dir.mkdir()
        # What the format tool would write; with a fixed list of voters the broker accepts it.
        (self._data_dir / "meta.properties").write_text(
            f"version=1\ncluster.id={self._cluster_id}\nnode.id=1\ndirectory.id={_identifier()}\n"
        )
        self._process = self._launch()

    @classmethod
    def start(cls, settings: Mapping[str, str] | None = None, *, bench: bool = False) -> Self:
        """Return an empty broker that answers; `settings` go over the defaults.

        `bench` gives it 1 GB, G1 and all of Java's compilers instead of the quick start of tests.
        Raises Unavailable if Kafka, Java or the client cannot be had, LabError if it does not
        start.
        """
        _client()
        kafka_jars()
        java_home()
        folder = RunFolder("kafka", Account())
        try:
            return start_on_free_ports(
                3, lambda ports: cls(folder, ports, settings or {}, bench=bench)
            )
        except BaseException:
            folder.close()
            raise

    @property
    def folder(self) -> Path:
        """The server's own folder, which holds its log and data."""
        return self._folder.path

    @property
    def is_running(self) -> bool:
        """Whether the broker runs."""
        return self._process.is_running

    @property
    def pid(self) -> int:
        """The process number of the broker."""
        return self._process.pid

    @property
    def bootstrap_servers(self) -> str:
        """The address that needs no login."""
        return f"{HOST}:{self.port}"

    @property
    def sasl_bootstrap_servers(self) -> str:
        """The address that needs a login."""
        return f"{HOST}:{self.sasl_port}"

    @property
    def sasl_config(self) -> dict[str, str]:
        """What a librdkafka client needs to log in at the second address."""
        return {
            "bootstrap.servers": self.sasl_bootstrap_servers,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": SASL_USER,
            "sasl.password": self.sasl_password,
        }

    def stop(self) -> None:
        """Stop the broker in order and keep its data; does nothing if it is not running."""
        self._process.stop(timeout_s=_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the broker as a crash does."""
        self._process.kill()

    def start_again(self) -> None:
        """Start a stopped or killed broker on the same data and ports."""
        self._process = self._launch()

    def delete_topics(self, prefix: str) -> None:
        """Delete all topics whose names begin with `prefix`; the broker finishes it later."""
        admin_client, _ = _client()
        client = admin_client({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        topics = client.list_topics(timeout=_DELETE_TIMEOUT_S).topics
        names = [name for name in topics if name.startswith(prefix)]
        if names:
            for deletion in client.delete_topics(names).values():
                deletion.result(_DELETE_TIMEOUT_S)

    def close(self) -> None:
        """End the broker and remove its folder; may be called twice."""
        try:
            # Its data goes next: an orderly shutdown would only write what is then removed.
            self._process.kill()
        finally:
            self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _launch(self) -> ServerProcess:
        properties = self._folder.path / "server.properties"
        settings = _SETTINGS | self._addresses() | self._settings
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        flags = BENCH_FLAGS if self._bench else (*TEST_FLAGS, _TEST_HEAP)
        logging = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        command = [str(java_home() / "bin" / "java"), *flags, *common_flags(self.folder), logging]
        command += ["-cp", f"{kafka_jars()}/*", "kafka.Kafka", str(properties)]
        launch = Launch(
            name=f"Kafka {pins.KAFKA}",
            command=command,
            probe=self._probe,
            timeout_s=_START_TIMEOUT_S,
            orphan_signal=signal.SIGKILL,
            hidden_prefixes=("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "KAFKA_", "CLASSPATH"),
        )
        return ServerProcess(launch, self._folder)

    def _addresses(self) -> dict[str, str]:
        controller = f"{HOST}:{self._controller_port}"
        clients = f"PLAINTEXT://{self.bootstrap_servers},SASL://{self.sasl_bootstrap_servers}"
        login = f'{_PLAIN_LOGIN} required user_{SASL_USER}="{self.sasl_password}";'
        return {
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"{clients},CONTROLLER://{controller}",
            "advertised.listeners": clients,
            "listener.name.sasl.plain.sasl.jaas.config": login,
            "log.dirs": str(self._data_dir),
        }

    def _probe(self) -> str | None:
        admin_client, kafka_exception = _client()
        client = admin_client(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "log_level": 0,
                "error_cb": lambda _: None,
            }
        )
        try:
            metadata = client.list_topics(timeout=_PROBE_TIMEOUT_S)
        except kafka_exception as error:
            return str(error)
        if metadata.cluster_id != self._cluster_id:
            return f"another cluster, {metadata.cluster_id}, answers on port {self.port}"
        return None if metadata.brokers else "the cluster has no broker yet"


def _client() -> tuple[Any, type[Exception]]:
    """Return librdkafka's admin client and its exception; the module must import without them."""
    try:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient
    except ImportError:
        raise Unavailable(
            "the client confluent-kafka is not installed", "pip install 'tidewire[kafka]'"
        ) from None
    return AdminClient, KafkaException


def _identifier() -> str:
    """Return 16 random bytes as Kafka's Uuid writes them: 22 characters, no leading dash."""
    while (text := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode()[:22]).startswith("-"):
        continue
    return text
