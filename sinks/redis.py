"""Documents as plain JSON strings or hashes in Redis or Valkey.

Beside each value key there is a version key, written by the same Lua script: `L<version>` for a
document, `E<version>` for one without fields (a hash that Redis cannot hold), `D<version>` for a
deleted one until `tombstone_s` is over. `docs/sinks/redis.md` says what readers see.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import quote

import redis
from pydantic import BaseModel, ConfigDict, Field
from redis.backoff import NoBackoff
from redis.retry import Retry

from cdc.errors import (
    CdcError,
    ConfigError,
    SchemaError,
    SinkRefused,
    TransientError,
)
from cdc.protocols import (
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
from sinks.redis_server import (
    BASE_CHANGED,
    OUTCOMES,
    TRUNCATE,
    VALUE_BYTES_MAX,
    WRITE,
    Command,
    chunks,
    server_findings,
    translation,
    values,
)

_SCAN_STEP: Final = 1000


class Config(BaseModel):
    """Settings of the redis sink."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Secret = Field(
        description="`redis://host:6379/0`, `rediss://` for TLS, or `unix:///path?db=0`."
    )
    username: str | None = Field(default=None, description="The user, unless the url names it.")
    password: Secret | None = Field(
        default=None, description="The password, unless the url holds it."
    )
    value: Literal["json", "hash"] = Field(
        default="json",
        description="`json`: a string that holds the document; `hash`: one field of a hash for "
        "each field that is not null.",
    )
    ttl_s: float | None = Field(
        default=None,
        gt=0,
        description="How long a document lives after its last change; for ever if unset.",
    )
    tombstone_s: float = Field(
        default=86400.0,
        gt=0,
        description="How long the version of a deleted document is remembered, "
        "so that an older change cannot bring it back.",
    )
    internal_prefix: str = Field(
        default="cdc", min_length=1, description="The beginning of the keys that hold versions."
    )
    batch_bytes_max: int = Field(
        default=4194304,
        gt=0,
        description="The most that is sent before the answers are read, in bytes.",
    )
    replicas_min: int = Field(
        default=0,
        ge=0,
        description="How many replicas must have a batch before it counts as written.",
    )
    timeout_s: float = Field(default=10.0, gt=0, description="How long to wait for an answer.")
    tls_ca_file: Path | None = Field(
        default=None, description="Certificates to trust with `rediss://`; the system's if unset."
    )
    tls_cert_file: Path | None = Field(
        default=None, description="Our certificate, where one is asked for."
    )
    tls_key_file: Path | None = Field(default=None, description="The key of `tls_cert_file`.")
    tls_mode: Literal["verify-full", "verify-ca", "require"] = Field(
        default="verify-full",
        description="With `rediss://`: check certificate and host name, the certificate only, "
        "or nothing.",
    )


@dataclass(slots=True)
class _Known:
    """A JSON document at one point of a batch; `document` None: not there, for the `reason`."""

    version: int
    document: Document | None
    reason: str


def create(config: Config, context: SinkContext) -> "RedisSink":
    """The sink; connects at its first use."""
    return RedisSink(config, context)


