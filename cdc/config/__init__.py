"""The configuration: one YAML file, read and checked as a whole before anything starts."""

from cdc.config.problems import InvalidConfig
from cdc.config.read import load, read
from cdc.config.settings import Chosen, Config, SinkConfig, SourceConfig

__all__ = ["Chosen", "Config", "InvalidConfig", "SinkConfig", "SourceConfig", "load", "read"]
