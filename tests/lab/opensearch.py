"""A private OpenSearch: one real node from Maven's archive on a Java from a wheel."""

import json
import secrets
import shutil
import signal
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab import pins
from tests.lab.cache import filled
from tests.lab.identity import readable_tree, server_account
from tests.lab.java import TEST_FLAGS, common_flags, java_home
from tests.lab.maven import copy_artifact
from tests.lab.ports import HOST, start_on_free_ports
from tests.lab.process import Launch, RunFolder, ServerProcess

TREE = f"opensearch-{pins.OPENSEARCH}"
_ARTIFACT = f"org.opensearch.distribution.integ-test-zip:opensearch:{pins.OPENSEARCH}:zip"
# What a sink and its tests need. `analysis-common` needs locale data that the wheel's Java lacks.
_MODULES = (
    "ingest-common",
    "lang-painless",
    "mapper-extras",
    "parent-join",
    "reindex",
    "transport-netty4",
)
_HEAP = "-Xmx512m"
_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 5.0
_REQUEST_TIMEOUT_S = 30.0
_SETTINGS = {
    "node.name": "lab",
    "network.host": HOST,
    "discovery.type": "single-node",
    # The watermarks are per cent of the disk: a nearly full laptop must not make indexes read-only.
    "cluster.routing.allocation.disk.threshold_enabled": "false",
}


def opensearch_tree() -> Path:
    """Return the folder of OpenSearch with the modules that the lab uses, downloaded if need be.

    Raises Unavailable if it cannot be had.
    """
    return filled(TREE, _fill)


class OpenSearchServer:
    """One OpenSearch node; make it with `start`, end it with `close` or as a context manager.

    The text analysers are the built-in ones such as `standard`; there are none for a language.
    """

    version = pins.OPENSEARCH

    def __init__(
        self,
        folder: RunFolder,
        tree: Path,
        java: Path,
        ports: tuple[int, ...],
        settings: Mapping[str, str],
    ) -> None:
        """Start a node on two ports (HTTP, transport) in `folder`."""
        self.port, self._transport_port = ports
        self._folder = folder
        self._tree = tree
        self._java = java
        self._settings = dict(settings)
        # Tells this node from another one that answers on the same port.
        self._cluster_name = f"lab-{secrets.token_hex(6)}"
        self._process = self._launch()

    @classmethod
    def start(cls, settings: Mapping[str, str] | None = None) -> Self:
        """Return an empty node that answers; `settings` go over the defaults in opensearch.yml.

        Raises Unavailable if OpenSearch or Java cannot be had, LabError if it does not start.
        """
        tree, java = opensearch_tree(), java_home()
        folder = RunFolder("opensearch", server_account())
        try:
            tree = readable_tree(tree, folder.account, folder.path)
            java = readable_tree(java, folder.account, folder.path)
            return start_on_free_ports(
                2, lambda ports: cls(folder, tree, java, ports, settings or {})
            )
        except BaseException:
            folder.close()
            raise

    @property
    def folder(self) -> Path:
        """The server's own folder, which holds its log, configuration and data."""
        return self._folder.path

    @property
    def is_running(self) -> bool:
        """Whether the node runs."""
        return self._process.is_running

    @property
    def url(self) -> str:
        """The address of its REST interface, without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    def stop(self) -> None:
        """Stop the node in order and keep its data; does nothing if it is not running."""
        self._process.stop(timeout_s=_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the node as a crash does."""
        self._process.kill()

    def start_again(self) -> None:
        """Start a stopped or killed node on the same data and ports."""
        self._process = self._launch()

    def delete_indexes(self, prefix: str) -> None:
        """Delete all indexes whose names begin with `prefix`."""
        # One by one: deleting by pattern is forbidden unless the node is told otherwise.
        with urllib.request.urlopen(
            f"{self.url}/_cat/indices/{prefix}*?h=index&expand_wildcards=all",
            timeout=_REQUEST_TIMEOUT_S,
        ) as response:
            names = response.read().decode().split()
        for name in names:
            request = urllib.request.Request(f"{self.url}/{name}", method="DELETE")
            urllib.request.urlopen(request, timeout=_REQUEST_TIMEOUT_S).close()

    def close(self) -> None:
        """End the node and remove its folder; may be called twice."""
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
        conf = self._write_configuration()
        home = self._tree
        command = [str(self._java / "bin" / "java"), *TEST_FLAGS, _HEAP, *common_flags(self.folder)]
        command += [
            "--add-opens=java.base/java.nio=ALL-UNNAMED",
            f"-javaagent:{home}/agent/opensearch-agent.jar",
            "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
            f"-Dopensearch.path.home={home}",
            f"-Dopensearch.path.conf={conf}",
            "-Dopensearch.distribution.type=zip",
            "-cp",
            f"{home}/lib/*",
            "org.opensearch.bootstrap.OpenSearch",
        ]
        launch = Launch(
            name=f"OpenSearch {pins.OPENSEARCH}",
            command=command,
            probe=self._probe,
            timeout_s=_START_TIMEOUT_S,
            orphan_signal=signal.SIGKILL,
            hidden_prefixes=("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "OPENSEARCH_", "CLASSPATH"),
        )
        return ServerProcess(launch, self._folder)

    def _write_configuration(self) -> Path:
        conf = self.folder / "conf"
        conf.mkdir(exist_ok=True)
        # The node writes its key store here.
        self._folder.account.own(conf)
        own = {
            "cluster.name": self._cluster_name,
            "http.port": str(self.port),
            "transport.port": str(self._transport_port),
            "path.data": str(self.folder / "data"),
            "path.logs": str(self.folder / "logs"),
        }
        settings = _SETTINGS | own | self._settings
        # JSON strings are YAML strings.
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
        (conf / "opensearch.yml").write_text("".join(lines))
        shutil.copyfile(self._tree / "config" / "log4j2.properties", conf / "log4j2.properties")
        (conf / "log4j2.properties").chmod(0o644)
        return conf

    def _probe(self) -> str | None:
        try:
            with urllib.request.urlopen(
                f"{self.url}/_cluster/health", timeout=_PROBE_TIMEOUT_S
            ) as response:
                health = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return f"answers with status {error.code}"
        except OSError as error:
            return str(error)
        if health["cluster_name"] != self._cluster_name:
            return f"another cluster, {health['cluster_name']}, answers on port {self.port}"
        return None if health["status"] != "red" else "some index is not allocated yet"


def _fill(folder: Path) -> None:
    """Unpack the archive without its top folder, keeping only the modules in use."""
    archive_path = copy_artifact(_ARTIFACT, folder)
    with zipfile.ZipFile(archive_path) as archive:
        for member in archive.infolist():
            _, _, inner = member.filename.partition("/")
            parts = inner.split("/")
            is_unused_module = parts[0] == "modules" and len(parts) > 1 and parts[1] not in _MODULES
            if inner and not member.is_dir() and parts[0] != "jdk" and not is_unused_module:
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    archive_path.unlink()
    (folder / "plugins").mkdir(exist_ok=True)
