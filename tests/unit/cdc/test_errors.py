import inspect
import re

import pytest

from cdc import errors


def test_message_and_hint_are_one_text() -> None:
    error = errors.SourceRefused("slot shop is missing", hint="Create it")

    assert str(error) == "slot shop is missing. Create it"


def test_class_hint_is_used_unless_one_is_given() -> None:
    assert errors.PositionLost("gone").hint == errors.PositionLost.default_hint
    assert str(errors.PositionLost("gone", hint="")) == "gone"


def test_decode_error_says_where_and_in_what() -> None:
    error = errors.DecodeError("message ends early", offset=7, kind="Insert", hint="")

    assert str(error) == "message ends early in Insert at byte 7"
    assert (error.offset, error.kind) == (7, "Insert")


def test_missing_extra_names_the_command_that_installs_it() -> None:
    assert "pip install 'tidewire[redis]'" in str(errors.MissingExtra("sink cache", "redis"))


def test_transient_error_carries_the_peers_wish() -> None:
    assert errors.TransientError("busy", retry_after_s=2.5).retry_after_s == 2.5
    assert errors.LeaseLost("gone").retriable


@pytest.mark.parametrize(
    "error",
    [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.CdcError) and kind is not errors.CdcError
    ],
)
def test_every_error_is_drawn_in_the_tree_at_its_place(error: type[errors.CdcError]) -> None:
    drawn = errors.__doc__ or ""
    line = next(text for text in drawn.splitlines() if re.search(rf"- {error.__name__}\b", text))

    parent = error.__mro__[1]
    depth = line.index("-")
    above = drawn[: drawn.index(line)].splitlines()
    owner = next(
        text for text in reversed(above) if re.search(r"\w", text) and _depth(text) < depth
    )

    assert parent.__name__ in owner


def _depth(line: str) -> int:
    return line.index("-") if re.search(r"[|'] *.?- ", line) else 0


def test_several_missing_clients_are_one_command() -> None:
    missing = [
        errors.MissingExtra('sink type "redis"', "redis"),
        errors.MissingExtra('sink type "opensearch"', "opensearch"),
        errors.MissingExtra('sink type "redis"', "redis"),
    ]

    together = errors.MissingExtra.of(missing)

    assert together.message.endswith('for sink type "redis" and sink type "opensearch"')
    assert together.hint == "Install it with: pip install 'tidewire[redis,opensearch]'"


def test_remedy_follows_a_question_without_a_full_stop() -> None:
    asked = errors.ConfigError('there is no table a; did you mean "b"?', hint="Correct it.")
    plain = errors.ConfigError("there is no table a", hint="Correct it.")
    alone = errors.ConfigError("there is no table a", hint="")

    assert str(asked) == 'there is no table a; did you mean "b"? Correct it.'
    assert str(plain) == "there is no table a. Correct it."
    assert str(alone) == "there is no table a"
