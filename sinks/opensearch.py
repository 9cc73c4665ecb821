"""Documents in OpenSearch indexes behind aliases, written by `_bulk` with external versions.

The store itself compares versions: what is not newer is answered with 409 and changes nothing.
A patch reads the document and writes the whole one at the patch's version, because an `_update`
has no external version; right as long as one worker at a time writes a document, as partitions do.
"""

import logging
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import urllib3
from opensearchpy import OpenSearch, exceptions
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from cdc.errors import CdcError, ConfigError, SchemaError, SinkRefused, TransientError
from cdc.protocols import (
    Delete,
    Document,
    Finding,
    Mutation,
    Patch,
    Rejected,
    SinkContext,
    Truncate,
    Upsert,
)
from cdc.schema import TableSchema
from cdc.secret import Secret
from sinks.opensearch_bulk import (
    Item,
    chunks,
    failure_of_request,
    held_version,
    reason_of_request,
    refusal,
    write_item,
)
from sinks.opensearch_index import alias_finding, make, mapping_behind, put_mapping
from sinks.opensearch_mapping import VERSION_FIELD, conflicts, flattened, properties

_SEARCH_STEP: Final = 1000
_META: Final = "cdc_truncates"
# What OpenSearch takes as the name of an index or alias, after lower-casing.
_NAME: Final = re.compile(r'[^-_+.\\/*?"<>|\s,#:][^\\/*?"<>|\s,#:]*')


