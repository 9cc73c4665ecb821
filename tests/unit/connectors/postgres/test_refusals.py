"""What errors of the server mean for the pipeline."""

import pytest

from cdc.errors import CdcError, PositionLost, SourceRefused, TransientError
from connectors.postgres.refusals import server_error


@pytest.mark.parametrize(
    ("state", "message", "kind"),
    [
        (None, "server closed the connection unexpectedly", TransientError),
        ("57P01", "terminating connection due to administrator command", TransientError),
        ("57P03", "the database system is starting up", TransientError),
        ("53300", "sorry, too many clients already", TransientError),
        ("40001", "could not serialize access", TransientError),
        ("XX000", "could not find tuple", TransientError),
        ("57014", "canceling statement due to user request", TransientError),
        ("55006", 'replication slot "s" is active for PID 7', TransientError),
        ("58P01", "requested WAL segment 0001 has already been removed", PositionLost),
        ("55000", 'cannot read from logical replication slot "s"', PositionLost),
        ("55000", 'can no longer get changes from replication slot "s"', PositionLost),
        ("42704", 'replication slot "s" does not exist', PositionLost),
        ("42704", 'publication "p" does not exist', SourceRefused),
        ("55000", "logical decoding requires wal_level >= logical", SourceRefused),
        ("53400", "all replication slots are in use", SourceRefused),
        ("42501", "permission denied for table t", SourceRefused),
        ("0A000", "logical decoding cannot be used while in recovery", SourceRefused),
    ],
)
def test_kind_follows_from_the_servers_code(
    state: str | None, message: str, kind: type[CdcError]
) -> None:
    error = server_error(state, message, "reading")

    assert kind is type(error)
    assert error.message == f"reading failed: {message}"


def test_what_ends_the_pipeline_comes_with_a_next_step() -> None:
    assert "cdc heal" in server_error("42704", 'replication slot "s"', "x").hint
    assert "wal_level = logical" in server_error("55000", "wal_level", "x").hint
    assert "max_replication_slots" in server_error("53400", "all", "x").hint


@pytest.mark.parametrize(
    ("state", "function", "kind"),
    [
        ("55000", "CheckLogicalDecodingRequirements", SourceRefused),
        ("55000", "CreateDecodingContext", PositionLost),
        ("42704", "ReplicationSlotAcquire", PositionLost),
        ("42704", "get_publication_oid", SourceRefused),
        ("58P01", "WalSndSegmentOpen", PositionLost),
    ],
)
def test_kind_does_not_depend_on_the_servers_language(
    state: str, function: str, kind: type[CdcError]
) -> None:
    assert kind is type(server_error(state, "auf Deutsch gesagt", "reading", function))


@pytest.mark.parametrize(
    ("state", "message", "said"),
    [
        ("22P02", 'invalid input syntax for type integer: "Ann"', "invalid input syntax for type"),
        ("22003", 'value "Ann" is out of range for type integer', "value"),
        ("22P05", "character with byte sequence 0x41 0x6e 0x6e in ...", "character with byte seq"),
        ("22P02", "ungültige Eingabesyntax für Typ integer: »Ann«", "ungültige Eingabesyntax"),
        ("P0001", "Ann is not allowed here", "an error about a value"),
    ],
)
def test_a_value_that_the_server_names_is_not_passed_on(
    state: str, message: str, said: str
) -> None:
    error = server_error(state, message, "reading")

    assert "Ann" not in str(error)
    assert "0x41" not in str(error)
    assert said in error.message
    assert state in error.message
