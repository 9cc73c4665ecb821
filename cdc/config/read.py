"""From a YAML file to a Config: every problem of the file is found before anything starts."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from cdc.config.components import Kind, find
from cdc.config.document import Document, parse
from cdc.config.meaning import meaning_problems
from cdc.config.model import LogKeys, Pipeline, SinkKeys, SourceKeys, checked_name
from cdc.config.paths import anchored
from cdc.config.problems import InvalidConfig, KeyPath, Problem
from cdc.config.references import resolve
from cdc.config.settings import Chosen, Config, SinkConfig, SourceConfig
from cdc.config.words import key_names, models_at, sentence
from cdc.errors import ConfigError, MissingExtra

M = TypeVar("M", bound=BaseModel)


def load(file: Path, *, only: Collection[str] | None = None) -> Config:
    """Read and check the file. `only`: sources and sinks whose components will be made.

    Raises InvalidConfig with every problem, MissingExtra when nothing else is wrong.
    """
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration file {file}",
            hint="Make one with `cdc init URL`, or name another with --config FILE.",
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be read"
        raise ConfigError(f"cannot read the configuration {file}: {reason.lower()}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration {file} is not UTF-8 (byte {error.start})") from None
    return read(text, file.absolute(), only=only)


def read(
    text: str,
    file: Path,
    *,
    only: Collection[str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Config:
    """As `load`, from text that `file` holds or once held."""
    document, unresolved = resolve(parse(text, file), environment)
    return _Reader(document, unresolved, only).config(text)


class _Reader:
    """Collects problems while it goes through one document."""

    def __init__(
        self, document: Document, unresolved: Sequence[Problem], only: Collection[str] | None
    ) -> None:
        self._document = document
        self._only = only
        self._problems = [problem for problem in unresolved if self._uses(problem.path)]
        self._unresolved = {problem.path for problem in unresolved}
        self._missing: list[MissingExtra] = []

    def _uses(self, path: KeyPath) -> bool:
        """Whether this process needs the value: not a secret of what another one runs."""
        if self._only is None or len(path) < 3 or path[1] in self._only:
            return True
        if path[0] == "sources":
            return path[2] != "transforms" and path[2] in key_names(SourceKeys)
        return path[0] != "sinks" or path[2] in key_names(SinkKeys)

    def config(self, text: str) -> Config:
        """The whole configuration. Raises InvalidConfig, MissingExtra."""
        document = self._document
        top = self._valid(Pipeline, document.values, ())
        given = document.values if top is None else {}
        # With a problem at the top, what is below is looked at all the same.
        log = self._log(_mapping(given, "log") if top is None else top.log)
        entries = _entries(given, "sources") if top is None else top.sources
        sources = {name: self._source(name, values) for name, values in entries.items()}
        entries = _entries(given, "sinks") if top is None else top.sinks
        sinks = {name: self._sink(name, values) for name, values in entries.items()}
        known = {name: source for name, source in sources.items() if source}
        if top is not None and len(known) == len(sources):
            whole = {name: sink for name, sink in sinks.items() if sink}
            for path, message in meaning_problems(known, whole):
                self._problem(path, message)
        if self._problems:
            raise InvalidConfig(document.file, self._problems)
        if self._missing:
            raise MissingExtra.of(self._missing)
        assert top is not None
        assert log is not None
        return Config(
            file=document.file,
            text=text,
            name=top.name,
            state_dir=anchored(top, document.file.parent).state_dir,
            log=log,
            sources=known,
            sinks={name: sink for name, sink in sinks.items() if sink},
            admin=top.admin,
            logging=top.logging,
        )

    def _log(self, values: dict[str, object]) -> Chosen | None:
        keys, rest = self._split(LogKeys, values, ("log",))
        return self._chosen("logs", keys.type, rest, ("log",), LogKeys) if keys else None

    def _source(self, name: str, values: dict[str, object]) -> SourceConfig | None:
        path: KeyPath = ("sources", name)
        self._name(name, path)
        keys, rest = self._split(SourceKeys, values, path)
        if keys is None:
            self._also_wrong("sources", values, rest, path, SourceKeys)
            return None
        chosen = None
        if self._only is None or name in self._only:
            chosen = self._chosen("sources", keys.type, rest, path, SourceKeys)
        transforms = [
            self._typed("transforms", values, (*path, "transforms", index))
            for index, values in enumerate(keys.transforms)
        ]
        format_ = self._typed("serializers", {"type": "json", **keys.format}, (*path, "format"))
        if format_ is None:
            return None
        made = tuple(transform for transform in transforms if transform)
        return SourceConfig(name, keys, chosen, made, format_)

    def _sink(self, name: str, values: dict[str, object]) -> SinkConfig | None:
        path: KeyPath = ("sinks", name)
        self._name(name, path)
        keys, rest = self._split(SinkKeys, values, path)
        if keys is None:
            self._also_wrong("sinks", values, rest, path, SinkKeys)
            return None
        chosen = None
        if self._only is None or name in self._only:
            chosen = self._chosen("sinks", keys.type, rest, path, SinkKeys)
        return SinkConfig(name, keys, chosen)

    def _typed(self, kind: Kind, values: dict[str, object], path: KeyPath) -> Chosen | None:
        """A component that has no keys but `type` and its own."""
        keys, rest = self._split(LogKeys, values, path)
        return self._chosen(kind, keys.type, rest, path, LogKeys) if keys else None

    def _split(
        self, model: type[M], values: dict[str, object], path: KeyPath
    ) -> tuple[M | None, dict[str, object]]:
        """The core's keys, checked, and the others, which are the component's."""
        names = key_names(model)
        ours = {key: value for key, value in values.items() if key in names}
        rest = {key: value for key, value in values.items() if key not in names}
        return self._valid(model, ours, path), rest

    def _also_wrong(
        self,
        kind: Kind,
        values: dict[str, object],
        rest: dict[str, object],
        path: KeyPath,
        core: type[BaseModel],
    ) -> None:
        """Note what is wrong with the component's keys where the core's keys are wrong too."""
        type_ = values.get("type")
        if isinstance(type_, str) and (self._only is None or path[-1] in self._only):
            self._chosen(kind, type_, rest, path, core)

    def _chosen(
        self,
        kind: Kind,
        type_: str,
        values: dict[str, object],
        path: KeyPath,
        core: type[BaseModel],
    ) -> Chosen | None:
        try:
            component = find(kind, type_)
        except MissingExtra as error:
            self._missing.append(error)
            return None
        except ConfigError as error:
            self._problem((*path, "type"), error.message)
            return None
        if "type" in component.model.model_fields:
            values = {"type": type_, **values}
        settings = self._valid(component.model, values, path, also=key_names(core))
        if settings is None:
            return None
        return Chosen(component, anchored(settings, self._document.file.parent))

    def _valid(
        self,
        model: type[M],
        values: dict[str, object],
        path: KeyPath,
        *,
        also: Collection[str] = (),
    ) -> M | None:
        """The model's instance, or None after its problems were noted.

        `also` are keys that are right at this place though the model does not know them.
        """
        try:
            return model.model_validate(values)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                within: KeyPath = tuple(each["loc"])
                known = {key for m in models_at(model, within[:-1]) for key in key_names(m)}
                if len(within) == 1:
                    known |= set(also)
                self._problem(path + self._in_file(path, within), sentence(each, known))
        except ConfigError as error:
            self._problem(path, error.message)
        return None

    def _in_file(self, path: KeyPath, within: KeyPath) -> KeyPath:
        """`within` without the names that pydantic gives to the members of a union."""
        kept: KeyPath = ()
        for position, part in enumerate(within):
            if (*path, *kept, part) in self._document.lines or position == len(within) - 1:
                kept = (*kept, part)
        return kept

    def _name(self, name: str, path: KeyPath) -> None:
        try:
            checked_name(name)
        except ValueError as error:
            self._problem(path, str(error))

    def _problem(self, path: KeyPath, message: str) -> None:
        if any(unresolved[: len(path)] == path for unresolved in self._unresolved):
            return  # What stands there is not the value; its own problem is noted already.
        self._problems.append(Problem(path, message, self._document.line(path)))


def _mapping(values: Mapping[str, object], key: str) -> dict[str, object]:
    found = values.get(key, {"type": "embedded"} if key == "log" else {})
    return found if isinstance(found, dict) else {"type": "embedded"}


def _entries(values: Mapping[str, object], key: str) -> dict[str, dict[str, object]]:
    found = values.get(key)
    if not isinstance(found, dict):
        return {}
    return {name: entry for name, entry in found.items() if isinstance(entry, dict)}
