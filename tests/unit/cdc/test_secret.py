import pytest
from pydantic import BaseModel, ValidationError

from cdc.secret import MASK, Reference, Secret


class Config(BaseModel, frozen=True):
    password: Secret


def test_secret_never_shows_in_text_forms() -> None:
    config = Config(password=Secret("hunter2"))

    for text in (str(config), repr(config), str(config.model_dump()), config.model_dump_json()):
        assert MASK in text
        assert "hunter2" not in text


def test_secret_of_a_file_is_read_again_each_time() -> None:
    contents = iter(["second", "third"])
    config = Config.model_validate({"password": Reference("first", lambda: next(contents))})

    assert config.password.reveal() == "second"
    assert config.password.reveal() == "third"


def test_plain_text_is_a_secret() -> None:
    assert Config.model_validate({"password": "x"}).password.reveal() == "x"


def test_a_number_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be a string"):
        Config.model_validate({"password": 7})


def test_json_schema_says_string() -> None:
    assert Config.model_json_schema()["properties"]["password"]["type"] == "string"
