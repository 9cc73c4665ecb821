"""The embedded log: durable files under `state_dir`, for one machine, without any server."""

from cdc.logs.embedded.config import Config
from cdc.logs.embedded.log import EmbeddedLog
from cdc.protocols import LogContext

__all__ = ["Config", "EmbeddedLog", "create"]


def create(config: Config, context: LogContext) -> EmbeddedLog:
    """The embedded log of this pipeline; touches no file yet."""
    return EmbeddedLog(config, context)
