"""A configuration that has been read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from cdc.config.components import Component
from cdc.config.model import Admin, Logging, SinkKeys, SourceKeys


@dataclass(frozen=True, slots=True)
class Chosen:
    """A component and its settings, ready to be made."""

    component: Component
    settings: BaseModel


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source. `chosen` is None where this process has no use for it and did not import it."""

    name: str
    keys: SourceKeys
    chosen: Chosen | None
    transforms: tuple[Chosen, ...]
    format: Chosen

    @property
    def topic_prefix(self) -> str:
        """First part of the names of its topics."""
        return self.keys.topic_prefix or self.name


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One sink. `chosen` is None where this process has no use for it and did not import it."""

    name: str
    keys: SinkKeys
    chosen: Chosen | None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything in the file.

    `text` is the file as it was read, with references and not their values, so that it can be given
    to another process. Paths are absolute.
    """

    file: Path
    text: str
    name: str
    state_dir: Path
    log: Chosen
    sources: Mapping[str, SourceConfig]
    sinks: Mapping[str, SinkConfig]
    admin: Admin | None
    logging: Logging

    def source_of(self, pattern: str) -> SourceConfig:
        """The source that a `from` pattern is about."""
        name, colon, _ = pattern.partition(":")
        return self.sources[name] if colon else next(iter(self.sources.values()))
