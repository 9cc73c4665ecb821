"""Relative paths in a configuration are relative to its file, whatever the working directory."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


def anchored(model: M, folder: Path) -> M:
    """The model with every Path in it made absolute below `folder`; `~` is the user's home."""
    return model.model_copy(
        update={name: _anchored(getattr(model, name), folder) for name in type(model).model_fields}
    )


def _anchored(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return folder / value.expanduser()
    if isinstance(value, BaseModel):
        return anchored(value, folder)
    if isinstance(value, tuple):
        return tuple(_anchored(item, folder) for item in value)
    if isinstance(value, list):
        return [_anchored(item, folder) for item in value]
    if isinstance(value, dict):
        return {key: _anchored(item, folder) for key, item in value.items()}
    return value