class RedisSink:
    """One connection. A batch is sent in pipelines of script calls, in order."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        owner = f"{quote(context.pipeline, '')}/{quote(context.name, '')}"
        self._config = config
        self._context = context
        self._prefix = f"{config.internal_prefix}:{owner}"
        self._client: redis.Redis | None = None
        self._sha = ""
        self._truncates: dict[str, int] | None = None
        self._targets: set[str] = set()

    def check(self) -> list[Finding]:
        """Connection, rights, and the server settings that lose documents."""
        try:
            with self._translated():
                client = self._connect()
                client.eval("return 1", 0)
                facts = cast("Mapping[str, object]", client.info())
        except CdcError as error:
            return [Finding("error", "redis-connection", "url", error.message, error.hint)]
        return [
            Finding("ok", "redis-connection", "url", f"answers, version {facts['redis_version']}"),
            *server_findings(facts),
        ]

    def apply_schema(self, table: TableSchema) -> None:
        """Documents of any structure fit. SchemaError: two tables would share their keys."""
        target = table.qualified_name
        template = self._context.id_template(target)
        twins = [one for one in self._targets if self._context.id_template(one) == template]
        if template is not None and twins not in ([], [target]):
            raise SchemaError(
                f"{target} and {twins[0]} would share the keys {template!r}",
                hint="Give each table its own `key` under `tables`, or make a sink for each.",
            )
        self._targets.add(target)

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        """Pipelined; a truncate waits for what is before it. Durable as the server is set up."""
        rejected: list[Rejected] = []
        with self._translated():
            client = self._connect()
            waiting: list[tuple[int, Mutation]] = []
            for index, mutation in enumerate(mutations):
                if isinstance(mutation.action, Truncate):
                    rejected += self._write_documents(client, waiting)
                    waiting = []
                    self._truncate(client, mutation.target, mutation.version)
                else:
                    waiting.append((index, mutation))
            rejected += self._write_documents(client, waiting)
            if self._config.replicas_min and mutations:
                self._wait_for_replicas(client)
        return sorted(rejected, key=lambda one: one.index)

    def close(self) -> None:
        """Close the connection."""
        client, self._client, self._truncates = self._client, None, None
        if client is not None:
            client.close()

    def _connect(self) -> redis.Redis:
        if self._client is None:
            self._client = _client(self._config)
        if self._truncates is None:
            self._sha = str(self._client.script_load(WRITE))
            known = cast("Mapping[bytes, bytes]", self._client.hgetall(self._truncates_key))
            self._truncates = {target.decode(): int(text) for target, text in known.items()}
        return self._client

    @property
    def _truncates_key(self) -> str:
        return f"{self._prefix}:truncates"

    def _keys(self, target: str, id_: str) -> tuple[str, str]:
        # A template names the whole key; without one, keys of two tables must not meet.
        key = id_ if self._context.id_template(target) else f"{target}:{id_}"
        return key, self._version_prefix(target) + key

    def _version_prefix(self, target: str) -> str:
        # Quoted, so that it holds no colon of its own and nothing that SCAN takes for a pattern.
        return f"{self._prefix}:{quote(target, '')}:"

    def _write_documents(
        self, client: redis.Redis, numbered: Sequence[tuple[int, Mutation]]
    ) -> list[Rejected]:
        assert self._truncates is not None
        past = self._truncates
        newer = [item for item in numbered if item[1].version > past.get(item[1].target, -1)]
        known = self._read_patched(client, newer) if self._config.value == "json" else {}
        rejected: list[Rejected] = []
        commands: list[Command] = []
        for index, mutation in newer:
            keys = self._keys(mutation.target, mutation.id)
            try:
                arguments = self._arguments(mutation, known.get(keys[0]))
            except (TypeError, ValueError) as error:
                # orjson names the type, never the value; ours say nothing about values.
                rejected.append(Rejected(index, str(error)))
                continue
            if arguments:
                commands.append(Command(index, keys, arguments))
        for chunk in chunks(commands, self._config.batch_bytes_max):
            rejected += self._send(client, chunk)
        return rejected

    def _read_patched(
        self, client: redis.Redis, numbered: Sequence[tuple[int, Mutation]]
    ) -> dict[str, _Known]:
        """What is there of the documents that get a patch, by value key."""
        patched = {
            self._keys(one.target, one.id) for _, one in numbered if isinstance(one.action, Patch)
        }
        pipeline = client.pipeline(transaction=False)
        for keys in patched:
            pipeline.mget(keys)
        # Raised by the pipeline, an error would repeat the command, which holds keys.
        found = pipeline.execute(raise_on_error=False)
        for failure in (one for one in found if isinstance(one, redis.RedisError)):
            raise failure
        return {keys[0]: _known(*pair) for keys, pair in zip(patched, found, strict=True)}

    def _arguments(self, mutation: Mutation, known: _Known | None) -> tuple[str | bytes, ...]:
        """What the script gets; nothing when it would change nothing.

        `known` is kept up to date. Raises TypeError or ValueError for what cannot be written.
        """
        action, config = mutation.action, self._config
        if known is not None and mutation.version <= known.version:
            return ()
        tombstone_ms = round(config.tombstone_s * 1000)
        ttl_ms = round((config.ttl_s or 0) * 1000)
        live_ms = ttl_ms + tombstone_ms if ttl_ms else 0
        base = ""
        document: Document | None = None
        if isinstance(action, Upsert):
            document = action.document
        elif isinstance(action, Patch):
            document = action.fields
            if known is not None:
                if known.document is None:
                    raise ValueError(known.reason)
                document, base = {**known.document, **document}, str(known.version)
        written = values(config.value, document, is_patch=isinstance(action, Patch))
        if any(len(value) > VALUE_BYTES_MAX for value in written):
            raise ValueError(f"a value has more than the {VALUE_BYTES_MAX} bytes that Redis takes")
        if known is not None:
            known.version, known.document, known.reason = mutation.version, document, OUTCOMES[4]
        if document is None:
            return ("D", str(mutation.version), base, "0", str(tombstone_ms))
        letter = "J" if config.value == "json" else "P" if isinstance(action, Patch) else "H"
        return (letter, str(mutation.version), base, str(ttl_ms), str(live_ms), *written)

    def _send(self, client: redis.Redis, commands: Sequence[Command]) -> list[Rejected]:
        rejected: list[Rejected] = []
        for command, outcome in zip(commands, self._run(client, commands), strict=True):
            if isinstance(outcome, Exception):
                failure = translation(outcome)
                if failure is not None:
                    raise failure from outcome
                rejected.append(Rejected(command.index, f"Redis refused it: {outcome}"))
            elif outcome == BASE_CHANGED:
                raise TransientError("another program changed a document while it was patched")
            elif outcome in OUTCOMES:
                rejected.append(Rejected(command.index, OUTCOMES[outcome]))
        return rejected

    def _run(self, client: redis.Redis, commands: Sequence[Command]) -> list[int | Exception]:
        """The script's answers. Run twice when the server has forgotten the script: harmless."""
        outcomes = self._run_once(client, commands)
        if any(isinstance(outcome, redis.exceptions.NoScriptError) for outcome in outcomes):
            self._sha = str(client.script_load(WRITE))
            outcomes = self._run_once(client, commands)
        return outcomes

    def _run_once(self, client: redis.Redis, commands: Sequence[Command]) -> list[int | Exception]:
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.evalsha(self._sha, 2, *command.keys, *command.arguments)
        return cast("list[int | Exception]", pipeline.execute(raise_on_error=False))

    def _truncate(self, client: redis.Redis, target: str, version: int) -> None:
        """Remember the version first, so that what is removed cannot come back; then remove."""
        assert self._truncates is not None
        if version <= self._truncates.get(target, -1):
            return
        client.eval(TRUNCATE, 1, self._truncates_key, target, str(version))
        self._truncates[target] = version
        prefix = self._version_prefix(target)
        cursor = 0
        while True:
            answer = client.scan(cursor, match=f"{prefix}*", count=_SCAN_STEP)
            cursor, found = cast("tuple[int, list[bytes]]", answer)
            names = [name.decode() for name in found]
            clear = ("C", str(version), "", "0", "0")
            self._send(
                client, [Command(0, (name.removeprefix(prefix), name), clear) for name in names]
            )
            if cursor == 0:
                return

    def _wait_for_replicas(self, client: redis.Redis) -> None:
        wanted, timeout_s = self._config.replicas_min, self._config.timeout_s
        reached = client.wait(wanted, round(timeout_s * 500))
        if reached < wanted:
            raise TransientError(
                f"{reached} of {wanted} replicas have the last batch",
                hint="Look at the replicas, or lower `replicas_min`.",
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Redis' errors as ours; the connection is made afresh, with secrets read again."""
        try:
            yield
        except redis.RedisError as error:
            self.close()
            raise (translation(error) or SinkRefused(f"Redis refuses us: {error}")) from error
        except CdcError:
            self.close()
            raise


def _client(config: Config) -> redis.Redis:
    url = config.url.reveal()
    options: dict[str, object] = {
        "socket_timeout": config.timeout_s,
        "socket_connect_timeout": config.timeout_s,
        # The delivery loop backs off; the client must not wait beside it.
        "retry": Retry(NoBackoff(), 0),
        "username": config.username,
        "password": config.password and config.password.reveal(),
    }
    if url.startswith("rediss:"):
        options |= {
            "ssl_cert_reqs": "none" if config.tls_mode == "require" else "required",
            "ssl_check_hostname": config.tls_mode == "verify-full",
            "ssl_ca_certs": config.tls_ca_file and str(config.tls_ca_file),
            "ssl_certfile": config.tls_cert_file and str(config.tls_cert_file),
            "ssl_keyfile": config.tls_key_file and str(config.tls_key_file),
        }
    try:
        return redis.Redis.from_url(url, **options)
    except ValueError as error:
        raise ConfigError(
            "the redis sink's url cannot be used",
            hint="Write it as redis://host:6379/0, rediss://host:6379/0 or unix:///path?db=0.",
        ) from error


def _known(value: bytes | None, version: bytes | None) -> _Known:
    if version is None:
        return _Known(-1, None, OUTCOMES[3])
    is_deleted = version.startswith(b"D")
    reason = OUTCOMES[4 if is_deleted else 5]
    return _Known(int(version[1:]), None if value is None else json.loads(value), reason)
