"""What the redis sink knows of servers: its scripts, their answers, errors, risky settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import redis

from cdc.errors import CdcError, SinkRefused, TransientError
from cdc.protocols import Document, Finding

# KEYS: value, version. ARGV: action, version, version that the action builds on or '', lifetime of
# the value and of the version in ms or '0', then the value or field names and values.
# Actions: J whole JSON, H whole hash, P some fields of a hash (in ARGV[6] how many are taken away),
# D delete, C clear for a truncate. Returns what OUTCOMES names.
# Versions stay below 2^53, where Lua's numbers are exact. The first writing command comes before
# any that memory limits can refuse half-way, so that an OOM leaves nothing half done.
WRITE: Final = """
local held = redis.call('GET', KEYS[2])
local state, known = '', -1
if held then state, known = string.sub(held, 1, 1), tonumber(string.sub(held, 2)) end
local action, version = ARGV[1], tonumber(ARGV[2])
if version <= known then return 0 end
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= known then return 2 end
if action == 'C' then
  redis.call('DEL', KEYS[1], KEYS[2])
  return 1
end
if action == 'P' then
  if state == '' then return 3 end
  if state == 'D' then return 4 end
  if state == 'L' and redis.call('EXISTS', KEYS[1]) == 0 then return 5 end
end
local first, mark = 6, 'L'
if action == 'J' then
  redis.call('SET', KEYS[1], ARGV[6])
elseif action == 'D' then
  redis.call('DEL', KEYS[1])
  mark = 'D'
else
  if action == 'H' then
    redis.call('DEL', KEYS[1])
  else
    first = 7 + tonumber(ARGV[6])
    for i = 7, first - 1 do redis.call('HDEL', KEYS[1], ARGV[i]) end
  end
  for i = first, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  if redis.call('EXISTS', KEYS[1]) == 0 then mark = 'E' end
end
if action ~= 'D' and ARGV[4] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
if ARGV[5] == '0' then
  redis.call('SET', KEYS[2], mark .. ARGV[2])
else
  redis.call('SET', KEYS[2], mark .. ARGV[2], 'PX', ARGV[5])
end
return 1
"""
BASE_CHANGED: Final = 2
OUTCOMES: Final = {
    3: "part of a document came, but the document is not in the store",
    4: "part of a document came, but the document was deleted",
    5: "part of a document came, but Redis has evicted or expired the document",
}
# KEYS: hash of truncates. ARGV: target, version. Returns nothing of interest.
TRUNCATE: Final = """
local known = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '-1')
if tonumber(ARGV[2]) > known then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
"""

# Error codes, as words in the text: inside a script older servers put their own in front.
# Source: the errors in Redis' server.c (`createSharedObjects`).
WAITS: Final = {
    "OOM": "Raise maxmemory, or give the cache its own server; the sink goes on by itself.",
    "LOADING": "The server reads its data from disk; the sink goes on by itself.",
    "READONLY": "This server is a replica: wait for the failover to end, or correct the url.",
    "MISCONF": "The server cannot save to disk: look at its log and free space there.",
    "NOREPLICAS": "The server asks for more replicas than are connected (min-replicas-to-write).",
    "MASTERDOWN": "The replica has lost its primary; correct the url or wait.",
    "BUSY": "Another script blocks the server.",
    "TRYAGAIN": "",
}
REFUSES: Final = {
    "NOAUTH": "Set the sink's `password`.",
    "WRONGPASS": "Correct the sink's `username` and `password`.",
    "NOPERM": "Grant the user the rights that docs/sinks/redis.md lists.",
    "MOVED": "Redis Cluster is not supported: use a server that is not part of one.",
    "CROSSSLOT": "Redis Cluster is not supported: use a server that is not part of one.",
    "CLUSTERDOWN": "Redis Cluster is not supported: use a server that is not part of one.",
}


VALUE_BYTES_MAX: Final = 536_870_912
"""A longer one ends the connection. Source: `proto-max-bulk-len`'s default in redis.conf."""


