"""pydantic's findings in the words of somebody who writes a YAML file."""

from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cdc.config.problems import KeyPath, did_you_mean
from cdc.secret import Reference

TEXT: Final = "must be text; put it in quotes"

# From pydantic's error types to a sentence; the names in braces come from the error's context.
SENTENCES: Final = {
    "missing": "is missing",
    "value_error": "{error}",
    "assertion_error": "{error}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_type": TEXT,
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list, such as [a, b]",
    "tuple_type": "must be a list, such as [a, b]",
    "set_type": "must be a list, such as [a, b]",
    "dict_type": "must hold keys, such as {{key: value}}",
    "mapping_type": "must hold keys, such as {{key: value}}",
    "model_type": "must hold keys, such as {{key: value}}",
    "model_attributes_type": "must hold keys, such as {{key: value}}",
    "path_type": "must be the path of a file",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "none_required": "must be empty",
    "url_parsing": "must be a URL, such as https://host:port",
    "url_scheme": "must be a URL that begins with one of {expected_schemes}",
}


def key_names(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Every key that the model takes in a file, aliases too."""
    names: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        names |= dict.fromkeys(_spellings(name, field), field)
    return names


def _spellings(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [alias] if isinstance(alias, str) else [name]


def models_at(model: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    """The models that may stand at `path` below `model`; more than one where it is a union."""
    annotations: list[Any] = [model]
    for part in path:
        annotations = [inner for each in annotations for inner in _below(each, part)]
    return [inner for each in annotations for inner in _models(each)]


def _below(annotation: Any, part: str | int) -> list[Any]:
    found: list[Any] = []
    for each in _members(annotation):
        if isinstance(each, type) and issubclass(each, BaseModel):
            field = key_names(each).get(str(part))
            found += [field.annotation] if field else []
        elif get_origin(each) is not None and get_args(each):
            arguments = [argument for argument in get_args(each) if argument is not Ellipsis]
            found.append(arguments[-1])
    return found


def _members(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [inner for each in get_args(annotation) for inner in _members(each)]
    return [annotation]


def _models(annotation: Any) -> list[type[BaseModel]]:
    members = _members(annotation)
    return [each for each in members if isinstance(each, type) and issubclass(each, BaseModel)]


def sentence(error: ErrorDetails, known: Iterable[str]) -> str:
    """What is wrong, without the value: it may be a secret.

    Only a word that should have been one of a few known ones is repeated. `known` are the keys that
    would have been right where an unknown one was found.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{did_you_mean(str(error['loc'][-1]), known)}"
    if kind in {"literal_error", "enum"}:
        return f"must be {context['expected']}{_nearest(error['input'], str(context['expected']))}"
    if error["input"] is None and kind not in {"value_error", "assertion_error"}:
        return "is empty; give it a value or remove it"
    if kind == "value_error" and not isinstance(error["input"], str) and "ctx" in error:
        # A secret's own validator says it in fewer words.
        context = {"error": str(context["error"]).replace("must be a string", TEXT)}
    if kind in SENTENCES:
        return SENTENCES[kind].format(**context)
    return error["msg"].replace("Input should be", "must be")


def _nearest(given: object, expected: str) -> str:
    if not isinstance(given, str) or isinstance(given, Reference) or len(given) > 40:
        return ""
    guess = did_you_mean(given, expected.replace("'", "").replace(" or ", ", ").split(", "))
    return f', not "{given}"' + (guess if "did you mean" in guess else "")
