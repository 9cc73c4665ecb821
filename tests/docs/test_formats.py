"""The page about the format of records lists the options as they are."""

import re
import types
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from cdc.serializers.options import Options

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
_PLACE = re.compile(r"(<!-- options: begin -->\n).*(<!-- options: end -->)", re.DOTALL)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _values(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "`true`, `false`"
    assert kind is str or isinstance(kind, types.UnionType)
    return "text"


def page() -> str:
    rows = ["| option | values | default | what it does |", "|---|---|---|---|"]
    for name, field in Options.model_fields.items():
        default = f"`{_text(field.default)}`" if _text(field.default) else ""
        rows.append(f"| `{name}` | {_values(field)} | {default} | {field.description} |")
    table = "\n".join(rows) + "\n"
    return _PLACE.sub(lambda match: match[1] + table + match[2], PAGE.read_text("utf-8"))


def test_options_on_the_page_are_those_of_the_format() -> None:
    assert page() == PAGE.read_text("utf-8"), "run: python -m tests.docs.test_formats"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
