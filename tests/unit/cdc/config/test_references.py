"""`${env:}` and `${file:}`: where they are resolved, when again, and what is never shown."""

from pathlib import Path

import pytest

from cdc.config.document import parse
from cdc.config.references import FILE_BYTES_MAX, resolve
from cdc.errors import ConfigError
from cdc.secret import Secret


def resolved(text: str, folder: Path, **environment: str) -> dict[str, object]:
    document, problems = resolve(parse(text, folder / "cdc.yaml"), environment)
    assert problems == ()
    return document.values


def test_references_are_replaced_in_strings_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    text = 'a: "${env:USER}@${env:HOST}"\nb: [{c: "${file:password}"}]\nd: 1\n'

    values = resolved(text, tmp_path, USER="cdc", HOST="db")

    assert values == {"a": "cdc@db", "b": [{"c": "s3cret"}], "d": 1}


def test_what_a_reference_gives_is_not_looked_at_again(tmp_path: Path) -> None:
    values = resolved("a: ${env:A}\nb: '$${env:A}'\n", tmp_path, A="${env:B}: [x")

    assert values == {"a": "${env:B}: [x", "b": "${env:A}"}


def test_a_secret_in_a_file_is_read_again_when_it_is_revealed(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    text = resolved("p: 'x${file:password}'\n", tmp_path)["p"]
    assert isinstance(text, str)
    secret = Secret(text)

    file.write_text("new\n")

    assert secret.reveal() == "xnew"


def test_a_secret_whose_file_is_gone_says_which(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    text = resolved("p: ${file:password}\n", tmp_path)["p"]
    assert isinstance(text, str)

    file.unlink()

    with pytest.raises(ConfigError, match="password cannot be read: no such file"):
        Secret(text).reveal()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("${env:NOPE}", "the environment variable NOPE is not set"),
        ("${file:nope}", "nope cannot be read: no such file"),
        ("${file:.}", "cannot be read: is a directory"),
        ("${file:binary}", "is not UTF-8"),
        ("${file:large}", "is larger than"),
        ("${vault:x}", "must be ${env:NAME} or ${file:PATH}"),
        ("${env:}", "must be ${env:NAME} or ${file:PATH}"),
        ("${env:A", "must be ${env:NAME} or ${file:PATH}"),
        ("${HOME}", "must be ${env:NAME} or ${file:PATH}"),
    ],
)
def test_a_reference_without_a_value_is_a_problem_on_its_line(
    tmp_path: Path, value: str, words: str
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    document = parse(f"a: 1\nb:\n  - '{value}'\n", tmp_path / "cdc.yaml")

    _, (problem,) = resolve(document, {"A": "x"})

    assert (problem.path, problem.line) == (("b", 0), 3)
    assert words in problem.message


def test_every_reference_without_a_value_is_reported_at_once(tmp_path: Path) -> None:
    document = parse("a: ${env:A}\nb: ${env:B}\n", tmp_path / "cdc.yaml")

    _, problems = resolve(document, {})

    assert [problem.line for problem in problems] == [1, 2]
