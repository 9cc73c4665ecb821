"""A YAML file as plain values that remember their lines.

Only what a configuration needs is understood: mappings with text keys, lists and plain values.
Duplicate keys, tags, anchors and aliases are refused, because each of them makes a file mean
something else than what a reader sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from cdc.config.problems import InvalidConfig, KeyPath, Problem

SIZE_BYTES_MAX: Final = 1_048_576
"""A configuration that is larger is some other file given by mistake."""

DEPTH_MAX: Final = 40

PLAIN_TAGS: Final = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file and the line on which each key or item begins, from 1."""

    file: Path
    values: dict[str, object]
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int | None:
        """The line of `path`, or of the nearest thing around it that is in the file."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return 1 if self.lines else None


def parse(text: str, file: Path) -> Document:
    """Read YAML text. `file` is only its name, for messages. Raises InvalidConfig."""
    if len(text) > SIZE_BYTES_MAX:
        message = f"larger than {SIZE_BYTES_MAX} bytes; this is hardly a configuration file"
        raise InvalidConfig(file, [Problem((), message)])
    try:
        refused = list(_refused(text))
        if refused:
            raise InvalidConfig(file, refused)
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        what = ", ".join(part for part in (error.context, error.problem) if part)
        what += _unquoted_reference(text, error)
        raise InvalidConfig(file, [Problem((), f"not valid YAML: {what}", line)]) from None
    except YAMLError as error:
        # The reader's errors carry no mark; their text repeats the content, so it is left out.
        raise InvalidConfig(file, [Problem((), f"not valid YAML: {_reader(error)}")]) from None
    return _document(root, file)


def _unquoted_reference(text: str, error: MarkedYAMLError) -> str:
    """The remedy where a reference such as ${env:NAME} stands between braces without quotes."""
    mark = error.problem_mark
    # The brace of ${ is where the reader gives up.
    if mark is None or text[mark.index - 1 : mark.index + 1] != "${":
        return ""
    return '; inside { } and [ ] a reference needs quotes, as in "${env:NAME}"'


def _reader(error: YAMLError) -> str:
    reason = getattr(error, "reason", "it cannot be read as text")
    position = getattr(error, "position", None)
    return f"{reason} (character {position})" if position is not None else str(reason)


def _document(root: Node | None, file: Path) -> Document:
    if root is None:
        raise InvalidConfig(file, [Problem((), "the file is empty")])
    if not isinstance(root, MappingNode):
        raise InvalidConfig(file, [Problem((), "must hold keys, such as `name: shop`", 1)])
    builder = _Builder()
    values = builder.mapping(root, ())
    if builder.problems:
        raise InvalidConfig(file, builder.problems)
    return Document(file, values, builder.lines)


def _refused(text: str) -> Iterator[Problem]:
    """What YAML allows and a configuration does not, with its line."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1 if event.start_mark else None
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEPTH_MAX:
            yield Problem((), f"nested more than {DEPTH_MAX} levels deep", line)
            return
        if isinstance(event, AliasEvent):
            yield Problem((), f"the alias *{event.anchor} is not allowed; repeat the value", line)
        elif isinstance(event, NodeEvent) and event.anchor:
            yield Problem((), f"the anchor &{event.anchor} is not allowed; remove it", line)
        tag = getattr(event, "tag", None)
        if tag:
            yield Problem((), f"the YAML tag {tag} is not allowed; write a plain value", line)


class _Builder:
    """Turns nodes into plain values and notes their lines, and keys that are given twice."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._constructor = YAML(typ="safe", pure=True).constructor

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        """The values of a mapping at `path`."""
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:str":
                message = "a key must be text; put it in quotes"
                self.problems.append(Problem(path, message, line))
                continue
            here = (*path, key_node.value)
            if here in self.lines:
                message = f"given twice (first on line {self.lines[here]}); keep one of them"
                self.problems.append(Problem(here, message, line))
                continue
            self.lines[here] = line
            values[key_node.value] = self._value(value_node, here)
        return values

    def _value(self, node: Node, path: KeyPath) -> object:
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.lines[*path, index] = item.start_mark.line + 1
                items.append(self._value(item, (*path, index)))
            return items
        if node.tag in PLAIN_TAGS:
            return self._constructor.construct_object(node)
        # Dates stay text: a table or topic may well be called 2024-01-01.
        return str(node.value)
