"""Who we are to the server, and who it is to us: TLS, certificates, passwords, on real servers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cdc.errors import CdcError, PositionLost, SourceRefused, TransientError
from cdc.secret import Reference, Secret
from connectors.postgres.connection import Dialer
from connectors.postgres.lsn import Lsn
from tests.integration.postgres_capture import Capture
from tests.integration.postgres_pair import begin_again, execute, go_on, ids
from tests.lab.certificates import Authority
from tests.lab.postgres import PostgresServer

pytestmark = pytest.mark.postgres

RULES = """\
local     all  all      trust
hostssl   all  postgres 127.0.0.1/32 trust
hostssl   all  carded   127.0.0.1/32 cert
hostssl   all  all      127.0.0.1/32 scram-sha-256
hostnossl all  all      127.0.0.1/32 reject
"""
SETTING_UP = (
    "CREATE TABLE t (id int PRIMARY KEY, v text)",
    "CREATE PUBLICATION cdc_shop FOR TABLE t",
    "CREATE ROLE cdc LOGIN REPLICATION PASSWORD 'pässword'",
    "CREATE ROLE carded LOGIN REPLICATION",
    "GRANT SELECT ON t TO cdc, carded",
)


@dataclass
class Place:
    """A server that takes TLS only, with the authority that it and its clients belong to."""

    server: PostgresServer
    authority: Authority
    stranger: Authority

    def url(self, user: str = "cdc", password: str | None = "pässword", **more: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in more.items())
        return f"{self.server.url(user=user, password=password)}?{query}"

    def show(self, certificate: str) -> None:
        """Let the server use another certificate from now on."""
        execute(
            self.server,
            f"ALTER SYSTEM SET ssl_cert_file = '{certificate}.pem'",
            f"ALTER SYSTEM SET ssl_key_file = '{certificate}.key'",
            "SELECT pg_reload_conf()",
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority(folder / "own"), Authority(folder / "other", "stranger")
    with PostgresServer.start() as server:
        execute(server, *SETTING_UP)
        names = ["DNS:localhost", "IP:127.0.0.1"]
        for name, days in (("server", 3650), ("expired", -1)):
            certificate, key = authority.issue(name, alternatives=names, days=days)
            server.own_file(f"{name}.pem", certificate)
            server.own_file(f"{name}.key", key)
        server.own_file("ca.pem", authority.root)
        (server.data_dir / "pg_hba.conf").write_text(RULES)
        execute(
            server,
            "ALTER SYSTEM SET ssl_cert_file = 'server.pem'",
            "ALTER SYSTEM SET ssl_key_file = 'server.key'",
            "ALTER SYSTEM SET ssl_ca_file = 'ca.pem'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        )
        yield Place(server, authority, stranger)


def refusal(url: str, *, password: Secret | None = None) -> CdcError:
    """Why there is no connection."""
    dialer = Dialer(Secret(url), password, None, 5.0, "test")
    try:
        dialer.connect().close()
    except CdcError as error:
        return error
    pytest.fail("nothing was refused")


# --- what works -----------------------------------------------------------------------------------


def test_verified_server_and_bound_password_serve_every_connection(
    place: Place, tmp_path: Path
) -> None:
    url = place.url(
        sslmode="verify-full", sslrootcert=str(place.authority.root), channel_binding="require"
    )

    with Capture(url, tmp_path) as capture:
        capture.until_streaming()
        with place.server.connect() as connection:
            sessions = connection.execute(
                "SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                " WHERE usename = 'cdc'"
            ).fetchone()

    assert sessions == (3, True)


def test_client_certificate_is_enough(place: Place, tmp_path: Path) -> None:
    certificate, key = place.authority.issue("carded")
    url = place.url("carded", None, sslmode="require", sslcert=str(certificate), sslkey=str(key))

    with Capture(url, tmp_path, pipeline="card", publication="cdc_shop") as capture:
        capture.until_streaming()


def test_password_file_and_service_file_are_libpqs_own(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords, services = tmp_path / "pgpass", tmp_path / "services"
    passwords.write_text(f"127.0.0.1:{place.server.port}:*:cdc:pässword\n")
    passwords.chmod(0o600)
    services.write_text(
        f"[lab]\nhost=127.0.0.1\nport={place.server.port}\ndbname=postgres\nuser=cdc\n"
        f"passfile={passwords}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(services))

    for url in (place.url(password=None, passfile=str(passwords)), "postgresql:///?service=lab"):
        with Dialer(Secret(url), None, None, 5.0, "test").connect() as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("cdc",)


def test_rotated_password_is_read_again_at_the_next_connection(
    place: Place, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("pässword")
    password = Secret(Reference("stale", secret.read_text))
    url = place.url(password=None, sslmode="require")
    capture = Capture(url, tmp_path, pipeline="rotate", publication="cdc_shop", password=password)
    capture.start()
    capture.until_streaming()

    execute(place.server, "ALTER ROLE cdc PASSWORD 'new one'")
    end_sessions(place.server)
    with pytest.raises(TransientError):
        capture.until(lambda: False)
    capture.crash()
    with pytest.raises(SourceRefused, match="password authentication failed"):
        capture.source.acquire(1.0)
    secret.write_text("new one")
    begin_again(capture, float("inf"))
    execute(place.server, "INSERT INTO t VALUES (77, 'v')")
    go_on(capture, lambda: 77 in ids(capture))

    capture.close()
    execute(place.server, "ALTER ROLE cdc PASSWORD 'pässword'")


def end_sessions(server: PostgresServer) -> None:
    execute(
        server,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'cdc'",
    )


# --- what does not, in one line with its remedy ---------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "said", "hint"),
    [
        ({"sslmode": "disable"}, "no encryption", "hostssl"),
        ({"sslmode": "verify-ca", "sslrootcert": "{other}"}, "(self-signed certificate", "signed"),
        (
            {"sslmode": "verify-full", "sslrootcert": "{own}", "host": "db.example"},
            'does not match host name "db.example"',
            "verify-ca",
        ),
        ({"sslmode": "verify-ca", "sslrootcert": "/no/such"}, "does not exist", "sslrootcert"),
        ({"sslmode": "sometimes"}, "sslmode", "Correct `url`"),
        (
            {"sslmode": "require", "sslcert": "{own}", "sslkey": "/no/such"},
            "private key file",
            "sslkey",
        ),
    ],
)
def test_tls_that_cannot_be_is_one_line_with_its_remedy(
    place: Place, parameters: dict[str, str], said: str, hint: str
) -> None:
    roots = {"own": place.authority.root, "other": place.stranger.root}
    filled = {name: value.format(**roots) for name, value in parameters.items()}
    if "host" in filled:
        filled["hostaddr"] = "127.0.0.1"

    error = refusal(place.url(**filled))

    assert isinstance(error, SourceRefused)
    assert said in error.message
    assert "\n" not in str(error)
    assert hint in error.hint
    assert "pässword" not in str(error)


def test_expired_certificate_is_told_from_an_unknown_one(place: Place) -> None:
    place.show("expired")
    try:
        error = refusal(place.url(sslmode="verify-full", sslrootcert=str(place.authority.root)))
    finally:
        place.show("server")

    assert "certificate has expired" in error.message
    assert "Renew" in error.hint


def test_server_without_tls_and_binding_without_tls_are_named(
    postgres_server: PostgresServer,
) -> None:
    error = refusal(f"{postgres_server.url()}?sslmode=require")
    assert isinstance(error, SourceRefused)
    assert "ssl = on" in error.hint

    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE bound LOGIN PASSWORD 'x'")
    error = refusal(f"{postgres_server.url(user='bound', password='x')}?channel_binding=require")
    assert isinstance(error, SourceRefused)
    assert "Channel binding needs TLS" in error.hint
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE bound")


@pytest.mark.parametrize("shown", ["none", "another's", "a stranger's"])
def test_login_by_certificate_needs_the_right_one(place: Place, shown: str) -> None:
    more = {}
    if shown != "none":
        authority = place.authority if shown == "another's" else place.stranger
        certificate, key = authority.issue("somebody")
        more = {"sslcert": str(certificate), "sslkey": str(key)}

    error = refusal(place.url("carded", None, sslmode="require", **more))

    assert isinstance(error, SourceRefused)
    assert "sslcert" in error.hint


# --- the server's language ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def german() -> Iterator[PostgresServer]:
    """A server whose messages are German, also those before a session exists."""
    settings = {"lc_messages": "C.UTF-8"}
    with PostgresServer.start(settings=settings, environment={"LANGUAGE": "de"}) as server:
        with server.connect() as connection, pytest.raises(psycopg.Error) as caught:
            connection.execute("SELECT 1/0")
        if "durch Null" not in str(caught.value):
            pytest.skip("this PostgreSQL was built or installed without German messages")
        execute(server, SETTING_UP[0], SETTING_UP[1])
        yield server


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"user": "nobody", "password": "x"}, "Correct `password`"),
        ({"database": "no_such"}, "database's name"),
    ],
)
def test_refused_connection_is_understood_in_another_language(
    german: PostgresServer, change: dict[str, str], hint: str
) -> None:
    error = refusal(german.url(**change))

    assert isinstance(error, SourceRefused)
    assert hint in error.hint


def test_lost_slot_and_publication_are_understood_in_another_language(
    german: PostgresServer, tmp_path: Path
) -> None:
    with Capture(german.url(), tmp_path) as capture:
        capture.until_streaming()
        execute(german, "DROP PUBLICATION cdc_shop", "INSERT INTO t VALUES (1, 'v')")
        with pytest.raises(SourceRefused, match="existiert nicht") as caught:
            capture.until(lambda: False)
        assert "Create the publication again" in caught.value.hint

        capture.crash()
        execute(german, "SELECT pg_drop_replication_slot('cdc_shop')")
        fresh = capture.source._dial_replication()
        with pytest.raises(PositionLost, match="existiert nicht"):
            fresh.start("cdc_shop", "cdc_shop", Lsn(1))
        fresh.close()
