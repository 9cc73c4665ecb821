"""What it means when no address gives a connection: the one place that says so to the operator.

By SQLSTATE and the name of the server's function where the server speaks; by libpq's own words,
which are English, where it does not.
Source: PostgreSQL src/backend/libpq/auth.c, src/backend/utils/init/{postinit,miscinit}.c;
src/interfaces/libpq/fe-connect.c, fe-secure-openssl.c, fe-auth.c.
"""

import re
from collections.abc import Sequence
from typing import Final

from cdc.errors import CdcError, SourceRefused, TransientError
from connectors.postgres.attempts import Refusal

_WRONG_LOGIN: Final = "Correct `password` (or `password_command`, or the password in `url`)."
_REPLICATION: Final = (
    "Run: ALTER ROLE <user> REPLICATION; (on RDS: GRANT rds_replication TO <user>;)"
)
_CONNECT: Final = "Run: GRANT CONNECT ON DATABASE <database> TO <user>;"
_HBA: Final = (
    "Add a line for this user, database and address to pg_hba.conf and reload the server; where "
    "its lines are `hostssl`, set sslmode=require or better in `url`."
)
_DATABASE: Final = "Correct the database's name at the end of `url`."
_ROLE: Final = "Correct the user in `url`, or: CREATE ROLE <user> LOGIN REPLICATION PASSWORD '...';"
_POOLER: Final = (
    "`url` names a connection pooler, which does not pass this on: name the database server itself."
)
_CERTIFICATE_LOGIN: Final = (
    "Give the certificate that the server asks for with sslcert and sslkey in `url`; its common "
    "name must be the user, or be mapped to it in pg_ident.conf."
)
_CLIENT_KEY: Final = "Correct sslcert and sslkey in `url`; the key's file must be private (0600)."

# SQLSTATE, the server's function (empty: any), hint.
_BY_STATE: Final = (
    ("28P01", "", _WRONG_LOGIN),
    ("28000", "InitializeSessionUserId", _ROLE),
    ("28000", "auth_failed", _CERTIFICATE_LOGIN),
    ("28000", "ClientAuthentication", _HBA),
    ("28000", "", _HBA),
    ("3D000", "", _DATABASE),
    ("42501", "CheckMyDatabase", _CONNECT),
    ("42501", "", _REPLICATION),
    ("08P01", "", _POOLER),
    ("0A000", "", "Correct `url`: the server does not know what it asks for."),
    ("22023", "", "Correct `options` in `url`."),
    ("42704", "", "Correct `options` in `url`."),
)

