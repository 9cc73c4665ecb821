"""Bulk requests of the opensearch sink: their lines, and what answers and errors mean. No I/O."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from opensearchpy import exceptions

from cdc.errors import CdcError, SinkRefused, TransientError
from cdc.protocols import Document
from sinks.opensearch_mapping import VERSION_FIELD

ID_BYTES_MAX: Final = 512
"""Longer ids make OpenSearch refuse the whole request. Source: IndexRequest.validate."""

# Texts that OpenSearch makes of names and limits only; all others may repeat values of the row.
_SAFE: Final = (
    re.compile(r"field \[[^\]]*\] of type \[[^\]]*\]"),
    re.compile(r"object mapping for \[[^\]]*\] tried to parse field \[[^\]]*\] as object"),
    re.compile(r"Limit of [a-z ]+ \[\d+\][a-z ]*"),
    re.compile(r"Field \[[^\]]*\] is a metadata field"),
    re.compile(r"immense term in field=\"[^\"]*\""),
    re.compile(r"mapping set to strict, dynamic introduction of \[[^\]]*\]"),
)
# Source: VersionConflictEngineException and VersionType.EXTERNAL.
_HELD_VERSION: Final = re.compile(r"current version \[(\d+)\]")

_BLOCKED: Final = (
    "Free disk space if the flood-stage watermark was passed, or remove the index block."
)
_RIGHTS: Final = "Correct the sink's user, password and rights (docs/sinks/opensearch.md)."
_GONE: Final = (
    "Its documents are gone: put the alias back, or run `cdc reset SINK` to fill a new index."
)


@dataclass(frozen=True, slots=True)
class Item:
    """One document's part of a bulk request: its lines, for the mutation at `index`."""

    index: int
    lines: bytes


def write_item(index: int, alias: str, id_: str, version: int, document: Document | None) -> Item:
    """A document at a version, or its deletion. Raises TypeError or ValueError for no JSON."""
    size_bytes = len(id_.encode())
    if not 0 < size_bytes <= ID_BYTES_MAX:
        raise ValueError(f"the id has {size_bytes} bytes, OpenSearch takes 1 to {ID_BYTES_MAX}")
    about = {"_index": alias, "_id": id_, "version": version, "version_type": "external"}
    if document is None:
        return Item(index, orjson.dumps({"delete": about}) + b"\n")
    if VERSION_FIELD in document:
        raise ValueError(f"the field {VERSION_FIELD} is the sink's own")
    body = orjson.dumps({**document, VERSION_FIELD: version})
    return Item(index, orjson.dumps({"index": about}) + b"\n" + body + b"\n")


def chunks(items: Sequence[Item], bytes_max: int) -> Iterator[Sequence[Item]]:
    """Consecutive items of at most `bytes_max` together, or a single larger one."""
    start = size_bytes = 0
    for place, item in enumerate(items):
        if place > start and size_bytes + len(item.lines) > bytes_max:
            yield items[start:place]
            start, size_bytes = place, 0
        size_bytes += len(item.lines)
    if start < len(items):
        yield items[start:]


def refusal(answer: Mapping[str, object], busy_pause_s: float) -> str | None:
    """Why the store refuses one item of a bulk request; None when it is done.

    Done is also what changed nothing: a version that is not newer (409), a deletion of what is not
    there (404 without an error). Raises TransientError or SinkRefused for what concerns all.
    """
    ((_, result),) = answer.items()
    assert isinstance(result, dict)
    error, status = result.get("error"), int(result["status"])
    if not isinstance(error, dict) or status == 409:
        return None
    failure = failure_of(status, str(error.get("type")), busy_pause_s)
    if failure is not None:
        raise failure
    return reason(error)


def failure_of(status: int | str, kind: str, busy_pause_s: float) -> CdcError | None:
    """Our error for a status and an error type; None when it concerns one document only."""
    if kind == "cluster_block_exception":
        return TransientError(f"OpenSearch blocks writes ({status})", hint=_BLOCKED)
    if status == 429:
        message = f"OpenSearch has more work than it takes (429 {kind})"
        return TransientError(message, retry_after_s=busy_pause_s)
    if isinstance(status, int) and status >= 500:
        return TransientError(f"OpenSearch cannot work now ({status} {kind})")
    if status in (401, 403):
        return SinkRefused(f"OpenSearch refuses us ({status} {kind})", hint=_RIGHTS)
    if status == 404:
        return SinkRefused("the alias or its index does not exist any more", hint=_GONE)
    return None


def failure_of_request(error: exceptions.TransportError, busy_pause_s: float) -> CdcError:
    """Our error for a request that failed as a whole."""
    if isinstance(error, exceptions.SSLError):
        message = f"no secure connection to OpenSearch: {error.error}"
        return SinkRefused(message, hint="Correct `tls_ca_file`, `tls_mode` or the server's name.")
    if isinstance(error, exceptions.ConnectionError):
        message = f"OpenSearch cannot be reached: {error.error}"
        return TransientError(message, hint="Start it, or correct the sink's `url`.")
    failure = failure_of(error.status_code, str(error.error), busy_pause_s)
    return failure or SinkRefused(f"OpenSearch refused a request: {reason_of_request(error)}")


def reason_of_request(error: exceptions.TransportError) -> str:
    """Why a request was refused, without values of rows."""
    info = error.info
    content = info.get("error") if isinstance(info, dict) else None
    return reason(content if isinstance(content, dict) else {"type": f"status {error.status_code}"})


def reason(error: Mapping[str, object]) -> str:
    """The store's own words, as far as they hold names and limits and no values of the row."""
    parts: list[str] = []
    while True:
        text = str(error.get("reason", ""))
        said = [found[0] for pattern in _SAFE if (found := pattern.search(text))]
        parts.append(": ".join([str(error.get("type")), *said]))
        inner = error.get("caused_by")
        if not isinstance(inner, dict):
            return "; ".join(dict.fromkeys(parts))
        error = inner


def held_version(answer: Mapping[str, object]) -> int | None:
    """The version that a conflict says the store holds; None: there was no conflict.

    Raises ValueError when the text does not say it.
    """
    ((_, result),) = answer.items()
    assert isinstance(result, dict)
    if result["status"] != 409:
        return None
    found = _HELD_VERSION.search(str(result["error"].get("reason")))
    if found is None:
        raise ValueError("OpenSearch does not say which version it holds")
    return int(found[1])
