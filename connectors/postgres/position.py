"""Where a stream is, and the stored form of it: the place to resume from."""

from dataclasses import dataclass
from typing import Self, TypeVar

from cdc.errors import DecodeError
from connectors.postgres.lsn import Lsn

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class Started:
    """A transaction of which the first `changes` changes are in the log, of whatever table.

    Messages in it count as changes. `commit_lsn` is where its commit record begins; with `xid` it
    tells the transaction again. When begins of transactions are emitted, its own is in the log.
    """

    xid: int
    commit_lsn: Lsn
    changes: int


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where the stream is: everything committed up to `lsn` is done.

    So is every message outside of transactions whose record ends there or before. `prior_commit` is
    the end of the last transaction or such message seen, None when there was none yet. `started` is
    the transaction behind `lsn` that is done in part, None at the end of one.
    """

    lsn: Lsn
    prior_commit: Lsn | None = None
    started: Started | None = None

    def content(self) -> dict[str, object]:
        """The position as JSON content."""
        started = self.started
        return {
            "lsn": str(self.lsn),
            "prior_commit": None if self.prior_commit is None else str(self.prior_commit),
            "started": None
            if started is None
            else {
                "xid": started.xid,
                "commit_lsn": str(started.commit_lsn),
                "changes": started.changes,
            },
        }

    @classmethod
    def of(cls, content: dict[str, object]) -> Self:
        """The position that `content` was taken from. Raises DecodeError."""
        try:
            prior, started = content["prior_commit"], content["started"]
            return cls(
                Lsn.parse(_as(str, content["lsn"])),
                None if prior is None else Lsn.parse(_as(str, prior)),
                None if started is None else _started_of(_as(dict, started)),
            )
        except (KeyError, TypeError) as error:
            raise DecodeError("the stored position is damaged", kind="checkpoint") from error


def _started_of(content: dict[str, object]) -> Started:
    return Started(
        _as(int, content["xid"]),
        Lsn.parse(_as(str, content["commit_lsn"])),
        _as(int, content["changes"]),
    )


def _as(kind: type[_Kind], value: object) -> _Kind:
    if not isinstance(value, kind):
        raise TypeError(type(value))
    return value