# What a server of an unknown state says, in English, and what libpq says by itself.
_BY_TEXT: Final = (
    (r"password authentication failed|no password supplied|empty password", _WRONG_LOGIN),
    (r'database ".*" does not exist', _DATABASE),
    (r'role ".*" (does not exist|is not permitted to log in)', _ROLE),
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects", _HBA),
    (r"permission denied for database", _CONNECT),
    (r"permission denied to start WAL sender|must be superuser or replication role", _REPLICATION),
    (r"unsupported startup parameter", _POOLER),
    (
        r"does not match host name",
        (
            "Connect by a name that is in the server's certificate, or give the server one with "
            "this name; sslmode=verify-ca checks the authority only."
        ),
    ),
    (
        r"certificate has expired",
        "Renew the server's certificate (ssl_cert_file) and reload the server.",
    ),
    (
        r"certificate verify failed",
        "Let sslrootcert in `url` name the authority that signed the server's certificate.",
    ),
    (
        r"root certificate file .* does not exist|could not read root certificate",
        (
            "Let sslrootcert in `url` name an existing file (or `system`), or use sslmode=require, "
            "which encrypts without knowing to whom."
        ),
    ),
    (
        r"does not support SSL",
        "Switch TLS on at the server (ssl = on), or use sslmode=prefer in `url`.",
    ),
    (r"weak sslmode", "With sslrootcert=system, use sslmode=verify-full in `url`."),
    (
        (
            r"alert (unknown ca|bad certificate|certificate (expired|revoked|unknown|required))"
            r"|alert handshake failure"
        ),
        f"The server does not accept the client's certificate. {_CLIENT_KEY}",
    ),
    (
        (
            r"certificate present, but not private key|private key file|certificate file"
            r"|could not read certificate|could not load private key"
        ),
        _CLIENT_KEY,
    ),
    (
        r"channel binding",
        (
            "Channel binding needs TLS and scram-sha-256 at the server: set sslmode=require and "
            "password_encryption = scram-sha-256 (then set the password again), or leave "
            "channel_binding out of `url`."
        ),
    ),
    (
        (
            r"invalid (sslmode|channel_binding|target_session_attrs|load_balance_hosts) value"
            r"|could not match \d+ port|definition of service|service file"
            r"|invalid (port|integer value)"
        ),
        "Correct `url`.",
    ),
)
# The same state and function as a missing line of pg_hba.conf, and another remedy.
_NO_CERTIFICATE: Final = "requires a valid client certificate"
_PATTERNS: Final = tuple((re.compile(text), hint) for text, hint in _BY_TEXT)
# States that end by themselves or when somebody frees connections.
_PASSING_CLASSES: Final = {"53", "57", "58", "XX"}
_WRONG_KIND: Final = re.compile(r"session is (not )?read-only|server is (not )?in hot standby mode")
_REACH: Final = "Is the server running, and are host and port in `url` right?"
_NO_SUCH: Final = (
    "None of the servers in `url` is what target_session_attrs asks for ({wanted}); it is tried "
    "again until one is, as after a failover."
)


def connection_error(refusals: Sequence[Refusal], wanted: str = "any") -> CdcError:
    """Why there is no connection: one refusal for each address that was tried, in order.

    SourceRefused when every address refuses for good; TransientError as soon as one may do better
    by itself. `wanted` is the value of target_session_attrs.
    """
    hints = [_lasting_hint(refusal) for refusal in refusals]
    said = _said(refusals)
    if all(hint is not None for hint in hints):
        return SourceRefused(f"the source refuses the connection: {said}", hint=hints[0])
    if any(_WRONG_KIND.search(refusal.text) for refusal in refusals):
        return TransientError(
            f"no server of the source will do: {said}", hint=_NO_SUCH.format(wanted=wanted)
        )
    hint = next((hint for hint in hints if hint is not None), _REACH)
    full = [refusal for refusal in refusals if refusal.state == "53300"]
    if full:
        hint = (
            "Every connection is taken: raise max_connections (or max_wal_senders, or the role's "
            "CONNECTION LIMIT), or end sessions that nobody needs."
        )
    elif any(refusal.state.startswith("57") for refusal in refusals):
        hint = "The server starts or stops; it is tried again until it is there."
    return TransientError(f"the source cannot be reached: {said}", hint=hint)


def _lasting_hint(refusal: Refusal) -> str | None:
    """What to do about a refusal that lasts until somebody does it; None for one that may pass."""
    if _NO_CERTIFICATE in refusal.text:
        return _CERTIFICATE_LOGIN
    for state, function, hint in _BY_STATE:
        if refusal.state == state and function in {"", refusal.function}:
            return hint
    if refusal.state[:2] in _PASSING_CLASSES:
        return None
    for pattern, hint in _PATTERNS:
        if pattern.search(refusal.text):
            return hint
    # A server that answered in a state of its own refuses; without one nobody answered.
    return "Correct `url`." if refusal.state else None


def _said(refusals: Sequence[Refusal]) -> str:
    texts = [_text(refusal.text) for refusal in refusals]
    if len(texts) == 1:
        return texts[0]
    return "; ".join(
        f"{refusal.place}: {text.rpartition(' failed: ')[2]}"
        for refusal, text in zip(refusals, texts, strict=True)
    )


def _text(text: str) -> str:
    """On one line, without the question that our hint asks."""
    line = re.sub(r"\s+", " ", text).strip()
    return line.partition(" Is the server running ")[0]
