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
    from cdc.status import Action, PipelineStatus

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
    status, body = _ask(path, "GET", target)
    if status != http.client.OK:
        raise CdcError(f"the daemon at {path} answered {status}", hint="")
    return json.loads(body)


def act(config: "Config", name: str, action: "Action") -> str:
    """Let the daemon that runs `name` do something to it; what it says to that.

    Raises NoDaemon when none does, CdcError with the daemon's words when it cannot be done.
    """
    from cdc.state_dir import socket_paths

    for path in socket_paths(config.state_dir):
        try:
            content = get(path, "/api/status")
        except NoDaemon:
            continue
        if name not in {worker["name"] for worker in content["workers"]}:
            continue
        status, body = _ask(path, "POST", f"/api/workers/{name}/{action}")
        told = json.loads(body)
        if status != http.client.ACCEPTED:
            raise CdcError(told["error"], hint=told["hint"])
        return str(told["told"])
    raise NoDaemon(f'no daemon of this machine runs "{name}" (state_dir {config.state_dir})')


def _ask(path: Path, method: str, target: str) -> tuple[int, bytes]:
    connection = _Connection(path)
    try:
        connection.request(method, target)
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
    return answer.status, body


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
