"""A third party's sink that does not take documents whose name is `unwanted`."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from cdc.protocols import Finding, Mutation, Rejected, Sink, SinkContext, Upsert
from cdc.schema import TableSchema


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RefusingSink:
    def check(self) -> list[Finding]:
        return []

    def apply_schema(self, table: TableSchema) -> None:
        del table

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        return [
            Rejected(index, "this store wants no such document")
            for index, mutation in enumerate(mutations)
            if isinstance(mutation.action, Upsert)
            and mutation.action.document["name"] == "unwanted"
        ]

    def close(self) -> None:
        pass


def create(config: Config, context: SinkContext) -> Sink:
    del config, context
    return RefusingSink()
