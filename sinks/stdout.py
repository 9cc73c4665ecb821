"""Mutations as lines of JSON, to the standard output or a file: to look at, or to pipe on.

It has no memory: what the log repeats is written again, with the same version.
"""

import errno
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, Field

from cdc.errors import CdcError, SinkRefused, StorageFull
from cdc.protocols import (
    Delete,
    Finding,
    Mutation,
    Patch,
    Rejected,
    SinkContext,
    Truncate,
    Upsert,
)
from cdc.schema import TableSchema


class Config(BaseModel):
    """Settings of the stdout sink."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = Field(
        default=None, description="A file to append to, in place of the worker's standard output."
    )


def create(config: Config, context: SinkContext) -> "StdoutSink":
    """The sink; opens its file at its first use."""
    del context
    return StdoutSink(config.path)


class StdoutSink:
    """Every `write` is one write to the file, synced when the file is on a disk."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._name = "the standard output" if path is None else str(path)
        self._descriptor: int | None = None

    def check(self) -> list[Finding]:
        """Whether the file can be written."""
        path = self._path
        place = None if path is None else path if path.exists() else path.parent
        if place is None or os.access(place, os.W_OK):
            return [Finding("ok", "stdout-path", self._name, "can be written")]
        fix = "name another file, or give this user the right to write there"
        return [Finding("error", "stdout-path", self._name, "cannot be written", fix)]

    def apply_schema(self, table: TableSchema) -> None:
        """Lines of any structure fit."""

    def write(self, mutations: Sequence[Mutation]) -> Sequence[Rejected]:
        """One line each, in order. What fails half-way is taken back from a file."""
        rejected: list[Rejected] = []
        lines: list[bytes] = []
        for index, mutation in enumerate(mutations):
            try:
                lines.append(orjson.dumps(line(mutation), option=orjson.OPT_APPEND_NEWLINE))
            except TypeError as error:
                # orjson names the type, never the value.
                rejected.append(Rejected(index, f"the document is no JSON: {error}"))
        try:
            _write_all(self._open(), b"".join(lines))
        except OSError as error:
            raise self._failure(error) from error
        return rejected

    def close(self) -> None:
        """Close the file; the standard output stays open."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self._path is not None:
            os.close(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            if self._path is not None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o666)
            elif sys.__stdout__ is not None:
                self._descriptor = sys.__stdout__.fileno()
            else:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptor

    def _failure(self, error: OSError) -> CdcError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            hint = "Free space there; the sink goes on by itself."
            return StorageFull(f"no room left for {self._name}", hint=hint)
        return SinkRefused(
            f"{self._name} cannot be written: {error.strerror}",
            hint="Keep its reader running, or set the sink's `path` to a file.",
        )


def line(mutation: Mutation) -> Mapping[str, object]:
    """What is written for one mutation."""
    about: dict[str, object] = {"target": mutation.target, "version": mutation.version}
    action = mutation.action
    if isinstance(action, Truncate):
        return {"op": "truncate", **about}
    about["id"] = mutation.id
    if isinstance(action, Upsert):
        return {"op": "upsert", **about, "document": action.document}
    if isinstance(action, Patch):
        return {"op": "patch", **about, "fields": action.fields}
    assert isinstance(action, Delete)
    return {"op": "delete", **about}


def _write_all(descriptor: int, content: bytes) -> None:
    """Write it all, or take back what a full disk cut off: the next line begins a new one."""
    before = os.fstat(descriptor)
    is_file = stat.S_ISREG(before.st_mode)
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
        if is_file:
            os.fsync(descriptor)
    except OSError:
        if is_file:
            os.ftruncate(descriptor, before.st_size)
        raise
