"""Asks the running daemon over its Unix socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from cdc.errors import CdcError

if TYPE_CHECKING:
    from cdc.config import Config
    from cdc.status import PipelineStatus

TIMEOUT_S: Final = 5.0


class NoDaemon(CdcError):
    """Nobody listens."""

    default_hint = "Start it with `cdc run`."


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def get(path: Path, target: str) -> Any:
    """The JSON at `target`. Raises NoDaemon when nobody listens, CdcError for what is no answer."""
    connection = _Connection(path)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        body = answer.read()
    except (FileNotFoundError, ConnectionRefusedError):
        raise NoDaemon(f"no daemon listens at {path}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise CdcError(
            f"the daemon at {path} cannot be asked: {reason}",
            hint="Run the command as the user that runs the daemon.",
        ) from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise CdcError(f"the daemon at {path} answered {answer.status}", hint="")
    return json.loads(body)


def statuses(config: "Config") -> "list[PipelineStatus]":
    """What every daemon says that runs this pipeline, or a part of it, on this machine.

    Raises NoDaemon when there is none.
    """
    from cdc.state_dir import socket_paths
    from cdc.status import PipelineStatus

    adapter = TypeAdapter(PipelineStatus)
    found = []
    for path in socket_paths(config.state_dir):
        try:
            content = get(path, "/api/status")
        except NoDaemon:
            continue
        known = {name: content[name] for name in PipelineStatus.__dataclass_fields__}
        found.append(adapter.validate_python(known))
    if not found:
        raise NoDaemon(f'the pipeline "{config.name}" does not run (state_dir {config.state_dir})')
    return found
