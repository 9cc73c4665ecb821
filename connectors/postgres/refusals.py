"""What the server's errors on an open session mean for us: the one place that translates them.

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

# Data exceptions, and what functions in the database raise: their messages name values of rows.
_OF_DATA: Final = {"22", "P0"}

_WAL_LEVEL: Final = "Run: ALTER SYSTEM SET wal_level = logical; and restart the server."
_PUBLICATION_GONE: Final = (
    "Create the publication again (`cdc check` prints the SQL). Changes made while it was missing "
    "may stay undecodable for this slot; then run `cdc heal SOURCE`."
)
_NO_RIGHT: Final = "Grant the right; `cdc check` prints the exact statement."
_HIDDEN: Final = (
    "Rows would be left out without a word. Run: ALTER ROLE <user> BYPASSRLS; or let the role own "
    "the table, or exclude the table."
)
_FULL: Final = "Drop slots that nobody uses, or raise max_replication_slots and restart the server."
_SYNCED: Final = (
    "The slot of a standby that follows one on the primary can be read once the standby is "
    "promoted; until then let `url` name the primary, or configure another `slot`."
)
_NOT_UTF8: Final = (
    "A database in SQL_ASCII takes any bytes; only UTF-8 can be captured. Mend the values (for "
    "example with convert_from(value::bytea, 'LATIN1')), then run `cdc reset SOURCE`: changes that "
    "hold them cannot be read any more."
)
_BUSY: Final = (
    "Another process reads the slot, perhaps a predecessor that is not gone yet; it is tried again "
    "until that one ends."
)

# SQLSTATE, a phrase of the message, names of the server's functions that say the same in another
# language, what it means for us, and the hint (None: the class's own). The first that fits decides.
# Source: PostgreSQL src/backend/replication/{slot,walsender,logical/logical}.c,
# src/backend/access/transam/{xlog,xlogutils}.c, src/backend/catalog/pg_publication.c.
_WAL_GONE: Final = ("WalSndSegmentOpen", "wal_segment_open", "CheckXLogRemoved")
_SLOT_LOST: Final = ("CreateDecodingContext", "ReplicationSlotAcquire", "StartLogicalReplication")
_Rule = tuple[str, str, tuple[str, ...], type[CdcError], str | None]
_RULES: Final[tuple[_Rule, ...]] = (
    ("58P01", "WAL segment", _WAL_GONE, PositionLost, None),
    ("55000", "wal_level", ("CheckLogicalDecodingRequirements",), SourceRefused, _WAL_LEVEL),
    ("55000", "cannot use replication slot", (), SourceRefused, _SYNCED),
    ("55000", "no longer", _SLOT_LOST, PositionLost, None),
    ("55000", "invalidated", (), PositionLost, None),
    ("55000", "cannot read from logical replication slot", (), PositionLost, None),
    ("42704", "replication slot", ("ReplicationSlotAcquire",), PositionLost, None),
    (
        "42704",
        "publication",
        ("get_publication_oid", "GetPublicationByName"),
        SourceRefused,
        _PUBLICATION_GONE,
    ),
    ("42501", "row-level security", ("check_enable_rls",), SourceRefused, _HIDDEN),
    ("42501", "", (), SourceRefused, _NO_RIGHT),
    ("22021", "", (), SourceRefused, _NOT_UTF8),
    ("53400", "", (), SourceRefused, _FULL),
    ("55006", "", (), TransientError, _BUSY),
    ("57014", "", (), TransientError, None),
)


def session_error(error: psycopg.Error, doing: str) -> CdcError:
    """Why something failed on an open connection, as an error of ours."""
    message = error.diag.message_primary or _one_line(str(error))
    return server_error(error.sqlstate, message, doing, error.diag.source_function or "")


def result_error(result: PGresult, doing: str) -> CdcError:
    """What a failed command of the replication connection means."""
    state = result.error_field(DiagnosticField.SQLSTATE)
    message = result.error_field(DiagnosticField.MESSAGE_PRIMARY)
    text = message.decode(errors="replace") if message else _one_line(result.get_error_message())
    function = result.error_field(DiagnosticField.SOURCE_FUNCTION) or b""
    return server_error(state.decode() if state else None, text, doing, function.decode())


def server_error(state: str | None, message: str, doing: str, function: str = "") -> CdcError:
    """The error for SQLSTATE `state`; None: the connection was lost without a word.

    `function` is the server's function that reported it, which no setting translates.
    """
    if state == "22021":
        # What follows the colon are bytes of a row's value; the name of the encoding is not.
        message = message.partition(":")[0]
    elif state is not None and state[:2] in _OF_DATA:
        message = _without_values(state, message)
    said = f"{doing} failed: {message}"
    if state is not None:
        for rule_state, phrase, functions, kind, hint in _RULES:
            if state == rule_state and (phrase in message or function in functions):
                return kind(said, hint=hint)
    if state is None or state[:2] in _PASSING_CLASSES:
        return TransientError(said)
    return SourceRefused(said)


def _without_values(state: str, message: str) -> str:
    """What the server says up to where a value may begin: a colon, a quotation mark, bytes."""
    words = "" if state.startswith("P0") else re.split(r"[:\"'«»„“]|\b0x", message)[0].strip()
    return f"{words or 'an error about a value'} (SQLSTATE {state})"


def publication_gone(name: str) -> SourceRefused:
    """The server skips changes because the publication was missing when they were made."""
    return SourceRefused(
        f"publication {name} did not exist when the changes that come next were made",
        hint=_PUBLICATION_GONE,
    )


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