class Config(BaseModel):
    """Settings of the opensearch sink."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Secret = Field(description="`https://host:9200`; several nodes separated by commas.")
    index: str = Field(
        min_length=1,
        description="The alias that readers search; `{table}` and `{schema}` name the table. "
        "The index behind it is `<alias>_v1`.",
    )
    username: str | None = Field(default=None, description="The user for basic authentication.")
    password: Secret | None = Field(default=None, description="The password of `username`.")
    mappings: dict[str, dict[str, JsonValue]] = Field(
        default={},
        description="Mappings of single fields, in place of what the column's type says.",
    )
    settings: dict[str, JsonValue] = Field(
        default={},
        description="Settings of indexes that the sink makes, such as `number_of_replicas`.",
    )
    refresh: Literal["false", "true", "wait_for"] = Field(
        default="false",
        description="When documents can be found: later, at once, or later and waited for.",
    )
    tombstone_s: int = Field(
        default=3600,
        gt=0,
        description="How long the version of a deleted document is remembered "
        "(`index.gc_deletes` of indexes that the sink makes).",
    )
    bulk_bytes_max: int = Field(
        default=5242880, gt=0, description="Size of one bulk request, in bytes."
    )
    busy_pause_s: float = Field(
        default=1.0,
        gt=0,
        description="How long to wait when the cluster says that it has too much work.",
    )
    timeout_s: float = Field(default=60.0, gt=0, description="How long to wait for an answer.")
    tls_mode: Literal["verify-full", "verify-ca", "require"] = Field(
        default="verify-full",
        description="With https, check certificate and host name, the certificate, or nothing.",
    )
    tls_ca_file: Path | None = Field(
        default=None, description="Certificates to trust with https; the system's if unset."
    )
    tls_cert_file: Path | None = Field(
        default=None, description="Our certificate, where one is asked for."
    )
    tls_key_file: Path | None = Field(default=None, description="The key of `tls_cert_file`.")


@dataclass(slots=True)
class _Known:
    """A document at one point of a batch; `document` None: not there.

    `deleted` tells whether it was there once, None while nobody has asked the store.
    """

    version: int
    document: Document | None
    deleted: bool | None


def create(config: Config, context: SinkContext) -> "OpenSearchSink":
    """The sink; connects at its first use."""
    del context
    return OpenSearchSink(config)


class OpenSearchSink:
    """One client. `_truncates` holds, per target, the version that all documents are newer than."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client: OpenSearch | None = None
        self._truncates: dict[str, int] = {}
        self._aliases: dict[str, str] = {}

    def check(self) -> list[Finding]:
        """Connection, and what is behind the alias."""
        try:
            with self._translated() as client:
                about = client.info()["version"]
                kind = str(about.get("distribution", "elasticsearch"))
                if kind != "opensearch":
                    message = f"this is {kind} {about['number']}"
                    return [Finding("error", "opensearch-kind", "url", message, "use its own sink")]
                message = f"answers, version {about['number']}"
                found = [Finding("ok", "opensearch-connection", "url", message)]
                if "{" not in self._config.index:
                    alias = self._config.index.lower()
                    found.append(alias_finding(client, alias, self._config.tombstone_s))
                return found
        except CdcError as error:
            return [Finding("error", "opensearch-connection", "url", error.message, error.hint)]

    def apply_schema(self, table: TableSchema) -> None:
        """Make the index and its alias, or add the columns that it lacks.

        SchemaError: a column's type does not fit the index, or two tables would share it.
        """
        alias = self._alias_of(table.qualified_name)
        wanted = properties(table, self._config.mappings)
        with self._translated() as client:
            mapping = mapping_behind(client, alias)
            if mapping is None:
                own = {"gc_deletes": f"{self._config.tombstone_s}s"}
                make(client, alias, wanted, {**own, **self._config.settings})
                mapping = mapping_behind(client, alias) or {}
            held = flattened(mapping.get("properties", {}))
            wrong = conflicts(wanted, held)
            if wrong:
                raise SchemaError(
                    f"{table.qualified_name} does not fit the index behind {alias}: "
                    + ", ".join(wrong),
                    hint="Exclude or rename these columns in the sink, or fill a new index.",
                )
            added = {name: content for name, content in wanted.items() if name not in held}
            if added:
                put_mapping(client, alias, {"properties": added})
            remembered = mapping.get("_meta", {}).get(_META, {})
            self._truncates[table.qualified_name] = int(remembered.get(table.qualified_name, -1))

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        """Bulk requests in order; a truncate waits for what is before it."""
        rejected: list[Rejected] = []
        with self._translated() as client:
            waiting: list[tuple[int, Mutation]] = []
            for index, mutation in enumerate(mutations):
                if isinstance(mutation.action, Truncate):
                    rejected += self._write_documents(client, waiting)
                    waiting = []
                    self._truncate(client, mutation.target, mutation.version)
                else:
                    waiting.append((index, mutation))
            rejected += self._write_documents(client, waiting)
        return sorted(rejected, key=lambda one: one.index)

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _alias_of(self, target: str) -> str:
        schema, _, table = target.partition(".")
        try:
            alias = self._config.index.format_map({"schema": schema, "table": table}).lower()
        except (KeyError, IndexError, ValueError, AttributeError):
            alias = ""
        if not _NAME.fullmatch(alias):
            raise ConfigError(
                f"the index {self._config.index!r} gives no name that OpenSearch takes",
                hint="Use lower-case letters, digits, - and _, and {table} or {schema}.",
            )
        others = [other for other, taken in self._aliases.items() if taken == alias]
        if others not in ([], [target]):
            raise SchemaError(
                f"{target} and {others[0]} would share the index {alias}",
                hint="Put {table} into the sink's `index`, or make a sink for each table.",
            )
        self._aliases[target] = alias
        return alias

    def _write_documents(
        self, client: OpenSearch, numbered: Sequence[tuple[int, Mutation]]
    ) -> list[Rejected]:
        newer = [(i, one) for i, one in numbered if one.version > self._truncated(one.target)]
        known = self._read_patched(client, [one for _, one in newer])
        rejected: list[Rejected] = []
        items: list[Item] = []
        for index, one in newer:
            try:
                item = self._item(client, index, one, known.get((one.target, one.id)))
            except (TypeError, ValueError) as error:
                # orjson names the type, never the value; ours say nothing about values.
                rejected.append(Rejected(index, str(error)))
                continue
            items += [item] if item is not None else []
        for chunk in chunks(items, self._config.bulk_bytes_max):
            rejected += self._send(client, chunk)
        return rejected

    def _truncated(self, target: str) -> int:
        if target not in self._truncates:
            raise SinkRefused(f"{target} is written before its structure is known")
        return self._truncates[target]

    def _read_patched(
        self, client: OpenSearch, mutations: Sequence[Mutation]
    ) -> dict[tuple[str, str], _Known]:
        """What is there of the documents that get a patch, read in real time."""
        patched = dict.fromkeys((m.target, m.id) for m in mutations if isinstance(m.action, Patch))
        if not patched:
            return {}
        wanted = [{"_index": self._aliases[target], "_id": id_} for target, id_ in patched]
        answers = client.mget(body={"docs": wanted})["docs"]
        return {key: _known(answer) for key, answer in zip(patched, answers, strict=True)}

    def _item(
        self, client: OpenSearch, index: int, mutation: Mutation, known: _Known | None
    ) -> Item | None:
        """The mutation's part of the bulk request, None when it changes nothing.

        `known` is kept up to date. Raises TypeError or ValueError for what cannot be written.
        """
        action, alias = mutation.action, self._aliases[mutation.target]
        if known is not None and mutation.version <= known.version:
            return None
        document: Document | None = None
        if isinstance(action, Upsert):
            document = action.document
        elif isinstance(action, Patch):
            assert known is not None
            if known.document is None and known.deleted is None:
                self._ask_deleted(client, alias, mutation.id, known)
                return self._item(client, index, mutation, known)
            if known.document is None:
                gone = "was deleted" if known.deleted else "is not in the store"
                raise ValueError(f"part of a document came, but the document {gone}")
            document = {**known.document, **action.fields}
        else:
            assert isinstance(action, Delete)
        item = write_item(index, alias, mutation.id, mutation.version, document)
        if known is not None:
            known.version, known.document, known.deleted = mutation.version, document, True
        return item

    def _ask_deleted(self, client: OpenSearch, alias: str, id_: str, known: _Known) -> None:
        """Find out whether a missing document was deleted, and at which version.

        A read cannot tell. A delete at the lowest version is refused where a newer one is
        remembered, and changes nothing that matters where none is.
        """
        version = held_version(*self._bulk(client, [write_item(0, alias, id_, 1, None)]))
        known.deleted = version is not None
        known.version = known.version if version is None else version

    def _send(self, client: OpenSearch, items: Sequence[Item]) -> list[Rejected]:
        try:
            answers = self._bulk(client, items)
        except exceptions.TransportError as error:
            if error.status_code not in (400, 413):
                raise
            if len(items) == 1:
                return [Rejected(items[0].index, reason_of_request(error))]
            # One of them makes the whole request unreadable or too large: find it.
            half = len(items) // 2
            return [*self._send(client, items[:half]), *self._send(client, items[half:])]
        reasons = [refusal(answer, self._config.busy_pause_s) for answer in answers]
        return [
            Rejected(item.index, reason)
            for item, reason in zip(items, reasons, strict=True)
            if reason is not None
        ]

    def _bulk(self, client: OpenSearch, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The answer for each item."""
        body = b"".join(item.lines for item in items)
        params = {
            "require_alias": "true",
            "refresh": self._config.refresh,
            "filter_path": "items.*.status,items.*.error",
        }
        return list(client.bulk(body=body, params=params)["items"])

    def _truncate(self, client: OpenSearch, target: str, version: int) -> None:
        """Remember the version first, so that what is removed cannot come back; then remove."""
        if version <= self._truncated(target):
            return
        alias = self._aliases[target]
        meta = (mapping_behind(client, alias) or {}).get("_meta", {})
        remembered = {**meta.get(_META, {}), target: version}
        put_mapping(client, alias, {"_meta": {**meta, _META: remembered}})
        self._truncates[target] = version
        older = {"query": {"range": {VERSION_FIELD: {"lt": version}}}, "_source": False}
        before: set[str] = set()
        while True:
            client.indices.refresh(index=alias)
            hits = client.search(index=alias, body={**older, "size": _SEARCH_STEP})["hits"]["hits"]
            ids = {str(hit["_id"]) for hit in hits}
            if not ids:
                return
            if ids <= before:
                raise TransientError(f"documents older than a truncate of {target} do not go away")
            self._send(client, [write_item(0, alias, id_, version, None) for id_ in ids])
            before = ids

    @contextmanager
    def _translated(self) -> Iterator[OpenSearch]:
        """The client, with its errors as ours; made afresh after one, with secrets read again."""
        if self._client is None:
            self._client = _client(self._config)
        try:
            yield self._client
        except exceptions.TransportError as error:
            self.close()
            raise failure_of_request(error, self._config.busy_pause_s) from error
        except (TransientError, SinkRefused):
            self.close()
            raise


def _client(config: Config) -> OpenSearch:
    urls = [url.strip() for url in config.url.reveal().split(",")]
    if not all(url.startswith(("http://", "https://")) for url in urls):
        raise ConfigError("the opensearch sink's url must begin with http:// or https://")
    options: dict[str, Any] = {"timeout": config.timeout_s, "max_retries": 0}
    if config.username is not None:
        password = config.password.reveal() if config.password else ""
        options["http_auth"] = (config.username, password)
    if urls[0].startswith("https://"):
        options["ssl_context"] = _tls(config)
    # The library logs each failure with a traceback, and bodies at debug; ours are raised.
    logging.getLogger("opensearch").setLevel(logging.CRITICAL)
    client = OpenSearch(urls, **options)
    if config.tls_mode == "verify-ca":
        # The library has no option for it beside a context.
        for connection in client.transport.connection_pool.connections:
            connection.pool.assert_hostname = False
    return client


def _tls(config: Config) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.tls_ca_file)
        context.check_hostname = config.tls_mode == "verify-full"
        if config.tls_mode == "require":
            context.verify_mode = ssl.CERT_NONE
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if config.tls_cert_file is not None:
            context.load_cert_chain(config.tls_cert_file, config.tls_key_file)
    except OSError as error:
        raise ConfigError(f"a TLS file of the opensearch sink cannot be used: {error}") from error
    return context


def _known(answer: Mapping[str, Any]) -> _Known:
    """From one answer of `_mget`. Raises SinkRefused when the index is gone."""
    if "error" in answer:
        refusal({"get": {"status": 404, "error": answer["error"]}}, 0.0)
    if not answer["found"]:
        return _Known(-1, None, None)
    document = {name: held for name, held in answer["_source"].items() if name != VERSION_FIELD}
    return _Known(int(answer["_version"]), document, deleted=False)
