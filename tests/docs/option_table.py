"""The option table of a documentation page, generated from the component's settings.

`python -m tests.docs.option_table` writes the tables of all sinks' pages anew.
"""

import importlib
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import sinks
from cdc.testing.sink_harness import sinks_of

PAGES = Path(__file__).parents[2] / "docs" / "sinks"
BEGIN, END = "<!-- options: generated -->", "<!-- options: end -->"
_BLOCK = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)


def table(model: type[BaseModel]) -> str:
    """The block between the two marker comments, with them."""
    rows = [
        f"| `{name}` | {_kind(field.annotation)} | {_default(field)} | {field.description} |"
        for name, field in model.model_fields.items()
    ]
    if not rows:
        return f"{BEGIN}\nThis sink has no options of its own.\n{END}"
    head = ["| option | takes | default | meaning |", "|---|---|---|---|"]
    return "\n".join([BEGIN, *head, *rows, END])


def models() -> dict[str, type[BaseModel]]:
    """Settings of every sink by its name."""
    names = sinks_of(Path(sinks.__file__).parent)
    return {name: importlib.import_module(f"sinks.{name}").Config for name in names}


def with_table(page: str, model: type[BaseModel]) -> str:
    """The page with its table made anew. Raises ValueError for a page without the markers."""
    changed, count = _BLOCK.subn(lambda _: table(model), page)
    if count != 1:
        raise ValueError(f"the page needs one block from {BEGIN} to {END}")
    return changed


def _kind(annotation: object) -> str:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        kinds = [each for each in get_args(annotation) if each is not NoneType]
        return " or ".join(map(_kind, kinds))
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in get_args(annotation))
    plain = {"str": "text", "Secret": "text, secret", "float": "number", "int": "whole number"}
    name = getattr(annotation if origin is None else origin, "__name__", str(annotation))
    return {**plain, "tuple": "list", "dict": "mapping", "Path": "path"}.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None or default == {}:
        return "-"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{default}`"


if __name__ == "__main__":
    for name, model in models().items():
        path = PAGES / f"{name}.md"
        path.write_text(with_table(path.read_text("utf-8"), model), "utf-8")
