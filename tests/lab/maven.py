"""Files from Maven repositories, by the machine's own `mvn` and its settings."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab import pins
from tests.lab.cache import announce, cache_folder, locked
from tests.lab.debian import install_packages
from tests.lab.errors import Unavailable
from tests.lab.java import java_home

_PLUGIN = f"org.apache.maven.plugins:maven-dependency-plugin:{pins.MAVEN_DEPENDENCY_PLUGIN}"
_TIMEOUT_S = 900
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>lab</groupId><artifactId>lab</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_DEPENDENCY = (
    "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId>"
    "<version>{}</version></dependency>"
)


def copy_with_dependencies(artifacts: Sequence[str], folder: Path) -> None:
    """Put the jars `group:artifact:version` and all that they need at run time into `folder`.

    Raises Unavailable if Maven is missing or does not get them.
    """
    dependencies = "\n".join(_DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts)
    pom = folder / "pom.xml"
    pom.write_text(_POM.format(dependencies=dependencies))
    goal = [f"{_PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    _run(["-f", str(pom), *goal], f"{', '.join(artifacts)} with dependencies", folder)
    pom.unlink()


def copy_artifact(artifact: str, folder: Path) -> Path:
    """Put the one file `group:artifact:version[:type[:classifier]]` into `folder`; return its path.

    Raises Unavailable if Maven is missing or does not get it.
    """
    before = set(folder.iterdir())
    _run(
        [f"{_PLUGIN}:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"],
        artifact,
        folder,
    )
    (copied,) = set(folder.iterdir()) - before
    return copied


def find_maven() -> str:
    """Return the path of `mvn`, installed from the system's packages if missing and allowed.

    Raises Unavailable if it is missing and this process may not install it.
    """
    found = shutil.which("mvn")
    if found is not None:
        return found
    install_packages("mvn", ["maven"])
    found = shutil.which("mvn")
    if found is None:
        raise Unavailable(
            "the system package maven is installed, but no mvn is found", "check PATH"
        )
    return found


def _run(arguments: Sequence[str], what: str, folder: Path) -> None:
    command = [find_maven(), "-q", "-B", f"-Dmaven.repo.local={cache_folder() / 'm2'}", *arguments]
    environment = dict(os.environ)
    if shutil.which("java") is None and "JAVA_HOME" not in environment:
        environment["JAVA_HOME"] = str(java_home())
    # Two Mavens that write the same repository folder can read each other's half-written files.
    with locked("maven"):
        announce(f"downloading {what}")
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=environment,
            cwd=folder,
            timeout=_TIMEOUT_S,
        )
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        reason = (errors or done.stdout.splitlines() or ["no message"])[0]
        raise Unavailable(
            f"Maven could not download {what}: {reason.removeprefix('[ERROR] ')}",
            "check the network and the mirrors in Maven's settings.xml",
        )
