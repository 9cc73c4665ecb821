"""The JSON Schema of the configuration file, for editors; made from the models themselves."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cdc.config.components import Component, Kind, find, known
from cdc.config.model import LogKeys, Pipeline, SinkKeys, SourceKeys
from cdc.errors import MissingExtra

JsonSchema = dict[str, Any]

REFERENCE: Final = {"type": "string", "pattern": r"\$\{(env|file):"}

SHOWN: Final = ("description", "default", "examples", "title")
"""What editors show of a key; it stays beside the choice between a value and a reference."""

CORE_KEYS: Final[dict[Kind, type[BaseModel]]] = {
    "sources": SourceKeys,
    "logs": LogKeys,
    "sinks": SinkKeys,
    "transforms": LogKeys,
    "serializers": LogKeys,
}


def shipped(kind: Kind) -> list[Component]:
    """The components of this kind that can be imported here, by type."""
    return [component for component, _ in _shipped(kind) if component]


def missing() -> list[str]:
    """What the schema leaves open, because a client library is not installed here."""
    return [str(error) for kind in CORE_KEYS for _, error in _shipped(kind) if error]


def _shipped(kind: Kind) -> Iterator[tuple[Component | None, MissingExtra | None]]:
    for type_ in known(kind):
        try:
            yield find(kind, type_), None
        except MissingExtra as error:
            yield None, error


def config_schema() -> JsonSchema:
    """The schema of the whole file. References may stand for numbers too: `${env:PORT}`."""
    models: list[type[BaseModel]] = [Pipeline, LogKeys, SourceKeys, SinkKeys]
    components = {kind: shipped(kind) for kind in CORE_KEYS}
    models += [each.model for of_kind in components.values() for each in of_kind]
    names, whole = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)],
        ref_template="#/$defs/{model}",
        by_alias=True,
    )
    definitions: JsonSchema = whole["$defs"]

    def resolved(model: type[BaseModel]) -> JsonSchema:
        name = names[model, "validation"]["$ref"].removeprefix("#/$defs/")
        found: JsonSchema = definitions[name]
        return found

    for kind, of_kind in components.items():
        core = _with_key_spellings(resolved(CORE_KEYS[kind]), CORE_KEYS[kind])
        branches = [_entry(core, each.name, resolved(each.model)) for each in of_kind]
        definitions[f"{kind}_entry"] = {"oneOf": [*branches, _open_entry(core)]}
    top = dict(resolved(Pipeline))
    top["properties"] = {
        **top["properties"],
        "log": _described("logs", top["properties"]["log"]),
        "sources": _entries("sources", top["properties"]["sources"]),
        "sinks": _entries("sinks", top["properties"]["sinks"]),
    }
    definitions = _reachable(top, definitions)
    for definition in definitions.values():
        _allow_references(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tidewire configuration",
        **{key: value for key, value in top.items() if key != "title"},
        "$defs": dict(sorted(definitions.items())),
    }


def _with_key_spellings(core: JsonSchema, model: type[BaseModel]) -> JsonSchema:
    """The core's keys with references to the entries below them, and `key` beside `id`."""
    properties = dict(core["properties"])
    if model is SourceKeys:
        properties["transforms"] = {
            **properties["transforms"],
            "items": {"$ref": "#/$defs/transforms_entry"},
        }
        properties["format"] = _described("serializers", properties["format"])
    if "id" in properties:
        properties["key"] = properties["id"]
    return {**core, "properties": properties}


def _entry(core: JsonSchema, type_: str, settings: JsonSchema) -> JsonSchema:
    properties = {**core["properties"], **settings.get("properties", {}), "type": {"const": type_}}
    return {
        "title": type_,
        "description": settings.get("description", ""),
        "type": "object",
        "properties": properties,
        "required": sorted({*core.get("required", []), *settings.get("required", [])}),
        "additionalProperties": False,
    }


def _open_entry(core: JsonSchema) -> JsonSchema:
    """Somebody else's component: its keys are not known here."""
    dotted = {"type": "string", "pattern": r"\.", "description": "A module of your own."}
    return {
        "title": "a dotted module name",
        "type": "object",
        "properties": {**core["properties"], "type": dotted},
        "required": core.get("required", []),
    }


def _described(kind: Kind, field: JsonSchema) -> JsonSchema:
    return {"$ref": f"#/$defs/{kind}_entry", "description": field["description"]}


def _entries(kind: Kind, field: JsonSchema) -> JsonSchema:
    return {
        "type": "object",
        "description": field["description"],
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,39}$"},
        "additionalProperties": {"$ref": f"#/$defs/{kind}_entry"},
    }


def _allow_references(schema: object) -> None:
    """Let a reference stand where a number, a boolean or one of some words is asked for."""
    if isinstance(schema, list):
        for item in schema:
            _allow_references(item)
    if not isinstance(schema, dict):
        return
    for name, field in schema.get("properties", {}).items():
        if isinstance(field, dict) and (
            field.get("type") in {"integer", "number", "boolean"} or "enum" in field
        ):
            shown = {key: field[key] for key in SHOWN if key in field}
            plain = {key: value for key, value in field.items() if key not in SHOWN}
            schema["properties"][name] = {**shown, "anyOf": [plain, REFERENCE]}
    for value in schema.values():
        _allow_references(value)


def _reachable(top: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    """Only the definitions that something still refers to."""
    kept: JsonSchema = {}
    waiting = list(_references(top))
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = definitions[name]
            waiting += _references(definitions[name])
    return kept


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield str(value).removeprefix("#/$defs/")
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)
