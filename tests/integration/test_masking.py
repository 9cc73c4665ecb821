"""What the `columns` transform hides is nowhere behind the capture: whole files are searched."""

from pathlib import Path

import pytest

from tests.integration.command_line import Folder
from tests.lab.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

EXCLUDED, MASKED, HASHED = "zebra-of-ann", "yak-of-bob", "walrus-of-cid"
SECRETS = (EXCLUDED, MASKED, HASHED)
CONFIG = """
name: masked
sources:
  shop:
    type: postgres
    url: {url}
    tables: [public.person]
    snapshot_readers: {readers}
    snapshot_chunk_bytes_max: 65536
    transforms:
      - {{type: columns, tables: [public.person], exclude: [ssn], mask: [phone],
         hash: [email], salt: pepper}}
sinks:
  index: {{type: sqlite, from: [public.person], path: index.db}}
  refusing: {{type: tests.integration.refusing_sink, from: [public.person]}}
logging: {{level: debug}}
"""


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("readers", [1, 2])
def test_hidden_values_are_in_no_file_and_no_line(
    postgres_database: PostgresDatabase, tmp_path: Path, readers: int
) -> None:
    # Snapshot rows, old rows and new rows; `unwanted` makes every document a dead letter as well.
    values = f"'{EXCLUDED}', '{MASKED}', '{HASHED}'"
    postgres_database.execute(
        "CREATE TABLE person (id int PRIMARY KEY, name text, ssn text, phone text, email text)",
        "ALTER TABLE person REPLICA IDENTITY FULL",
        f"INSERT INTO person VALUES (1, 'unwanted', {values}), (2, 'kept', {values})",
        # So many that several readers have something to do.
        f"INSERT INTO person SELECT g, repeat('x', 1000), {values} FROM generate_series(99, 300) g",
    )
    folder = Folder(tmp_path)
    folder.write(CONFIG.format(url=postgres_database.url, readers=readers))

    first = folder.cdc("run", "--until-current", "--debug")
    postgres_database.execute(
        f"INSERT INTO person VALUES (3, 'unwanted', {values})",
        "UPDATE person SET id = id + 10, ssn = ssn || '!', phone = phone || '!' WHERE id < 9",
        "DELETE FROM person WHERE id = 12",
    )
    second = folder.cdc("run", "--until-current", "--debug")
    tail = folder.cdc("tail", "shop.public.person", "--from-start", "--limit", "9", "--json")

    for result in (first, second, tail):
        assert result.code == 0, result.err
    assert "dead letter" in second.err
    kept = everything_under(tmp_path)
    seen = "".join(result.out + result.err for result in (first, second, tail)).encode()
    for secret in SECRETS:
        assert secret.encode() not in kept, secret
        assert secret.encode() not in seen, secret
    # The search would be worth nothing if what is not hidden could not be found.
    assert b"unwanted" in kept
    assert b"*****" in kept
