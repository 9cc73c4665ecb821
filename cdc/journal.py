"""What the daemon tells on standard error: one line for each thing worth knowing.

Nothing per event, no row values, no secrets. Every process of a daemon writes whole lines to the
same place.
"""

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

Journal = structlog.typing.FilteringBoundLogger

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def resolved_format(format_: str) -> str:
    """`console` or `json`, for `auto` by whether somebody looks."""
    if format_ != "auto":
        return format_
    return "console" if sys.stderr.isatty() else "json"


def open_journal(format_: str, level: str, **bound: str) -> Journal:
    """A logger for this process; `bound` is on every line. Other libraries' warnings go there too.

    `format_` is `console` or `json`.
    """
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    rendered: list[structlog.typing.Processor] = [structlog.processors.JSONRenderer()]
    if format_ == "console":
        stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        rendered = [_for_people, _console()]
    shared: list[structlog.typing.Processor] = [structlog.stdlib.add_log_level, stamp]
    structlog.configure(
        processors=[*shared, _one_line, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _one_line,
                *rendered,
            ],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _without_traceback],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(LEVELS[level], logging.WARNING), force=True)
    journal: Journal = structlog.get_logger(**bound)
    return journal


def _for_people(logger: Any, name: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The line as a sentence about a worker; the pipeline is the one of this terminal."""
    del logger, name
    told = {key: value for key, value in line.items() if key not in {"pipeline", "worker"}}
    if told["event"] == "phase" and "phase" in told:
        told["event"] = told.pop("phase")
    elif told["event"] == "problem" and "message" in told:
        parts = (told.pop("message"), told.pop("hint", ""))
        told["event"] = ". ".join(part for part in parts if part)
    if "worker" in line:
        told["event"] = f"{line['worker']}: {told['event']}"
    return told


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=_colors(), pad_event_to=0)


def _colors() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _without_traceback(
    logger: Any, name: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A foreign library's traceback may show values; its message is enough to find the place."""
    del logger, name
    line.pop("exc_info", None)
    line.pop("stack_info", None)
    return line


def _one_line(logger: Any, name: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Text of peers may hold newlines; a line stays a line."""
    del logger, name
    return {
        key: " ".join(value.split()) if isinstance(value, str) and "\n" in value else value
        for key, value in line.items()
    }
