"""A third party's source as the configuration sees it: settings of every shape."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cdc.protocols import Source, SourceContext
from cdc.secret import Secret


class Retry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    delay_s: float = 1.0


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    port: int = Field(5432, gt=0)
    mode: Literal["fast", "safe"] = "safe"
    password: Secret | None = None
    spill: list[Path] = []
    retry: Retry | None = None


def create(config: Config, context: SourceContext) -> Source:
    raise NotImplementedError(f"{context.name} with {config} is never made")
