"""What it means for the pipeline when there is no connection."""

import pytest

from cdc.errors import CdcError, SourceRefused, TransientError
from connectors.postgres.attempts import Refusal
from connectors.postgres.connection_refusals import connection_error

PREFIX = 'connection to server at "db", port 1 failed: '
AWAY = Refusal("db", "1", f"{PREFIX}Connection refused\n\tIs the server running on that host?")


def refusal(text: str, state: str = "", function: str = "") -> Refusal:
    return Refusal("db", "1", f"{PREFIX}FATAL:  {text}", state, function)


@pytest.mark.parametrize(
    ("refused", "kind", "text"),
    [
        (
            AWAY,
            TransientError,
            (
                f"the source cannot be reached: {PREFIX}Connection refused. "
                "Is the server running, and are host and port in `url` right?"
            ),
        ),
        (
            refusal('database "shap" does not exist'),
            SourceRefused,
            (
                f'the source refuses the connection: {PREFIX}FATAL: database "shap" does not exist.'
                " Correct the database's name at the end of `url`."
            ),
        ),
    ],
)
def test_a_refused_connection_is_told_once_and_asks_one_question(
    refused: Refusal, kind: type[CdcError], text: str
) -> None:
    error = connection_error([refused])

    assert kind is type(error)
    assert text == str(error)


@pytest.mark.parametrize(
    ("state", "function", "kind", "hint"),
    [
        ("28P01", "auth_failed", SourceRefused, "Correct `password`"),
        ("28000", "auth_failed", SourceRefused, "sslcert"),
        ("28000", "ClientAuthentication", SourceRefused, "pg_hba.conf"),
        ("28000", "InitializeSessionUserId", SourceRefused, "CREATE ROLE"),
        ("3D000", "InitPostgres", SourceRefused, "database's name"),
        ("42501", "CheckMyDatabase", SourceRefused, "GRANT CONNECT"),
        ("42501", "InitPostgres", SourceRefused, "REPLICATION"),
        ("08P01", "", SourceRefused, "connection pooler"),
        ("22023", "set_config_option", SourceRefused, "`options`"),
        ("99999", "", SourceRefused, "Correct `url`"),
        ("53300", "InitProcess", TransientError, "max_connections"),
        ("57P03", "ProcessStartupPacket", TransientError, "starts or stops"),
    ],
)
def test_the_servers_code_decides_in_any_language(
    state: str, function: str, kind: type[CdcError], hint: str
) -> None:
    error = connection_error([refusal("etwas auf Deutsch", state, function)])

    assert kind is type(error)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("SSL error: certificate verify failed (certificate has expired)", SourceRefused, "Renew"),
        ("SSL error: certificate verify failed", SourceRefused, "sslrootcert"),
        ('root certificate file "/x" does not exist', SourceRefused, "sslrootcert"),
        ('server certificate for "a" does not match host name "b"', SourceRefused, "verify-ca"),
        ("server does not support SSL, but SSL was required", SourceRefused, "ssl = on"),
        ("SSL error: tlsv13 alert certificate required", SourceRefused, "sslcert"),
        ("channel binding required, but SSL not in use", SourceRefused, "channel_binding"),
        ("timeout expired", TransientError, "Is the server running"),
    ],
)
def test_what_libpq_says_by_itself_comes_with_its_remedy(
    said: str, kind: type[CdcError], hint: str
) -> None:
    error = connection_error([Refusal("db", "1", PREFIX + said)])

    assert kind is type(error)
    assert hint in error.hint


def test_one_address_that_may_come_back_keeps_the_source_trying() -> None:
    wrong = refusal("password authentication failed", "28P01", "auth_failed")

    assert isinstance(connection_error([wrong, wrong]), SourceRefused)
    error = connection_error([wrong, Refusal("b", "2", f"{PREFIX}Connection refused")])

    assert isinstance(error, TransientError)
    assert "db:1: FATAL: password authentication failed; b:2: Connection refused" in error.message
    assert "Correct `password`" in error.hint


def test_no_server_of_the_wanted_kind_is_waited_for() -> None:
    error = connection_error([AWAY, Refusal("b", "2", "session is read-only")], "read-write")

    assert isinstance(error, TransientError)
    assert "target_session_attrs asks for (read-write)" in error.hint
