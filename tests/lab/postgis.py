"""PostGIS beside the machine's own PostgreSQL 15: Debian's package, unpacked and not installed."""

import platform
import shutil
from pathlib import Path

from tests.lab.cache import filled
from tests.lab.debian import unpacked
from tests.lab.errors import Unavailable

_MAJOR = "15"
_SERVER = Path(f"/usr/lib/postgresql/{_MAJOR}")
_SHARE = Path(f"/usr/share/postgresql/{_MAJOR}")


def postgis_root() -> Path:
    """Return a folder like /usr with PostgreSQL 15 and PostGIS, filled if need be.

    PostgreSQL finds its files beside its program; its libraries are below `libraries`.
    Raises Unavailable where Debian's PostgreSQL 15 is not installed or PostGIS cannot be had.
    """
    if not (_SERVER / "bin" / "postgres").exists():
        raise Unavailable(
            f"no PostgreSQL {_MAJOR} of Debian's on this machine, which PostGIS is taken for",
            f"install the system package postgresql-{_MAJOR}",
        )
    return filled(f"postgres-{_MAJOR}-postgis", _fill) / "usr"


def libraries() -> str:
    """Return where the packages keep libraries, relative to the root."""
    return f"lib/{platform.machine()}-linux-gnu"


def _fill(folder: Path) -> None:
    package = f"postgresql-{_MAJOR}-postgis-3"
    tree = unpacked([package], f"{package}-unpacked")
    for source in (tree / "usr" / "lib", tree / "usr" / "share" / "postgresql", _SERVER, _SHARE):
        below = source.relative_to(tree if source.is_relative_to(tree) else "/")
        shutil.copytree(
            source,
            folder / below,
            symlinks=True,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("bitcode", "pgxs"),
        )
    # Debian makes this link when the package is installed.
    extensions = folder / "usr" / "share" / "postgresql" / _MAJOR / "extension"
    shutil.copy(extensions / "postgis-3.control", extensions / "postgis.control")
