from pathlib import Path

from cdc.config import read
from demo.pipeline import SALT_VARIABLE, config_text


def test_the_demo_shows_a_configuration_that_is_valid(tmp_path: Path) -> None:
    text = config_text("postgresql://postgres@127.0.0.1:5432/shop", "redis://127.0.0.1/0", 8470)

    config = read(text, tmp_path / "cdc.yaml", environment={SALT_VARIABLE: "salt"})

    assert sorted(config.sinks) == ["cache", "search"]


def test_without_a_cache_the_index_is_the_only_sink(tmp_path: Path) -> None:
    text = config_text("postgresql://postgres@127.0.0.1:5432/shop", None, 8470)

    config = read(text, tmp_path / "cdc.yaml", environment={SALT_VARIABLE: "salt"})

    assert list(config.sinks) == ["search"]
