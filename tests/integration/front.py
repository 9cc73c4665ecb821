"""An HTTPS front before a real OpenSearch: certificate, basic authentication, and busy answers.

The archive that the lab uses has no security plugin; this stands where one would.
"""

import base64
import http.client
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

USER, PASSWORD = "cdc", "right"


@dataclass
class Front:
    """Forwards to `upstream` who knows the password. `busy` answers that many requests with 429."""

    upstream: str
    folder: Path
    host_name: str = "localhost"
    busy: int = 0
    forbids: bool = False
    _server: ThreadingHTTPServer = field(init=False)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*_certificate(self.folder, self.host_name))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "server.pem"


def _certificate(folder: Path, host_name: str) -> tuple[Path, Path]:
    certificate, key = folder / "server.pem", folder / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={host_name}", "-addext", f"subjectAltName=DNS:{host_name}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def _handler(front: Front) -> type[BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != expected:
                self._answer(401, "text/plain", b"Unauthorized")
            elif front.forbids:
                content = b'{"error":{"type":"security_exception","reason":"no permissions"}}'
                self._answer(403, "application/json", content)
            elif front.busy:
                front.busy -= 1
                self._answer(429, "application/json", b'{"error":{"type":"rejected_execution"}}')
            else:
                self._pass_on(body)

        def _pass_on(self, body: bytes) -> None:
            address = urlsplit(front.upstream)
            connection = http.client.HTTPConnection(str(address.hostname), address.port)
            headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            self._answer(answer.status, answer.getheader("Content-Type", ""), content)
            connection.close()

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _forward  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    return Handler
