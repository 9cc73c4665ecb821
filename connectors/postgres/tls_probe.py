"""Why a server's certificate is refused: libpq only says that it is, OpenSSL knows the reason.

Asked only after libpq has refused it, with nothing sent but the request for TLS.
Source: PostgreSQL manual, Message Formats, SSLRequest.
"""

import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from connectors.postgres.attempts import Refusal

_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
_REFUSED: Final = "certificate verify failed"


def explained(refusal: Refusal, attempt: Mapping[str, Any], timeout_s: float) -> Refusal:
    """The refusal, with OpenSSL's reason where it is about the server's certificate."""
    host = str(attempt.get("hostaddr") or attempt.get("host") or "")
    if _REFUSED not in refusal.text or not host or host.startswith("/"):
        return refusal
    authorities = attempt.get("sslrootcert")
    try:
        reason = _reason(
            host,
            int(attempt.get("port") or 5432),
            None if authorities in {None, "system"} else str(authorities),
            timeout_s,
        )
    except (OSError, ValueError):
        # The probe is a courtesy; what libpq said stands without it.
        return refusal
    return replace(refusal, text=f"{refusal.text} ({reason})") if reason else refusal


def _reason(host: str, port: int, authorities: str | None, timeout_s: float) -> str:
    """What OpenSSL has against the certificate, empty when nothing."""
    context = ssl.create_default_context(cafile=authorities)
    context.check_hostname = False
    with socket.create_connection((host, port), timeout_s) as plain:
        plain.sendall(_SSL_REQUEST)
        if plain.recv(1) != b"S":
            return ""
        try:
            context.wrap_socket(plain).close()
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return ""
