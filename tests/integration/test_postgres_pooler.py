"""A connection pooler in the URL: named as what it is, with what to do."""

from pathlib import Path

import pytest

from cdc.errors import SourceRefused
from cdc.protocols import SourceContext
from connectors.postgres.doctor import check
from tests.integration.postgres_capture import Capture
from tests.lab.pgbouncer import PgBouncer
from tests.lab.postgres import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.longer]


def test_pooler_is_named_by_the_source_and_by_the_doctor(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with PgBouncer.start(postgres_server) as pooler:
        capture = Capture(pooler.url(), tmp_path)

        with pytest.raises(SourceRefused) as caught:
            capture.start()
        capture.close()
        (found,) = check(capture.config, SourceContext("shop", "shop", "shop", tmp_path))

    assert "unsupported startup parameter" in caught.value.message
    assert "connection pooler" in caught.value.hint
    assert (found.severity, found.code) == ("error", "connection")
    assert "name the database server itself" in found.fix


def test_pooler_that_drops_our_settings_is_refused(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Values would be written as the database's settings say, and not as the decoders expect."""
    settings = "ignore_startup_parameters=options,extra_float_digits"
    with PgBouncer.start(postgres_server, settings) as pooler:
        capture = Capture(pooler.url(), tmp_path)

        with pytest.raises(SourceRefused, match="does not have the settings") as caught:
            capture.start()
        capture.close()

    assert "name the database server itself" in caught.value.hint
