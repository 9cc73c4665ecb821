"""A third party's source whose settings have forms that ours do not have."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cdc.errors import ConfigError
from cdc.protocols import Source, SourceContext


class Delay(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    delay_s: Annotated[float, Field(gt=0)] = 1.0


class Steps(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Annotated[Delay, Field(description="the first")] | None = None


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    retry: Delay | Steps | None = None
    port: int = 1
    key: Annotated[bytes, Field(max_length=2)] = b""

    @model_validator(mode="after")
    def _possible(self) -> "Config":
        if self.port == 13:
            raise ConfigError("port 13 is not for databases", hint="Choose another.")
        return self


def create(config: Config, context: SourceContext) -> Source:
    raise NotImplementedError(f"{context.name} with {config} is never made")
