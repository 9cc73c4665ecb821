"""Position and Checkpoint: the resume state of a source, and its stored form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

from cdc.errors import DecodeError

Position = NewType("Position", str)
"""A place in a source, in the source's own notation (`0/16B3748`, a GTID set, `bin.000003:154`).

The core never compares two positions: order is the order of arrival.
"""

HEAL = "heal"
"""Name of a part that says: forget the position and begin anew. The source takes it away, with all
its other parts, in the first change that it makes."""

FORMAT_VERSION = 1
"""Version of the stored form of a part. Older ones are upgraded, newer ones refused."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The resume state of one source, or a change of it: named parts of opaque bytes.

    As the state read by `LogWriter.open`, `parts` holds every part and no None. As a change given
    to `LogWriter.commit`, it holds only what changed, and None deletes a part.

    Part names in use: `position` and what else the source chooses (`snapshot:<table>`,
    `facts:<table oid>`, `type:<type oid>`), `sequence`, which the capture loop owns, and HEAL.
    """

    parts: Mapping[str, bytes | None] = field(default_factory=dict)

    def merged(self, change: "Checkpoint") -> "Checkpoint":
        """This state after `change`, without the parts it deletes."""
        parts = {**self.parts, **change.parts}
        return Checkpoint({name: part for name, part in parts.items() if part is not None})

    def then(self, change: "Checkpoint") -> "Checkpoint":
        """One change that does what this one and then `change` do; deletions are kept."""
        return Checkpoint({**self.parts, **change.parts})


def encode_part(content: Mapping[str, object]) -> bytes:
    """The stored form of one part: JSON with sorted keys and the format version as `v`."""
    text = json.dumps({"v": FORMAT_VERSION, **content}, sort_keys=True, separators=(",", ":"))
    return text.encode()


def decode_part(name: str, stored: bytes) -> dict[str, object]:
    """The content given to `encode_part`, without `v`.

    Raises DecodeError for what is no such JSON, or was written by a newer Tidewire.
    """
    try:
        content = json.loads(stored)
        version = content.pop("v")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DecodeError(f"checkpoint part {name!r} is damaged", kind="checkpoint") from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise DecodeError(
            f"checkpoint part {name!r} has format version {version}, this Tidewire knows "
            f"{FORMAT_VERSION}",
            kind="checkpoint",
            hint="Run the newer Tidewire that wrote it, or one that is newer still.",
        )
    return dict(content)
