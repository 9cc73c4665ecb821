"""Names at the server that follow from the pipeline's and the source's own: stable for ever.

Two different pairs never share a name: a pair of plain names (lower-case letters and digits) is
joined as it is, every other one carries a digest of the exact names.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

# Source: PostgreSQL manual, NAMEDATALEN; a slot's name is lower-case letters, digits, underscores.
NAME_BYTES_MAX: Final = 63
_PREFIX: Final = "cdc"
_DIGEST_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Names:
    """What a source is called, and what its objects at the server are."""

    pipeline: str
    source: str
    slot: str
    publication: str

    @classmethod
    def of(cls, pipeline: str, source: str, slot: str | None, publication: str | None) -> Self:
        """With the names that follow from the source's own where none are given."""
        return cls(
            pipeline,
            source,
            slot or default_slot(pipeline, source),
            publication or default_publication(pipeline, source),
        )


def default_slot(pipeline: str, source: str) -> str:
    """The replication slot of a source whose configuration names none, such as `cdc_shop`."""
    if _is_plain(pipeline) and _is_plain(source):
        parts = [_PREFIX, pipeline] if pipeline == source else [_PREFIX, pipeline, source]
        name = "_".join(parts)
        if len(name) <= NAME_BYTES_MAX:
            return name
    readable = "_".join([_PREFIX, _cleaned(pipeline), _cleaned(source)])
    digest = _digest(pipeline, source).hex()[:_DIGEST_DIGITS]
    return f"{readable[: NAME_BYTES_MAX - _DIGEST_DIGITS - 1]}_{digest}"


def default_publication(pipeline: str, source: str) -> str:
    """The publication of a source whose configuration names none: the same as its slot."""
    return default_slot(pipeline, source)


def lease_key(pipeline: str, source: str) -> int:
    """The key of the advisory lock that the source's one writer holds: a signed 64-bit number."""
    return int.from_bytes(_digest(pipeline, source)[:8], "big", signed=True)


def made_by(pipeline: str, source: str) -> str:
    """The comment on a publication that Tidewire made itself; `cdc drop` looks for it."""
    return f"made by Tidewire for source {source} of pipeline {pipeline}"


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9]+", name) is not None


def _cleaned(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "x"


def _digest(pipeline: str, source: str) -> bytes:
    # The lengths keep ("a", "bc") and ("ab", "c") apart.
    content = f"tidewire {len(pipeline)} {pipeline} {len(source)} {source}"
    return hashlib.sha256(content.encode()).digest()
