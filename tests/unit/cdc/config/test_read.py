"""A whole file: what is accepted, and how everything else is refused in plain words."""

import re
from pathlib import Path

import pytest

from cdc.config import Config, InvalidConfig, load, read
from cdc.errors import ConfigError

COMPONENTS = "tests.unit.cdc.config.components"

SOURCES = f"""
sources:
  shop:
    type: {COMPONENTS}
    tables: [public.products, "public.order_*"]
    exclude_tables: [public.order_audit]
"""


def parsed(text: str, folder: str = "/etc/cdc", **environment: str) -> Config:
    return read(text, Path(folder, "cdc.yaml"), environment=environment)


def refused(text: str, **environment: str) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        parsed(text, **environment)
    return str(caught.value).splitlines()


def sink(lines: str) -> str:
    return f"name: shop\n{SOURCES}sinks:\n  out:\n    type: blackhole\n{lines}"


def test_the_smallest_file_keeps_state_beside_itself_in_an_embedded_log() -> None:
    config = parsed("name: shop\n")

    assert ("shop", Path("/etc/cdc/state")) == (config.name, config.state_dir)
    assert config.log.component.name == "embedded"
    assert config.admin is None
    assert (config.logging.format, config.logging.level) == ("auto", "info")


def test_relative_paths_of_components_are_relative_to_the_file(tmp_path: Path) -> None:
    text = f"name: shop\n{SOURCES}    spill: [a, /b]\n"

    config = parsed(text, str(tmp_path))

    chosen = config.sources["shop"].chosen
    assert chosen is not None
    assert [tmp_path / "a", Path("/b")] == list(getattr(chosen.settings, "spill", ()))


def test_core_keys_belong_to_the_core_and_the_others_to_the_component() -> None:
    text = f"name: shop\n{SOURCES}    topic_prefix: My.Shop\n    port: ${{env:PORT}}\n"

    source = parsed(text, PORT="77").sources["shop"]

    assert source.topic_prefix == "My.Shop"
    assert source.chosen is not None
    assert getattr(source.chosen.settings, "port", None) == 77


def test_key_is_another_name_for_id() -> None:
    config = parsed(sink("    from: [public.products]\n    key: 'p:{id}'\n"))

    assert config.sinks["out"].keys.id == "p:{id}"


def test_components_that_a_process_has_no_use_for_are_not_imported() -> None:
    text = "name: shop\nsources: {a: {type: no.such}, b: {type: no.such}}\n"

    config = read(text, Path("/etc/cdc.yaml"), only={"other"})

    assert [source.chosen for source in config.sources.values()] == [None, None]


SALTED = """\
    transforms:
      - type: columns
        tables: [public.users]
        hash: [email]
        salt: ${env:SALT}
"""


@pytest.mark.parametrize("lines", ["    password: ${env:PASSWORD}\n", SALTED])
def test_secrets_that_a_process_has_no_use_for_need_not_be_set(lines: str) -> None:
    text = f"name: shop\n{SOURCES}{lines}"

    config = read(text, Path("/etc/cdc.yaml"), only=(), environment={})

    assert list(config.sources) == ["shop"]


def test_names_that_every_process_uses_need_their_variables() -> None:
    text = f"name: shop\n{SOURCES}    topic_prefix: ${{env:PREFIX}}\n"

    with pytest.raises(InvalidConfig, match="PREFIX is not set"):
        read(text, Path("/etc/cdc.yaml"), only=(), environment={})


