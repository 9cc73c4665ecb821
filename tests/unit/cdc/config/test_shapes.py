"""Settings of every shape that a third party's component may have, refused in plain words."""

import importlib.metadata
from pathlib import Path

import pytest

from cdc.config import Config, InvalidConfig, read
from cdc.config import components as found_components
from cdc.config.components import find, part_of
from cdc.config.json_schema import config_schema, missing
from cdc.config.problems import did_you_mean
from cdc.config.words import models_at
from cdc.errors import ConfigError, MissingExtra
from tests.unit.cdc.config import unions

SOURCE = f"name: shop\nsources:\n  shop:\n    type: {unions.__name__}\n"


def parsed(text: str, **environment: str) -> Config:
    return read(text, Path("/etc/cdc/cdc.yaml"), environment=environment)


def refused(text: str) -> str:
    with pytest.raises(InvalidConfig) as caught:
        parsed(text)
    return str(caught.value)


def test_names_of_a_unions_members_are_no_part_of_the_place() -> None:
    text = f"{SOURCE}    retry: {{first: {{delay_s: -1}}}}\n"

    assert "5: sources.shop.retry.first.delay_s: must be greater than 0" in refused(text)


def test_an_unknown_key_within_a_union_is_named_with_its_place() -> None:
    text = f"{SOURCE}    retry: {{frist: 1}}\n"

    assert "5: sources.shop.retry.frist: unknown key" in refused(text)


def test_a_components_own_refusal_keeps_its_words() -> None:
    assert "sources.shop: port 13 is not for databases" in refused(f"{SOURCE}    port: 13\n")


def test_a_rule_of_a_third_party_is_told_in_its_validators_words() -> None:
    assert "sources.shop.key: Data should have at most 2 bytes" in refused(
        f"{SOURCE}    key: abc\n"
    )


def test_nothing_stands_below_a_plain_value() -> None:
    assert models_at(unions.Config, ("port", "below")) == []
    assert models_at(unions.Config, ("retry", "first")) == [unions.Delay]


@pytest.mark.parametrize(
    ("listen", "loopback"), [("localhost:80", True), ("[::1]:80", True), ("127.0.0.9:80", True)]
)
def test_an_address_of_this_machine_needs_no_token(listen: str, loopback: bool) -> None:
    admin = parsed(f"name: shop\nadmin: {{listen: '{listen}'}}\n").admin

    assert admin is not None
    assert admin.is_loopback == loopback


def test_a_host_by_name_needs_a_token() -> None:
    assert "shop.example can be reached by others" in refused(
        "name: shop\nadmin: {listen: 'shop.example:80'}\n"
    )


def test_an_id_template_may_be_left_out_on_purpose() -> None:
    config = parsed(f"{SOURCE}sinks:\n  out: {{type: blackhole, from: [public.t], id: null}}\n")

    assert config.sinks["out"].keys.id is None


def test_a_pattern_is_of_no_source_where_there_is_none() -> None:
    text = "name: shop\nsinks:\n  out: {type: blackhole, from: [public.t]}\n"

    assert "there is no source in this file that could have this table" in refused(text)


def test_nothing_is_guessed_where_nothing_is_known() -> None:
    assert did_you_mean("shop", []) == ""


def test_a_process_needs_what_the_core_reads_of_others_but_none_of_their_secrets() -> None:
    text = f"""{SOURCE}sinks:
  out: {{type: sqlite, from: ["${{env:TABLE}}"], path: "${{env:PLACE}}"}}
"""

    with pytest.raises(InvalidConfig, match="TABLE is not set") as caught:
        read(text, Path("/etc/cdc.yaml"), only={"shop"}, environment={})

    assert "PLACE" not in str(caught.value)
    config = read(text, Path("/etc/cdc.yaml"), only={"shop"}, environment={"TABLE": "public.t"})
    assert config.sinks["out"].keys.from_ == ("public.t",)


def test_an_installed_package_offers_components_by_a_short_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = importlib.metadata.EntryPoint("other", unions.__name__, "tidewire.sources")

    def points(group: str, name: str | None = None) -> list[importlib.metadata.EntryPoint]:
        return [point] if group == point.group and name in {None, point.name} else []

    monkeypatch.setattr(found_components, "entry_points", points)

    component = find("sources", "other")

    assert (component.name, component.model) == ("other", unions.Config)
    assert "other" in found_components.known("sources")


def test_a_component_of_one_module_has_nothing_beside_it() -> None:
    assert part_of(find("sources", unions.__name__), "scaffold") is None
    assert part_of(find("sources", "postgres"), "scaffold") is not None
    assert part_of(find("sources", "postgres"), "no_such_part") is None


def test_the_schema_leaves_open_what_needs_a_client_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    importing = importlib.import_module

    def without_redis(name: str, package: str | None = None) -> object:
        if name == "sinks.redis":
            raise ModuleNotFoundError("No module named 'redis'", name="redis")
        return importing(name, package)

    monkeypatch.setattr(importlib, "import_module", without_redis)

    with pytest.raises(MissingExtra):
        find("sinks", "redis")
    (line,) = missing()
    assert 'sink type "redis"' in line
    assert config_schema()["type"] == "object"


def test_a_client_that_we_do_not_know_is_named_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> object:
        raise ImportError(f"{name} is broken")

    monkeypatch.setattr(importlib, "import_module", fails)

    with pytest.raises(ConfigError, match="cannot be imported"):
        find("sinks", "redis")
