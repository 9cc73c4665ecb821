"""Where components are found: by name, without a list that somebody has to keep.

A type without a dot is a module of ours (`redis` under `sinks:` is `sinks.redis`) or the name of an
entry point in the group `tidewire.<kind>`; one with a dot is the module itself.
Nothing is imported that the configuration does not name.
"""

import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from pydantic import BaseModel

from cdc.config.problems import did_you_mean
from cdc.errors import ConfigError, MissingExtra

Kind = Literal["sources", "logs", "sinks", "transforms", "serializers"]

PACKAGES: Final[dict[Kind, str]] = {
    "sources": "connectors",
    "logs": "cdc.logs",
    "sinks": "sinks",
    "transforms": "cdc.transforms",
    "serializers": "cdc.serializers",
}

CREATES: Final = re.compile(
    r"^(def create\(|from \S+ import .*\bcreate\b|    create( as create)?,$)", re.MULTILINE
)

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)

# Which extra brings a client library, where the extra is not called as the component is.
CLIENTS: Final = {
    "confluent_kafka": "kafka",
    "opensearchpy": "opensearch",
    "urllib3": "opensearch",
    "elasticsearch": "elasticsearch",
    "redis": "redis",
    "pymysql": "mysql",
}


@dataclass(frozen=True, slots=True)
class Component:
    """A component: its settings' model, what makes one from them, and the module of both."""

    kind: Kind
    name: str
    model: type[BaseModel]
    create: Callable[..., Any]
    module: ModuleType


def singular(kind: Kind) -> str:
    """`sink` for `sinks`."""
    return kind[:-1]


def known(kind: Kind) -> list[str]:
    """The types that may be written without a dot, in order. Imports nothing."""
    folder = Path(__file__).parents[2] / Path(*PACKAGES[kind].split("."))
    found = {
        module.name
        for module in pkgutil.iter_modules([str(folder)])
        if _is_component(folder, module.name)
    }
    found.update(point.name for point in entry_points(group=f"tidewire.{kind}"))
    return sorted(found)


def _is_component(folder: Path, name: str) -> bool:
    """Whether a module makes components; others beside it are parts of such modules."""
    file = folder / f"{name}.py"
    file = file if file.exists() else folder / name / "__init__.py"
    return CREATES.search(file.read_text("utf-8")) is not None


def find(kind: Kind, type_: str) -> Component:
    """The component of this type. Raises ConfigError when there is none, MissingExtra."""
    module_name = _module_name(kind, type_)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in CLIENTS:
            raise MissingExtra(f'{singular(kind)} type "{type_}"', CLIENTS[missing]) from error
        raise ConfigError(f'{singular(kind)} type "{type_}" cannot be imported: {error}') from error
    model, create = getattr(module, "Config", None), getattr(module, "create", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel) and callable(create)):
        raise ConfigError(
            f"the module {module_name} is no {singular(kind)}: it must have `Config` and `create`"
        )
    return Component(kind, type_, model, create, module)


def _module_name(kind: Kind, type_: str) -> str:
    if not NAME.fullmatch(type_):
        raise ConfigError(f'"{type_}" is no type of a {singular(kind)}')
    if "." in type_:
        return type_
    ours = f"{PACKAGES[kind]}.{type_}"
    if type_ in known(kind) and importlib.util.find_spec(ours) is not None:
        return ours
    for point in entry_points(group=f"tidewire.{kind}", name=type_):
        return point.module
    raise ConfigError(
        f'there is no {singular(kind)} type "{type_}"{did_you_mean(type_, known(kind))}'
    )


def part_of(component: Component, name: str) -> ModuleType | None:
    """The module `name` beside the component (`connectors.postgres.scaffold`), None without one."""
    beside = f"{component.module.__name__}.{name}"
    if not hasattr(component.module, "__path__") or importlib.util.find_spec(beside) is None:
        return None
    return importlib.import_module(beside)
