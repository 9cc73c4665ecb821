"""Every error that Tidewire raises on purpose.

    CdcError
    |- ConfigError            the configuration is wrong; nothing was started
    |  '- MissingExtra        a component's client library is not installed
    |- TransientError         the same call may succeed later
    |  '- LeaseLost           the lease of a source is gone: acquire, open and start again
    |- StorageFull            the disk (or a quota) is full; retried, shown as failed meanwhile
    |- SourceRefused          the database refuses what the configuration asks for
    |- SourcePaused           a limit was reached at which the source shall stand still
    |- PositionLost           the stored position cannot be resumed from
    |  '- SlotLost            what held the changes behind it is gone, or is another one
    |- Fenced                 another writer has taken over; this one must stay down
    |- DecodeError            bytes that do not mean what the protocol says
    |- SchemaError            a structure that cannot be handled
    |- LogRefused             the log refuses what we send (credentials, rights, limits)
    '- SinkRefused            a store refuses everything we send (credentials, rights)

`retriable` says whether the same worker may try again by itself; `hint` is the operator's next
step.
Messages say what failed, on which table and position. They never hold row values or secrets.
"""

from collections.abc import Sequence
from typing import ClassVar


def with_remedy(message: str, hint: str) -> str:
    """What failed and what to do, as one line."""
    if not hint:
        return message
    return f"{message}{' ' if message.endswith(('?', '.')) else '. '}{hint}"


class CdcError(Exception):
    """Base of the tree. `hint` is a sentence that tells the operator what to do."""

    retriable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return with_remedy(self.message, self.hint)


class ConfigError(CdcError):
    """The configuration is wrong. Exit code 2."""

    default_hint = "Correct the configuration file and start again."


class MissingExtra(ConfigError):
    """A component is configured whose client library is not installed."""

    def __init__(self, component: str, extra: str) -> None:
        super().__init__(
            f"no client library is installed for {component}",
            hint=f"Install it with: pip install 'tidewire[{extra}]'",
        )
        self.component = component
        self.extra = extra

    @classmethod
    def of(cls, errors: "Sequence[MissingExtra]") -> "MissingExtra":
        """One error, with one command, for all of them; there must be at least one."""
        components = dict.fromkeys(error.component for error in errors)
        extras = dict.fromkeys(error.extra for error in errors)
        return cls(" and ".join(components), ",".join(extras))


class TransientError(CdcError):
    """The same call may succeed later; the worker backs off and tries again.

    `retry_after_s` is the peer's own wish, or None.
    """

    retriable = True

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class LeaseLost(TransientError):
    """The lease of a source is gone; nothing may be committed before it is acquired again."""


class StorageFull(CdcError):
    """A disk or quota is full. Retried: it recovers by itself once there is room."""

    retriable = True
    default_hint = "Free space under state_dir; the pipeline goes on by itself."


class SourceRefused(CdcError):
    """The database refuses what the configuration asks for."""

    default_hint = "Run `cdc check` to see every problem with the SQL that fixes it."


class PositionLost(CdcError):
    """The stored position cannot be resumed from; going on would skip changes."""

    default_hint = (
        "Changes were lost at the source. Run `cdc heal SOURCE`: it begins anew with a snapshot, "
        "and says first what that costs."
    )


class SlotLost(PositionLost):
    """What held the changes behind the stored position is gone, or is not the same any more."""


class SourcePaused(CdcError):
    """A configured limit was reached; the source stands still until a person says to go on."""


class Fenced(CdcError):
    """Another writer has taken over this source. This one ends and is not restarted."""

    default_hint = "Stop one of the two daemons that run this pipeline, then start this one again."


class DecodeError(CdcError):
    """Bytes that do not mean what the protocol says.

    `offset` is where in the message, in bytes; `kind` names the message.
    """

    default_hint = "Please report this with the server's version; nothing was skipped."

    def __init__(
        self, message: str, *, offset: int | None = None, kind: str = "", hint: str | None = None
    ) -> None:
        where = f" in {kind}" if kind else ""
        at = f" at byte {offset}" if offset is not None else ""
        super().__init__(f"{message}{where}{at}", hint=hint)
        self.offset = offset
        self.kind = kind


class SchemaError(CdcError):
    """A structure (type, column, table) that cannot be handled."""

    default_hint = "Exclude the named column or table, or change its type."


class LogRefused(CdcError):
    """The log refuses what we send. Retrying would not help before somebody changes it."""

    default_hint = "Check the log's credentials, rights and limits with `cdc check`."


class SinkRefused(CdcError):
    """A store refuses everything we send. Retrying would not help before somebody changes it."""

    default_hint = "Check the sink's credentials and rights with `cdc check`."
