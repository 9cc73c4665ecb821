"""Settings of the embedded log."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MIB: Final = 1 << 20
DAY_S: Final = 86_400


class Config(BaseModel):
    """Settings of the embedded log, which lives in files under `state_dir`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segment_bytes: int = Field(
        default=128 * MIB,
        ge=64 * 1024,
        le=16 * 1024 * MIB,
        description="A segment file that has grown to this size is closed and a new one begun.",
    )
    segment_age_s: float = Field(
        default=float(DAY_S),
        ge=1,
        description="A segment file that is this old is closed at the next commit, "
        "so that retention and compaction can act on it.",
    )
    retention_bytes: int | None = Field(
        default=None,
        ge=0,
        description="How much history of topics that are not compacted is kept, in bytes; "
        "no limit when not set.",
    )
    retention_age_s: float | None = Field(
        default=7.0 * DAY_S,
        ge=0,
        description="How long records of topics that are not compacted are kept; "
        "no limit when null.",
    )
    compaction: bool = Field(
        default=True,
        description="Whether topics of tables with a key are compacted: the last state of each "
        "key is kept for good. Without it they are kept as long as other topics.",
    )
    compaction_dirty_ratio: float = Field(
        default=0.5,
        ge=0.01,
        le=1,
        description="Compaction runs when this share of the closed segments' bytes has never been "
        "compacted.",
    )
    compaction_time_share: float = Field(
        default=0.2,
        gt=0,
        le=0.9,
        description="The share of the writer's time that retention and compaction may take.",
    )
    tombstone_age_s: float = Field(
        default=float(DAY_S),
        ge=0,
        description="How long compaction keeps the marker of a deleted key.",
    )
    poll_interval_ms: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="The longest time between two looks of a waiting reader.",
    )
