"""Databases that are not in UTF-8: the characters they hold, or an error that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cdc.errors import SourceRefused
from tests.integration.postgres_capture import Capture
from tests.lab.postgres import PostgresServer

pytestmark = pytest.mark.postgres


@contextmanager
def database_in(server: PostgresServer, encoding: str) -> Iterator[str]:
    """The URL of a database in this encoding; dropped afterwards with its slots."""
    name = f"encoded_{encoding.lower()}"
    with server.connect() as connection:
        connection.execute(
            sql.SQL(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'"
            ).format(sql.Identifier(name), sql.Literal(encoding))
        )
    try:
        yield server.url(name)
    finally:
        with server.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots "
                "WHERE database = %s AND active_pid IS NOT NULL",
                (name,),
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE database = %s",
                (name,),
            )
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def session(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, client_encoding="UTF8")


@pytest.mark.parametrize(
    ("encoding", "text"), [("LATIN1", "é£ÿ"), ("EUC_JP", "日本語"), ("SQL_ASCII", "é日😀")]
)
def test_characters_of_any_encoding_are_captured(
    encoding: str, text: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with database_in(postgres_server, encoding) as url:
        with session(url) as connection:
            connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text, a text[], j json)")
            insert(connection, 1, text)
        with Capture(url, tmp_path, pipeline="encodings") as capture:
            capture.until_streaming()
            with session(url) as connection:
                insert(connection, 2, text)
            capture.until_current()

            rows = [tuple(event.after or ()) for event in capture.events]
            capture.source.close()

    assert rows == [(number, text, (text, None), f'"{text}"') for number in (1, 2)]


def test_bytes_that_are_no_utf8_stop_the_source_with_the_remedy(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with database_in(postgres_server, "SQL_ASCII") as url:
        with session(url) as connection:
            connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text, a text[], j json)")
        with Capture(url, tmp_path, pipeline="encodings") as capture:
            capture.until_streaming()
            with session(url) as connection:
                connection.execute(r"INSERT INTO t VALUES (1, E'secret\xe9\xff')")
            with pytest.raises(SourceRefused, match="UTF8") as streamed:
                capture.until_current()
            findings = {finding.code: finding for finding in capture.source.check()}
            capture.source.close()
        with Capture(url, tmp_path / "again", pipeline="encodings2") as again:
            with pytest.raises(SourceRefused, match="UTF8") as read:
                again.until_streaming()
            again.source.close()

    for error in (streamed.value, read.value):
        assert "0xe9" not in str(error)
        assert "convert_from" in error.hint
    assert findings["encoding"].severity == "warning"


def insert(connection: psycopg.Connection, number: int, text: str) -> None:
    connection.execute(
        "INSERT INTO t VALUES (%s, %s, ARRAY[%s, NULL], %s)", (number, text, text, f'"{text}"')
    )
