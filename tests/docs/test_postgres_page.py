"""The page of the Postgres source keeps up with the code."""

import re
from pathlib import Path

import pytest
import yaml

import connectors.postgres
from connectors.postgres.config import Config
from tests.integration.command_line import Folder
from tests.lab import PostgresDatabase

PAGE = (Path(__file__).parents[2] / "docs" / "sources" / "postgres.md").read_text("utf-8")
FOLDER = Path(connectors.postgres.__path__[0])
_FINDING = re.compile(r'Finding\(\s*"(?:error|warning|ok)"(?: if .*)?,\s*"([a-z-]+)"')


def test_every_code_of_the_doctor_is_explained() -> None:
    source = "".join(path.read_text("utf-8") for path in FOLDER.glob("doctor*.py"))
    codes = set(_FINDING.findall(source)) - {"tables", "keys", "types", "table-rights"}
    table = PAGE.rpartition("## What `cdc check` finds")[2]

    assert len(codes) > 20
    assert [code for code in sorted(codes) if f"`{code}`" not in table] == []


def test_the_example_is_a_configuration() -> None:
    (example,) = re.findall(r"```yaml\nsources:\n(.*?)```", PAGE, re.DOTALL)
    (settings,) = yaml.safe_load(example).values()

    assert (
        Config.model_validate(
            {key: value for key, value in settings.items() if key != "type"}
        ).snapshot
        == "initial"
    )


@pytest.mark.postgres
def test_the_least_rights_are_enough_for_a_check_without_errors(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    given = PAGE.partition("## Give the least rights")[2]
    (statements,) = re.findall(r"```sql\n(.*?)```", given.partition("## ")[0], re.DOTALL)
    role, password = postgres_database.create_role("LOGIN REPLICATION")
    url = postgres_database.url.replace("postgres@", f"{role}:{password}@")
    # The fixture makes the role, so that it also removes it.
    rights = [text.strip() for text in statements.split(";") if "CREATE ROLE" not in text]
    postgres_database.execute(
        "CREATE TABLE products (id int PRIMARY KEY)",
        "CREATE TABLE orders (id int PRIMARY KEY)",
        *[
            re.sub(r"\bTO cdc\b", f"TO {role}", text).replace(
                "DATABASE shop", f"DATABASE {postgres_database.name}"
            )
            for text in rights
            if text
        ],
    )
    folder = Folder(tmp_path)
    folder.write(
        "name: shop\nsources:\n  shop:\n    type: postgres\n"
        f"    url: {url}\n    tables: [public.products, public.orders]\n"
        "sinks: {out: {type: blackhole, from: [public.products]}}\n"
    )

    result = folder.cdc("check")

    assert result.code == 0, result.out + result.err
    assert len(rights) > 4
