"""Certificates of a private authority for servers and clients of the lab, made by openssl."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.errors import LabError, Unavailable

_TIMEOUT_S = 60


class Authority:
    """A private certificate authority in a folder of its own; `root` is what others must trust."""

    def __init__(self, folder: Path, name: str = "lab CA") -> None:
        """Make it. Raises Unavailable where there is no openssl."""
        self.folder = folder
        self.root = folder / "ca.pem"
        self._key = folder / "ca.key"
        folder.mkdir(exist_ok=True)
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
            "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", str(self._key), "-out", str(self.root),
        )  # fmt: skip

    def issue(
        self, name: str, *, alternatives: Sequence[str] = (), days: int = 3650
    ) -> tuple[Path, Path]:
        """Certificate and key (0600) for the common name `name`.

        `alternatives` such as `DNS:localhost`; negative `days`: it has expired already.
        """
        stem = self.folder / name.replace(" ", "_")
        certificate, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        lines = ["extendedKeyUsage=serverAuth,clientAuth"]
        if alternatives:
            lines.append(f"subjectAltName={','.join(alternatives)}")
        extensions.write_text("\n".join(lines) + "\n")
        _openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.root), "-CAkey", str(self._key),
            "-CAcreateserial", "-days", str(days), "-extfile", str(extensions),
            "-out", str(certificate),
        )  # fmt: skip
        key.chmod(0o600)
        return certificate, key


def _openssl(*arguments: str) -> None:
    if shutil.which("openssl") is None:
        raise Unavailable("no openssl on this machine", "install the system package openssl")
    done = subprocess.run(
        ["openssl", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise LabError(f"openssl {arguments[0]} failed\n{done.stderr}")
