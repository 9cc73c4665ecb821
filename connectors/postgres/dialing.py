"""The dialer of a source, the same in the capture process and its readers."""

from cdc.protocols import SourceContext
from connectors.postgres.config import Config
from connectors.postgres.connection import Dialer


def dialer_of(config: Config, context: SourceContext) -> Dialer:
    """A dialer to the configured server; the server shows its connections under our names."""
    return Dialer(
        config.url,
        config.password,
        config.password_command,
        config.connect_timeout_s,
        f"tidewire {context.pipeline} {context.name}",
    )
