"""Postgres, by logical replication with the pgoutput plugin."""

from connectors.postgres.config import Config
from connectors.postgres.source import create

__all__ = ["Config", "create"]
