"""What the server's and libpq's errors mean for us: the one place that translates them.

Only the primary message is passed on; the detail may hold row values.
Source: PostgreSQL manual, appendix PostgreSQL Error Codes.
"""

import re
from typing import Final

import psycopg
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from cdc.errors import CdcError, PositionLost, SourceRefused, TransientError

# Conditions that end by themselves or when somebody mends the server: connection, resources,
# operator intervention, deadlock and serialisation, the server's own system errors.
_PASSING_CLASSES: Final = {"08", "40", "53", "57", "58", "XX"}

# libpq gives no SQLSTATE for a refused connection; servers say these in English before a session
# exists, whatever lc_messages is in the database.
_REFUSED_CONNECTIONS: Final = (
    (
        re.compile(r"password authentication failed|no password supplied|empty password"),
        "Correct `password` (or `password_command`, or the password in `url`).",
    ),
    (
        re.compile(r'database ".*" does not exist'),
        "Correct the database's name at the end of `url`.",
    ),
    (
        re.compile(r'role ".*" (does not exist|is not permitted to log in)'),
        "Correct the user in `url`, or: CREATE ROLE <user> LOGIN REPLICATION PASSWORD '...';",
    ),
    (
        re.compile(r"no pg_hba\.conf entry|pg_hba\.conf rejects"),
        "Add a line for this user, database and address to pg_hba.conf and reload the server.",
    ),
    (
        re.compile(r"permission denied to start WAL sender|must be superuser or replication role"),
        "Run: ALTER ROLE <user> REPLICATION;",
    ),
    (
        re.compile(r"unsupported startup parameter"),
        "`url` seems to name a connection pooler; name the database server itself.",
    ),
    (
        re.compile(r"certificate verify failed|root certificate file|does not support SSL"),
        "Correct sslmode, sslrootcert and the like in `url`.",
    ),
)

_WAL_LEVEL: Final = "Run: ALTER SYSTEM SET wal_level = logical; and restart the server."
_PUBLICATION_GONE: Final = (
    "Create the publication again (`cdc check` prints the SQL). Changes made while it was missing "
    "may stay undecodable for this slot; then run `cdc reset SOURCE`."
)
_NO_RIGHT: Final = "Grant the right; `cdc check` prints the exact statement."
_FULL: Final = "Drop slots that nobody uses, or raise max_replication_slots and restart the server."
_BUSY: Final = (
    "Another process reads the slot, perhaps a predecessor that is not gone yet; it is tried again "
    "until that one ends."
)

# SQLSTATE, a phrase of the message, what it means for us, and the hint (None: the class's own).
# The first that fits decides.
_RULES: Final[tuple[tuple[str, str, type[CdcError], str | None], ...]] = (
    ("58P01", "WAL segment", PositionLost, None),
    ("55000", "wal_level", SourceRefused, _WAL_LEVEL),
    ("55000", "no longer", PositionLost, None),
    ("55000", "invalidated", PositionLost, None),
    ("55000", "cannot read from logical replication slot", PositionLost, None),
    ("42704", "replication slot", PositionLost, None),
    ("42704", "publication", SourceRefused, _PUBLICATION_GONE),
    ("42501", "", SourceRefused, _NO_RIGHT),
    ("53400", "", SourceRefused, _FULL),
    ("55006", "", TransientError, _BUSY),
    ("57014", "", TransientError, None),
)


def connection_error(error: psycopg.Error) -> CdcError:
    """Why a connection could not be made, as an error of ours."""
    text = _connection_text(_one_line(str(error)))
    for pattern, hint in _REFUSED_CONNECTIONS:
        if pattern.search(text):
            return SourceRefused(f"the source refuses the connection: {text}", hint=hint)
    return TransientError(
        f"the source cannot be reached: {text}",
        hint="Is the server running, and are host and port in `url` right?",
    )


def session_error(error: psycopg.Error, doing: str) -> CdcError:
    """Why something failed on an open connection, as an error of ours."""
    message = error.diag.message_primary or _one_line(str(error))
    return server_error(error.sqlstate, message, doing)


def result_error(result: PGresult, doing: str) -> CdcError:
    """What a failed command of the replication connection means."""
    state = result.error_field(DiagnosticField.SQLSTATE)
    message = result.error_field(DiagnosticField.MESSAGE_PRIMARY)
    text = message.decode(errors="replace") if message else _one_line(result.get_error_message())
    return server_error(state.decode() if state else None, text, doing)


def server_error(state: str | None, message: str, doing: str) -> CdcError:
    """The error for SQLSTATE `state`; None: the connection was lost without a word."""
    said = f"{doing} failed: {message}"
    if state is not None:
        for rule_state, phrase, kind, hint in _RULES:
            if state == rule_state and phrase in message:
                return kind(said, hint=hint)
    if state is None or state[:2] in _PASSING_CLASSES:
        return TransientError(said)
    return SourceRefused(said)


def publication_gone(name: str) -> SourceRefused:
    """The server skips changes because the publication was missing when they were made."""
    return SourceRefused(
        f"publication {name} did not exist when the changes that come next were made",
        hint=_PUBLICATION_GONE,
    )


def _connection_text(text: str) -> str:
    """What libpq says, without the driver's prefix, and without the question that our hint asks."""
    text = text.removeprefix("connection failed: ").removeprefix("connection is bad: ")
    return text.partition(" Is the server running ")[0]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