@dataclass(frozen=True, slots=True)
class Command:
    """One run of the script: the mutation it is for, its keys and arguments."""

    index: int
    keys: tuple[str, str]
    arguments: tuple[str | bytes, ...]

    @property
    def size_bytes(self) -> int:
        """What is sent for it, without the protocol's own bytes."""
        return sum(len(part) for part in (*self.keys, *self.arguments))


def values(form: str, document: Document | None, *, is_patch: bool) -> tuple[str | bytes, ...]:
    """The document as arguments of the script. Raises TypeError for what is no JSON."""
    if document is None:
        return ()
    if form == "json":
        return (orjson.dumps(document),)
    pairs: list[str | bytes] = []
    for name, value in document.items():
        if value is not None:
            pairs += [name, value if isinstance(value, str) else orjson.dumps(value)]
    if not is_patch:
        return tuple(pairs)
    nulls = [name for name, value in document.items() if value is None]
    return (str(len(nulls)), *nulls, *pairs)


def chunks(commands: Sequence[Command], bytes_max: int) -> Iterator[list[Command]]:
    """Consecutive commands of at most `bytes_max` together, or a single larger one."""
    chunk: list[Command] = []
    size_bytes = 0
    for command in commands:
        if chunk and size_bytes + command.size_bytes > bytes_max:
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(command)
        size_bytes += command.size_bytes
    if chunk:
        yield chunk


def translation(error: Exception) -> CdcError | None:
    """Our error for one of Redis'; None when it concerns one document only."""
    code = next((code for kind, code in _KINDS if isinstance(error, kind)), "")
    text = str(error)
    words = {word.strip(".:-,") for word in text.split()}
    code = code or next((known for known in (*WAITS, *REFUSES) if known in words), "")
    if code in WAITS:
        return TransientError(f"Redis cannot write now ({code}): {text}", hint=WAITS[code])
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError)) and code not in REFUSES:
        return TransientError(
            f"Redis cannot be reached: {text}", hint="Start it, or correct the sink's `url`."
        )
    if "WRONGTYPE" in words:
        return None
    if not code and any(said in text for said in _NO_RIGHTS_IN_SCRIPT):
        code = "NOPERM"
    code = code or "error"
    return SinkRefused(f"Redis refuses us ({code}): {text}", hint=REFUSES.get(code))


# Rights that are missing inside a script are told without the code. Source: script.c of Redis 7,
# scripting.c of Redis 6.
_NO_RIGHTS_IN_SCRIPT: Final = ("ACL failure in script", "The user executing the script can't run")
_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.BusyLoadingError, "LOADING"),
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.MasterDownError, "MASTERDOWN"),
    (redis.exceptions.TryAgainError, "TRYAGAIN"),
    (redis.exceptions.AuthenticationError, "WRONGPASS"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
    (redis.exceptions.AskError, "MOVED"),
    (redis.exceptions.ClusterCrossSlotError, "CROSSSLOT"),
    (redis.exceptions.ClusterDownError, "CLUSTERDOWN"),
)


def server_findings(facts: Mapping[str, object]) -> list[Finding]:
    """What the server's own report says about keeping documents. `facts`: the answer of INFO."""
    policy = str(facts.get("maxmemory_policy", "noeviction"))
    found: list[Finding] = []
    if facts.get("cluster_enabled"):
        message = "the server is part of a Redis Cluster"
        found.append(Finding("error", "redis-cluster", "url", message, REFUSES["MOVED"]))
    if facts.get("role") != "master":
        message = "the server is a replica"
        found.append(Finding("error", "redis-replica", "url", message, WAITS["READONLY"]))
    if policy != "noeviction" and facts.get("maxmemory"):
        message = f"with {policy} Redis drops documents; they come back when their row changes"
        fix = "CONFIG SET maxmemory-policy noeviction"
        found.append(Finding("warning", "redis-eviction", "maxmemory-policy", message, fix))
    if not facts.get("aof_enabled"):
        message = "without the append-only file a crash of Redis loses its last documents"
        fix = "CONFIG SET appendonly yes"
        found.append(Finding("warning", "redis-durability", "appendonly", message, fix))
    return found
