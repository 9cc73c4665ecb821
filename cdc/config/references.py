"""`${env:NAME}` and `${file:PATH}` in the strings of a configuration."""

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from cdc.config.document import Document
from cdc.config.problems import KeyPath, Problem
from cdc.errors import ConfigError
from cdc.secret import Reference

PATTERN: Final = re.compile(r"\$(?P<escape>\$)?\{(?P<kind>[^:{}]*)(?::(?P<name>[^{}]*))?\}?")

FILE_BYTES_MAX: Final = 65_536
"""A secret that is larger is some other file given by mistake."""


def resolve(
    document: Document, environment: Mapping[str, str]
) -> tuple[Document, tuple[Problem, ...]]:
    """The document with every reference replaced, and those that have no value.

    References are replaced once; what is read is not looked at again.

    `$${` stands for a plain `${`. Relative paths are relative to the configuration file. A string
    with a file in it becomes a Reference, which can read the file again.
    """
    problems: list[Problem] = []
    folder = document.file.parent

    def walk(value: object, path: KeyPath) -> object:
        if isinstance(value, dict):
            return {key: walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        read = partial(_replaced, value, folder, environment)
        try:
            text = read()
        except ConfigError as error:
            problems.append(Problem(path, error.message, document.line(path)))
            return value
        return Reference(text, read)

    values = {key: walk(value, (key,)) for key, value in document.values.items()}
    return Document(document.file, values, document.lines), tuple(problems)


def _replaced(text: str, folder: Path, environment: Mapping[str, str]) -> str:
    """`text` with its references replaced. Raises ConfigError, which never holds their values."""

    def replace(match: re.Match[str]) -> str:
        if match["escape"]:
            return match[0][1:]
        known: dict[str, Callable[[str], str]] = {
            "env": partial(_variable, environment=environment),
            "file": partial(_content, folder=folder),
        }
        kind, name = match["kind"].strip(), (match["name"] or "").strip()
        if kind not in known or not name or not match[0].endswith("}"):
            raise ConfigError(
                "a reference must be ${env:NAME} or ${file:PATH}; write $${ for a plain ${"
            )
        return known[kind](name)

    return PATTERN.sub(replace, text)


def _variable(name: str, environment: Mapping[str, str]) -> str:
    try:
        return environment[name]
    except KeyError:
        raise ConfigError(f"the environment variable {name} is not set; set it") from None


def _content(name: str, folder: Path) -> str:
    """What the file holds, without the newline that editors put at its end."""
    file = folder / Path(name).expanduser()
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"the file {file} is larger than {FILE_BYTES_MAX} bytes")
        return file.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be read"
        raise ConfigError(f"the file {file} cannot be read: {reason.lower()}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the file {file} is not UTF-8 text") from None