def test_a_secret_is_masked_wherever_the_configuration_is_printed() -> None:
    text = f"name: shop\n{SOURCES}    password: ${{env:PASSWORD}}\n"

    config = parsed(text, PASSWORD="hunter2")

    assert "hunter2" not in repr(config)
    assert "hunter2" not in config.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: shop\nstatedir: x\n", '2: statedir: unknown key; did you mean "state_dir"?'),
        ("state_dir: x\n", "1: name: is missing"),
        ("name:\n", "1: name: is empty; give it a value or remove it"),
        ("name: 3\n", "1: name: must be text; put it in quotes"),
        ("name: Shop\n", "1: name: a name has up to 40 lower-case letters"),
        ("name: x\nlog: [a]\n", "2: log: must hold keys, such as {key: value}"),
        ("name: x\nlog: {type: embeded}\n", '2: log.type: there is no log type "embeded"'),
        ("name: x\nlog: {}\n", "2: log.type: is missing"),
        ("name: x\nlog: {type: ../x}\n", '2: log.type: "../x" is no type of a log'),
        ("name: x\nsinks:\n  y:\n", "3: sinks.y: is empty"),
        (
            "name: x\nlogging: {level: warn}\n",
            (
                "2: logging.level: must be 'debug', 'info', 'warning' or 'error', not \"warn\"; "
                'did you mean "warning"?'
            ),
        ),
        ("name: x\nadmin: {listen: 80}\n", "2: admin.listen: must be text"),
        ("name: x\nadmin: {listen: 'h:99999'}\n", "2: admin.listen: must be address:port"),
        ("name: x\nadmin: {listen: '0.0.0.0:1'}\n", "2: admin: 0.0.0.0 can be reached by others"),
        (
            f"name: x\nsources:\n  a-b: {{type: {COMPONENTS}}}\n",
            "3: sources.a-b: a name has up to 40 lower-case letters",
        ),
        (
            "name: x\nsources:\n  a: {type: json}\n",
            '3: sources.a.type: there is no source type "json"',
        ),
        (
            "name: x\nsources:\n  a: {type: cdc.errors}\n",
            "3: sources.a.type: the module cdc.errors is no source",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_plain_words(text: str, expected: str) -> None:
    (line,) = refused(text)

    assert line.startswith(f"/etc/cdc/cdc.yaml:{expected}")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("    from: [products]\n", "sinks.out.from: must be schema.table"),
        ("    from: []\n", "sinks.out: needs either `from` (tables of the sources) or `topics`"),
        ("    from: [a.b]\n    topics: [x]\n", "sinks.out: needs either `from`"),
        ("    from: public.products\n", "sinks.out.from: must be a list, such as [a, b]"),
        ("    from: [public.user]\n", 'sinks.out.from[0]: the source "shop" does not capture'),
        ("    from: [public.order_audit]\n", 'sinks.out.from[0]: the source "shop" excludes'),
        (
            "    from: ['shpo:public.products']\n",
            'sinks.out.from[0]: there is no source "shpo"; did you mean "shop"?',
        ),
        (
            "    from: [public.products]\n    id: 'p:{id'\n",
            "sinks.out.id: the id template 'p:{id' has '{' without a column's name",
        ),
        (
            "    from: [public.products]\n    tables: {public.products: {ids: x}}\n",
            'sinks.out.tables.public.products.ids: unknown key; did you mean "id"?',
        ),
    ],
)
def test_a_wrong_sink_is_refused_with_its_place(lines: str, expected: str) -> None:
    (line,) = refused(sink(lines))

    assert expected in line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("prot: 3", 'shop.prot: unknown key; did you mean "port"?'),
        ("topic_prefx: x", 'shop.topic_prefx: unknown key; did you mean "topic_prefix"?'),
        ("port: x", "shop.port: must be a whole number"),
        ("port: 0", "shop.port: must be greater than 0"),
        ("retry: {delay_ms: 3}", 'shop.retry.delay_ms: unknown key; did you mean "delay_s"?'),
        ("retry: {delay_s: soon}", "shop.retry.delay_s: must be a number"),
        ("password: 12345", "shop.password: must be text; put it in quotes"),
        ("topic_prefix: a b", "shop.topic_prefix: has up to 100 ASCII letters"),
        ("transforms: [{type: hide}]", 'transforms[0].type: there is no transform type "hide"'),
        ("format: {type: xml}", 'format.type: there is no serializer type "xml"'),
    ],
)
def test_a_wrong_key_of_a_component_is_refused_the_same_way(line: str, expected: str) -> None:
    (found,) = refused(f"name: shop\n{SOURCES}    {line}\n")

    assert found.startswith("/etc/cdc/cdc.yaml:8: ")
    assert expected in found


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines() -> None:
    text = (
        "name: Shop\nfoo: 1\nsources:\n  a: {type: no.such}\n"
        "sinks:\n  b: {type: blackhole, form: [x.y], from: ['${env:NOPE}']}\n"
    )

    lines = refused(text)

    assert [
        int(re.match(r".*?:(\d+):", line)[1])  # type: ignore[index]
        for line in lines
    ] == [1, 2, 4, 6, 6]
    assert "NOPE is not set" in "\n".join(lines)


def test_names_of_sources_and_sinks_share_one_namespace() -> None:
    text = f"name: shop\n{SOURCES}sinks: {{shop: {{type: blackhole, from: [public.products]}}}}\n"

    (line,) = refused(text)

    assert "sinks.shop: is the name of a source as well" in line


def test_two_sources_may_not_mix_their_topics() -> None:
    text = (
        f"name: x\nsources:\n  a: {{type: {COMPONENTS}}}\n"
        f"  b: {{type: {COMPONENTS}, topic_prefix: a}}\n"
    )

    (line,) = refused(text)

    assert 'sources.b: has the topic prefix "a" of "a" as well' in line


def test_with_several_sources_a_table_says_of_which_it_is() -> None:
    text = (
        f"name: x\nsources: {{a: {{type: {COMPONENTS}}}, b: {{type: {COMPONENTS}}}}}\n"
        "sinks: {c: {type: blackhole, from: [public.t, 'b:public.t']}}\n"
    )

    (line,) = refused(text)

    assert "sinks.c.from[0]: say of which source, such as a:public.t" in line


@pytest.mark.parametrize(
    ("tables", "refusals"),
    [
        ("['a:public.t', 'b:public.t']", 1),
        ("['a:public.*', 'b:public.t']", 1),
        ("['a:public.t', 'b:public.u']", 0),
        ("['a:public.t', 'a:public.*']", 0),
    ],
)
def test_tables_of_one_name_from_two_sources_need_two_sinks(tables: str, refusals: int) -> None:
    text = (
        f"name: x\nsources: {{a: {{type: {COMPONENTS}}}, b: {{type: {COMPONENTS}}}}}\n"
        f"sinks: {{c: {{type: blackhole, from: {tables}}}}}\n"
    )

    if not refusals:
        parsed(text)
        return
    (line,) = refused(text)
    assert "sinks.c.from[1]: public.t may be a table of a as well" in line
    assert "make a sink for each source" in line


def test_no_message_speaks_pydantic() -> None:
    text = f"name: [x]\nsources: 3\nsinks: {{y: {{type: 3}}}}\nadmin: 7\n{'logging: []'}\n"

    message = "\n".join(refused(text))

    for jargon in ("Input should", "pydantic", "Field required", "valid dictionary", "Value error"):
        assert jargon not in message


def test_a_value_that_may_be_a_secret_is_never_repeated() -> None:
    text = f"name: shop\n{SOURCES}    port: ${{env:P}}\n    mode: ${{env:P}}\n"

    lines = refused(text, P="hunter2")

    assert len(lines) == 2
    assert "hunter2" not in "\n".join(lines)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration file .*cdc init"):
        load(tmp_path / "cdc.yaml")


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "cdc.yaml").write_bytes(b"name: \xff")

    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 6\)"):
        load(tmp_path / "cdc.yaml")


def test_a_directory_instead_of_a_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        load(tmp_path)
