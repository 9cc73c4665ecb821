"""The configuration of a Postgres source."""

from typing import Any

import pytest
from pydantic import ValidationError

from connectors.postgres import Config

MINIMAL: dict[str, Any] = {"url": "postgresql://u:s3cret@h/d", "tables": ["public.*"]}


def test_address_and_tables_are_enough() -> None:
    config = Config(**MINIMAL)

    assert (
        config.snapshot,
        config.create_slot,
        config.create_publication,
    ) == ("initial", True, True)
    assert "s3cret" not in repr(config)
    assert "s3cret" not in config.model_dump_json()


@pytest.mark.parametrize(
    "change",
    [
        {"tables": []},
        {"tables": ["products"]},
        {"tables": ["public."]},
        {"exclude_tables": ["x"]},
        {"snapshot": "sometimes"},
        {"slot": "Upper"},
        {"slot": "x" * 64},
        {"publication": ""},
        {"password": "a", "password_command": ["b"]},
        {"password_command": []},
        {"status_interval_s": 0},
        {"unknown": 1},
    ],
)
def test_what_cannot_work_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(**{**MINIMAL, **change})


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Config.model_fields.values())
