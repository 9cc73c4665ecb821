"""A private Debezium: Kafka Connect standalone with its Postgres connector, from Maven archives."""

import json
import signal
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab import pins
from tests.lab.cache import filled
from tests.lab.errors import LabError
from tests.lab.identity import Account
from tests.lab.java import BENCH_FLAGS, TEST_FLAGS, common_flags, java_home
from tests.lab.maven import copy_artifact, copy_with_dependencies
from tests.lab.ports import HOST, start_on_free_ports
from tests.lab.process import Launch, RunFolder, ServerProcess

CONNECT_JARS = f"kafka-connect-{pins.KAFKA}"
PLUGIN = f"debezium-postgres-{pins.DEBEZIUM}"
_ARTIFACT = f"io.debezium:debezium-connector-postgres:{pins.DEBEZIUM}:tar.gz:plugin"
_HEAP = "-Xmx768m"
_START_TIMEOUT_S = 240.0
_REQUEST_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 5.0
_JSON = "org.apache.kafka.connect.json.JsonConverter"


def connect_jars() -> Path:
    """Return the folder of Kafka Connect's jars, downloaded if need be.

    Raises Unavailable if they cannot be had.
    """
    artifacts = [
        f"org.apache.kafka:connect-runtime:{pins.KAFKA}",
        f"org.slf4j:slf4j-simple:{pins.SLF4J_SIMPLE}",
    ]
    return filled(CONNECT_JARS, lambda folder: copy_with_dependencies(artifacts, folder))


def debezium_plugin() -> Path:
    """Return the folder that holds Debezium's Postgres connector, downloaded if need be.

    Raises Unavailable if it cannot be had.
    """
    return filled(PLUGIN, _unpack)


def _unpack(folder: Path) -> None:
    archive = copy_artifact(_ARTIFACT, folder)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()


class DebeziumServer:
    """One Connect worker without connectors; make it with `start`, end it with `close`.

    Keys and values are JSON with inline schemas. It writes to the broker at `bootstrap_servers`,
    which must create topics by itself.
    """

    version = pins.DEBEZIUM

    def __init__(
        self,
        folder: RunFolder,
        ports: tuple[int, ...],
        bootstrap_servers: str,
        settings: Mapping[str, str] | None = None,
        *,
        bench: bool = False,
    ) -> None:
        """Start a worker whose REST interface is on the one port, in `folder`."""
        (self.port,) = ports
        self._folder = folder
        self._bootstrap_servers = bootstrap_servers
        self._settings = dict(settings or {})
        self._bench = bench
        self._process = self._launch()

    @classmethod
    def start(
        cls,
        bootstrap_servers: str,
        settings: Mapping[str, str] | None = None,
        *,
        bench: bool = False,
    ) -> Self:
        """Return a worker that answers; `settings` of the worker go over the defaults.

        `bench` gives it 1 GB, G1 and all of Java's compilers instead of the quick start of tests.
        Raises Unavailable if Connect, Debezium or Java cannot be had, LabError if it does not
        start.
        """
        connect_jars()
        debezium_plugin()
        java_home()
        folder = RunFolder("debezium", Account())
        try:
            return start_on_free_ports(
                1, lambda ports: cls(folder, ports, bootstrap_servers, settings, bench=bench)
            )
        except BaseException:
            folder.close()
            raise

    @property
    def pid(self) -> int:
        """The process number of the worker."""
        return self._process.pid

    @property
    def url(self) -> str:
        """The address of its REST interface, without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    def connect(self, name: str, config: Mapping[str, str]) -> None:
        """Start a connector `name`; its offsets are its own as long as the name is new."""
        self._request("POST", "/connectors", {"name": name, "config": dict(config)})

    def failure(self, name: str) -> str | None:
        """Why the connector or its task failed, None while it starts or runs."""
        status = self._request("GET", f"/connectors/{name}/status", None)
        for part in (status["connector"], *status["tasks"]):
            if part["state"] == "FAILED":
                return str(part["trace"])
        return None

    def disconnect(self, name: str) -> None:
        """End a connector."""
        self._request("DELETE", f"/connectors/{name}", None)

    def close(self) -> None:
        """End the worker and remove its folder; may be called twice."""
        try:
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

    def _request(self, method: str, path: str, content: object) -> Any:
        request = urllib.request.Request(
            self.url + path,
            None if content is None else json.dumps(content).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_TIMEOUT_S) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise LabError(f"Connect refused {method} {path}: {error.read()!r}") from None
        return json.loads(text) if text else None

    def _launch(self) -> ServerProcess:
        properties = self._folder.path / "worker.properties"
        settings = {
            "bootstrap.servers": self._bootstrap_servers,
            "key.converter": _JSON,
            "value.converter": _JSON,
            "offset.storage.file.filename": str(self._folder.path / "offsets"),
            "offset.flush.interval.ms": "1000",
            "plugin.path": str(debezium_plugin()),
            # Reading the list in each archive takes a second, looking at every class fifteen.
            "plugin.discovery": "service_load",
            "listeners": self.url,
            **self._settings,
        }
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        logging = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        flags = BENCH_FLAGS if self._bench else (*TEST_FLAGS, _HEAP)
        command = [str(java_home() / "bin" / "java"), *flags]
        command += [*common_flags(self._folder.path), logging, "-cp", f"{connect_jars()}/*"]
        command += ["org.apache.kafka.connect.cli.ConnectStandalone", str(properties)]
        launch = Launch(
            name=f"Debezium {pins.DEBEZIUM}",
            command=command,
            probe=self._probe,
            timeout_s=_START_TIMEOUT_S,
            orphan_signal=signal.SIGKILL,
            hidden_prefixes=("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "KAFKA_", "CLASSPATH"),
        )
        return ServerProcess(launch, self._folder)

    def _probe(self) -> str | None:
        try:
            with urllib.request.urlopen(self.url, timeout=_PROBE_TIMEOUT_S):
                return None
        except OSError as error:
            return str(error)
