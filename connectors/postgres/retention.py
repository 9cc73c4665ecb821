"""What a user says about the write-ahead log that the server keeps for it."""

from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

WARN_BYTES: Final = 10 << 30


class WalGuard(BaseModel):
    """Limits on what the server keeps for the slot, and what follows when they are reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    warn_bytes: int = Field(
        default=WARN_BYTES,
        ge=1 << 20,
        description="More write-ahead log than this, kept for the slot, is a warning.",
    )
    limit_bytes: int | None = Field(
        default=None, ge=1 << 20, description="At this much the policy applies; none: no limit."
    )
    policy: Literal["alert", "pause-source", "drop-slot-and-resnapshot"] = Field(
        default="alert",
        description="`alert`: the pipeline is degraded and not ready. `pause-source`: the source "
        "also stands still, without a connection, and keeps its slot, until `cdc resume`. "
        "`drop-slot-and-resnapshot`: the slot is dropped so that the server can forget, and a new "
        "snapshot follows; rows deleted meanwhile are not noticed.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.limit_bytes is not None and self.limit_bytes < self.warn_bytes:
            raise ValueError("`limit_bytes` must not be below `warn_bytes`")
        if self.policy != "alert" and self.limit_bytes is None:
            raise ValueError(f"`policy: {self.policy}` needs `limit_bytes`")
        return self


def size_text(size_bytes: int) -> str:
    """`1.5 GiB`."""
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def duration_text(seconds: float) -> str:
    """`12 s`, `3 min`, `2.5 h`, `3.0 d`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
