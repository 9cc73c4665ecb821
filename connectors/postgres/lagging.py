"""How far a source is behind its server."""

import time

from connectors.postgres.lsn import Lsn


def lag(
    server: Lsn | None, lsn: Lsn, last_commit_us: int | None
) -> tuple[int | None, float | None]:
    """Lag in bytes and in seconds of what was received up to `lsn`; None while unknown.

    `server` is how far its log was flushed when it answered last.
    """
    if server is None:
        return None, None
    lag_bytes = max(0, server - lsn)
    if lag_bytes == 0:
        return 0, 0.0
    if last_commit_us is None:
        return lag_bytes, None
    return lag_bytes, max(0.0, time.time() - last_commit_us / 1e6)
