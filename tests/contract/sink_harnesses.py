"""How each sink's store is made empty and looked into without the sink."""

import json
import sqlite3
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import redis

from cdc.protocols import Document, Sink, SinkContext
from cdc.secret import Secret
from cdc.testing.sink_histories import TABLE
from sinks import blackhole, opensearch, sqlite, stdout
from sinks import redis as redis_sink

NO_STORE = "it keeps no documents, so there is nothing that a version could protect"
_STATELESS_CLAIMS = (
    "test_a_check_changes_nothing",
    "test_an_upsert_replaces_the_whole_document",
    "test_values_come_back_exactly",
    "test_nested_values_come_back_exactly",
    "test_null_fields_stay_null",
    "test_an_older_upsert_changes_nothing",
    "test_the_same_version_again_changes_nothing",
    "test_versions_beyond_32_bits_are_compared_exactly",
    "test_a_patch_changes_only_its_fields",
    "test_an_older_patch_changes_nothing",
    "test_a_patch_of_an_unknown_document_is_rejected",
    "test_an_upsert_after_a_rejected_patch_is_taken",
    "test_a_patch_after_a_delete_is_rejected",
    "test_a_patch_older_than_a_delete_changes_nothing",
    "test_a_deleted_document_is_gone",
    "test_an_older_upsert_does_not_resurrect",
    "test_a_newer_upsert_after_a_delete_is_taken",
    "test_a_truncate_removes_what_is_older",
    "test_a_truncate_is_remembered",
    "test_a_truncate_removes_many",
    "test_an_older_truncate_changes_nothing",
    "test_mutations_of_one_write_keep_their_order",
    "test_a_column_can_be_added",
    "test_odd_ids_name_their_own_document",
    "test_any_order_and_repetition_comes_to_the_same",
    "test_any_replay_comes_to_the_same",
)
STATELESS: Mapping[str, str] = dict.fromkeys(_STATELESS_CLAIMS, NO_STORE)


def context(folder: Path, **templates: str | None) -> SinkContext:
    """A sink's surroundings in a test; `templates` by table, `*` is not needed for None."""
    return SinkContext("shop", "search", folder, dict(templates))


@dataclass
class SqliteHarness:
    """Reads the file with plain SQL."""

    folder: Path
    waivers: Mapping[str, str] = field(default_factory=dict)
    examples: int = 60

    @property
    def path(self) -> Path:
        return self.folder / "documents.sqlite"

    def reset(self) -> None:
        for path in self.folder.glob("documents.sqlite*"):
            path.unlink()

    def make(self) -> Sink:
        return sqlite.create(sqlite.Config(path=self.path), context(self.folder))

    def documents(self, target: str) -> Mapping[str, Document]:
        sql = "SELECT id, document FROM search WHERE target = ?"
        with closing(sqlite3.connect(self.path)) as file:
            return {id_: json.loads(text) for id_, text in file.execute(sql, (target,))}


@dataclass
class RedisHarness:
    """Reads keys as an application would: GET or HGETALL of `<table>:<id>`."""

    url: str
    folder: Path
    value: Literal["json", "hash"]
    waivers: Mapping[str, str] = field(default_factory=dict)
    examples: int = 40

    def __post_init__(self) -> None:
        if self.value == "hash":
            # A hash has text only: what is no text is JSON, and null is an absent field.
            self.waivers = {
                "test_nested_values_come_back_exactly": "a hash field does not say whether it "
                "holds text or JSON; tests/integration/test_sink_redis.py shows the form"
            }

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def reset(self) -> None:
        with self.client() as client:
            client.flushdb()

    def make(self) -> Sink:
        config = redis_sink.Config(url=Secret(self.url), value=self.value)
        return redis_sink.create(config, context(self.folder))

    def documents(self, target: str) -> Mapping[str, Document]:
        with self.client() as client:
            keys = [key.decode() for key in cast("list[bytes]", client.keys(f"{target}:*"))]
            return {key.removeprefix(f"{target}:"): self._read(client, key) for key in keys}

    def _read(self, client: redis.Redis, key: str) -> Document:
        if self.value == "json":
            return cast("Document", json.loads(cast("bytes", client.get(key))))
        fields = cast("dict[bytes, bytes]", client.hgetall(key))
        read = {
            name.decode(): text.decode() if name in (b"name", b"colour") else json.loads(text)
            for name, text in fields.items()
        }
        return {**{column.name: None for column in TABLE.columns}, **read}


@dataclass
class OpenSearchHarness:
    """Reads by search, after a refresh, with plain HTTP."""

    url: str
    prefix: str
    folder: Path
    waivers: Mapping[str, str] = field(default_factory=dict)
    examples: int = 8

    @property
    def alias(self) -> str:
        return f"{self.prefix}products"

    def reset(self) -> None:
        found = self.ask("GET", f"/_cat/indices/{self.alias}*?format=json")
        for index in found:
            self.ask("DELETE", f"/{index['index']}")

    def make(self) -> Sink:
        config = opensearch.Config(url=Secret(self.url), index=self.alias)
        return opensearch.create(config, context(self.folder))

    def documents(self, target: str) -> Mapping[str, Document]:
        assert target == TABLE.qualified_name
        self.ask("POST", f"/{self.alias}/_refresh")
        hits = self.ask("GET", f"/{self.alias}/_search?size=10000&version=true")["hits"]["hits"]
        for hit in hits:
            assert hit["_version"] == hit["_source"].pop("_cdc_version")
        return {hit["_id"]: hit["_source"] for hit in hits}

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer of the server, parsed."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read() or b"null")


@dataclass
class StdoutHarness:
    """Writes to a file; its lines have tests of their own."""

    folder: Path
    waivers: Mapping[str, str] = field(default_factory=lambda: STATELESS)
    examples: int = 1

    def reset(self) -> None:
        (self.folder / "lines").unlink(missing_ok=True)

    def make(self) -> Sink:
        return stdout.create(stdout.Config(path=self.folder / "lines"), context(self.folder))

    def documents(self, target: str) -> Mapping[str, Document]:
        raise NotImplementedError(target)


@dataclass
class BlackholeHarness:
    """Nothing to look into."""

    folder: Path
    waivers: Mapping[str, str] = field(default_factory=lambda: STATELESS)
    examples: int = 1

    def reset(self) -> None:
        """Nothing to empty."""

    def make(self) -> Sink:
        return blackhole.create(blackhole.Config(), context(self.folder))

    def documents(self, target: str) -> Mapping[str, Document]:
        raise NotImplementedError(target)
