"""The YAML that is understood, and what is refused with its line."""

from pathlib import Path

import pytest

from cdc.config.document import DEPTH_MAX, SIZE_BYTES_MAX, parse
from cdc.config.problems import InvalidConfig

FILE = Path("/etc/cdc.yaml")


def problems_of(text: str) -> list[tuple[int | None, str]]:
    with pytest.raises(InvalidConfig) as caught:
        parse(text, FILE)
    return [(problem.line, problem.message) for problem in caught.value.problems]


def test_values_are_plain_and_remember_their_lines() -> None:
    text = "a: 1\nb:\n  - x\n  - {c: true}\nd: 2024-01-01\ne: 0.5\nf:\ng: no\n"

    document = parse(text, FILE)

    expected = {
        "a": 1,
        "b": ["x", {"c": True}],
        "d": "2024-01-01",
        "e": 0.5,
        "f": None,
        "g": "no",
    }
    assert expected == document.values
    assert document.line(("b", 1, "c")) == 4
    assert document.line(("b", 0)) == 3
    assert document.line(("b", "not there")) == 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "given twice (first on line 1)"),
        ("a:\n  b: 1\n  b: 2\n", 3, "given twice (first on line 2)"),
        ("a: &x 1\n", 1, "anchor &x"),
        ("a: 1\nb: *x\n", 2, "alias *x"),
        ("a: !!python/object:os.system {}\n", 1, "YAML tag"),
        ("a: !env HOME\n", 1, "YAML tag"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: 'x\n", 2, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("\ta: 1\n", 1, "not valid YAML"),
        ("1: x\n", 1, "a key must be text"),
        ("{a: 1}: x\n", 1, "a key must be text"),
        ("- a\n", 1, "must hold keys"),
        ("just text\n", 1, "must hold keys"),
        ("a: " + "[" * (DEPTH_MAX + 1), 1, "levels deep"),
    ],
)
def test_what_hides_its_meaning_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    ((found_line, message),) = problems_of(text)

    assert line == found_line
    assert words in message


def test_every_refused_construct_is_reported_at_once() -> None:
    assert [line for line, _ in problems_of("a: !x 1\nb: &y 2\n")] == [1, 2]


def test_an_empty_file_says_so() -> None:
    assert problems_of("# nothing\n") == [(None, "the file is empty")]


def test_a_control_character_is_named_without_its_surroundings() -> None:
    ((_, message),) = problems_of("password: hunter2\x01\n")

    assert "not valid YAML" in message
    assert "hunter2" not in message


def test_a_syntax_error_never_repeats_the_line_it_is_on() -> None:
    ((_, message),) = problems_of("password: 'hunter2\n")

    assert "hunter2" not in message


def test_a_file_that_is_no_configuration_is_refused_before_it_is_parsed() -> None:
    ((_, message),) = problems_of("#" * (SIZE_BYTES_MAX + 1))

    assert "larger than" in message


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: {b: 1, c: ${env:X}}\n", 1), ("a:\n  - [x, ${file:/y}]\n", 2), ("a: {b: x${env:X}}\n", 1)],
)
def test_a_reference_between_braces_is_told_to_be_quoted(text: str, line: int) -> None:
    ((found_line, message),) = problems_of(text)

    assert line == found_line
    assert message.endswith('a reference needs quotes, as in "${env:NAME}"')


def test_other_syntax_errors_say_nothing_of_references() -> None:
    ((_, message),) = problems_of("a: ${env:X}\nb: {c: [1}\n")

    assert "reference" not in message
