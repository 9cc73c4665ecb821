"""Takes everything and keeps nothing: measures the path without a store."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from cdc.protocols import Finding, Mutation, Rejected, SinkContext
from cdc.schema import TableSchema


class Config(BaseModel):
    """The blackhole sink has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def create(config: Config, context: SinkContext) -> "BlackholeSink":
    """The sink."""
    del config, context
    return BlackholeSink()


class BlackholeSink:
    """`mutations` and `batches` count what came."""

    def __init__(self) -> None:
        self.mutations = 0
        self.batches = 0

    def check(self) -> list[Finding]:
        """Nothing can be wrong, but the sink is seldom meant."""
        return [Finding("ok", "blackhole", "type", "takes every change and keeps none")]

    def apply_schema(self, table: TableSchema) -> None:
        """Nothing to prepare."""

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        """Count them."""
        self.mutations += len(mutations)
        self.batches += 1
        return ()

    def close(self) -> None:
        """Nothing to give back."""
