"""Commands in this process: what they print and how they end when something is unusual."""

import importlib
import io
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import structlog

import cdc.cli.progress
import cdc.cli.reset
import cdc.cli.run
import cdc.cli.status
import cdc.registry
from cdc.admin.server import AdminServer
from cdc.checkpoint import Checkpoint
from cdc.cli.check import _found
from cdc.cli.daemon import NoDaemon, act, get
from cdc.cli.main import main
from cdc.cli.progress import Progress
from cdc.cli.records import raw_line
from cdc.config import Config, load
from cdc.errors import CdcError, TransientError
from cdc.event import Record, Stored, Topic
from cdc.registry import Parts
from cdc.state_dir import socket_path
from cdc.status import WorkerStatus
from tests.unit.cdc import supervised
from tests.unit.cdc.admin.daemons import FAILED, SINK, SNAPSHOTTING, SOURCE, ChosenDaemon


@pytest.fixture(autouse=True)
def own_journal() -> Iterator[None]:
    """What `cdc run` sets up for its process ends with the test that runs it here."""
    root = logging.getLogger()
    handlers, level, made = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**made)


@pytest.fixture
def file() -> Iterator[Path]:
    """A configuration; pytest's own temporary paths may be longer than a Unix socket allows."""
    with TemporaryDirectory(prefix="tw") as folder:
        file = Path(folder, "cdc.yaml")
        file.write_text(f"name: shop\nsources:\n  shop: {{type: {supervised.__name__}}}\n")
        yield file


@pytest.fixture
def config(file: Path) -> Config:
    return load(file)


@pytest.fixture
def run(file: Path) -> Callable[..., int]:
    def run(command: str, *arguments: str) -> int:
        return main([command, *arguments, "-c", str(file)])

    return run


@pytest.fixture
def serve(config: Config) -> Iterator[Callable[..., AdminServer]]:
    """A daemon of the pipeline that answers as chosen."""
    started: list[AdminServer] = []

    def serve(*workers: WorkerStatus) -> AdminServer:
        config.state_dir.mkdir(exist_ok=True)
        started.append(AdminServer(ChosenDaemon(*workers), socket_path(config.state_dir)))
        started[-1].start()
        return started[-1]

    yield serve
    for server in started:
        server.stop()


# --- check, init, schema --------------------------------------------------------------------------


def test_a_file_that_needs_nothing_is_ready(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check") == 0

    assert capsys.readouterr().out.splitlines()[-1].endswith("cdc.yaml: ready")


def test_a_check_that_cannot_be_made_is_a_finding_of_its_own() -> None:
    def fails() -> list[object]:
        raise TransientError("nobody answers", hint="Start it.")

    (finding,) = _found(fails)  # type: ignore[arg-type]

    assert (finding.severity, finding.message, finding.fix) == (
        "error",
        "nobody answers",
        "Start it.",
    )


def test_init_writes_no_sql_where_none_is_needed(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = SimpleNamespace(config="name: made\n", sql="\n")
    monkeypatch.setattr(cdc.registry, "scaffold", lambda url: made)

    assert main(["init", "postgresql://host/db", "--force", "-c", str(file)]) == 0

    assert file.read_text() == "name: made\n"
    assert not file.with_suffix(".sql").exists()
    assert ".sql" not in capsys.readouterr().out


def test_init_says_where_it_cannot_write(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = SimpleNamespace(config="", sql="")
    monkeypatch.setattr(cdc.registry, "scaffold", lambda url: made)
    nowhere = file.parent / "missing" / "cdc.yaml"

    assert main(["init", "postgresql://host/db", "-c", str(nowhere)]) == 2

    assert f"cannot write {nowhere}: No such file" in capsys.readouterr().err


def test_the_schema_says_what_it_leaves_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    importing = importlib.import_module

    def without_redis(name: str, package: str | None = None) -> object:
        if name == "sinks.redis":
            raise ModuleNotFoundError("No module named 'redis'", name="redis")
        return importing(name, package)

    monkeypatch.setattr(importlib, "import_module", without_redis)

    assert main(["schema"]) == 0

    captured = capsys.readouterr()
    assert json.loads(captured.out)["type"] == "object"
    (line,) = captured.err.splitlines()
    assert line.startswith("left open: ")
    assert 'sink type "redis"' in line


# --- status ---------------------------------------------------------------------------------------


def test_status_of_a_failed_pipeline_exits_1_and_says_why(
    run: Callable[..., int],
    serve: Callable[..., AdminServer],
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(SNAPSHOTTING, FAILED)

    assert run("status") == 1

    shown = capsys.readouterr().out
    assert "50,900" in shown
    assert "cache: Redis refuses the password. Check the sink's url" in shown


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_status_is_watched_until_the_daemon_is_gone(
    run: Callable[..., int],
    serve: Callable[..., AdminServer],
    form: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve(SOURCE, SINK)
    looks: list[float] = []

    def wait(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            server.stop()

    monkeypatch.setattr(cdc.cli.status, "time", SimpleNamespace(sleep=wait))

    assert run("status", "--watch", *form) == 1

    assert looks == [cdc.cli.status.EVERY_S] * 2
    captured = capsys.readouterr()
    assert "streaming" in captured.out
    assert captured.err.startswith('cdc: the pipeline "shop" does not run')


def test_a_socket_that_a_dead_daemon_left_is_no_daemon(
    run: Callable[..., int], config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    config.state_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path(config.state_dir)))

    assert run("status") == 1

    assert 'the pipeline "shop" does not run' in capsys.readouterr().err


def test_a_daemon_that_hangs_up_is_an_error_with_its_place(file: Path) -> None:
    path = file.parent / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def hang_up() -> None:
            listening.accept()[0].close()

        answering = threading.Thread(target=hang_up)
        answering.start()
        with pytest.raises(CdcError, match=f"the daemon at {path} cannot be asked"):
            get(path, "/api/status")
        answering.join()


def test_an_answer_that_is_none_is_an_error(
    serve: Callable[..., AdminServer], config: Config
) -> None:
    serve(SOURCE)

    with pytest.raises(CdcError, match="answered 404"):
        get(socket_path(config.state_dir), "/nothing")
    with pytest.raises(NoDaemon):
        get(config.state_dir / "other", "/api/status")


# --- run ------------------------------------------------------------------------------------------


def test_with_a_moving_display_the_journal_tells_only_what_is_wrong(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cdc.cli.run, "wants_progress", lambda: True)

    assert run("run", "--until-current") == 0

    error = capfd.readouterr().err
    assert "everything that was committed before the start is in every sink" in error
    assert "phase" not in error


def test_a_source_that_is_not_in_the_file_is_named_with_the_nearest(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", "--source", "shpo") == 2

    assert 'has no source "shpo"; did you mean "shop"?' in capsys.readouterr().err


def test_bars_follow_every_worker_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cdc.cli.progress, "wants_progress", lambda: True)
    status = ChosenDaemon(SNAPSHOTTING, SINK).status()

    with Progress(enabled=True) as progress:
        progress.show(status)
        progress.show(replace(status, workers=(SOURCE, SINK)))
        assert progress._bars is not None
        tasks = {task.description: task for task in progress._bars.tasks}

    assert list(tasks) == ["shop", "search"]
    assert "streaming" in tasks["shop"].fields["say"]


def test_without_a_terminal_a_line_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cdc.cli.progress, "wants_progress", lambda: False)
    status = ChosenDaemon(SOURCE, SINK).status()

    with Progress(enabled=True) as progress:
        progress.show(status)
        early = capsys.readouterr().err
        progress._printed_at_s -= cdc.cli.progress.LINE_EVERY_S
        progress.show(status)

    assert early == ""
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "source shop",
        "sink search",
    ]


# --- reset ----------------------------------------------------------------------------------------


def test_reset_of_what_is_not_there_names_the_nearest(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("reset", "shopp", "--yes") == 2

    assert 'has no "shopp"; did you mean "shop"?' in capsys.readouterr().err


def test_reset_of_a_source_that_another_daemon_runs_is_refused(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervised.Supervised, "acquire", lambda self, timeout_s: False)

    assert run("reset", "shop", "--yes") == 1

    assert 'the source "shop" is run by another daemon' in capsys.readouterr().err


def test_reset_forgets_all_but_the_sequence_though_the_database_is_away(
    run: Callable[..., int],
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def away(self: supervised.Supervised, timeout_s: float) -> bool:
        raise TransientError("the database is away")

    writer = Parts(config).writer("shop")
    writer.open()
    writer.commit(Checkpoint({"position": b"7", "sequence": b"8"}), 1.0)
    writer.close()
    monkeypatch.setattr(supervised.Supervised, "acquire", away)

    assert run("reset", "shop", "--yes") == 0

    assert "note: the database is away" in capsys.readouterr().err
    writer = Parts(config).writer("shop")
    assert writer.open() == Checkpoint({"sequence": b"8"})
    writer.close()


def test_reset_of_what_never_ran_does_nothing(run: Callable[..., int]) -> None:
    assert run("reset", "shop", "--yes") == 0


def test_a_log_that_does_not_take_the_change_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([False, True])
    cdc.cli.reset._patiently(lambda timeout_s: next(answers))
    monkeypatch.setattr(cdc.cli.reset, "COMMIT_S", 0.0)

    with pytest.raises(TransientError, match="did not take the change within 0 s"):
        cdc.cli.reset._patiently(lambda timeout_s: False)


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_reset_asks_on_a_terminal(
    run: Callable[..., int], answer: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)

    assert run("reset", "shop") == code


# --- records --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (b'{"id":1}', None, 't/0/7 tombstone {"id":1}'),
        (None, b'{"a":1}', 't/0/7 null {"a":1}'),
        (b"\xff", b"text", 't/0/7 "\\\\xff" "text"'),
        (
            b'{"schema":{},"payload":{"id":1}}',
            b'{"schema":{},"payload":{"op":"d","before":{"id":1},"after":null}}',
            't/0/7 d {"id":1} {"id":1}',
        ),
    ],
)
def test_every_record_has_a_line_whatever_it_holds(
    key: bytes | None, value: bytes | None, line: str
) -> None:
    assert raw_line(Stored("t", 0, 7, key, value, (), 0)) == line


def test_topics_of_an_empty_log_are_none(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("topics", "--json") == 0

    assert json.loads(capsys.readouterr().out) == []


def test_a_structure_that_was_deleted_has_no_columns(
    run: Callable[..., int], config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = Topic("__cdc.shop.schemas", compacted=True, internal=True)
    writer = Parts(config).writer("shop")
    writer.open()
    writer.append([Record(topic, b"gone", None, b".0", sequence=1)], 1.0)
    writer.append(
        [Record(Topic("shop.public.t", compacted=True), b"k", b"v", b".0", sequence=2)], 1.0
    )
    writer.commit(Checkpoint({}), 1.0)
    writer.close()

    assert run("topics", "--json") == 0

    assert [(found["name"], found["columns"]) for found in json.loads(capsys.readouterr().out)] == [
        ("shop.public.t", [])
    ]


# --- pause, resume --------------------------------------------------------------------------------


def test_a_pause_is_asked_of_the_daemon_that_runs_the_source(
    run: Callable[..., int],
    serve: Callable[..., AdminServer],
    config: Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(SOURCE)
    (config.state_dir / "cdc.dead.sock").touch()

    assert run("pause", "shop") == 0
    assert capsys.readouterr().out == "pause of shop begins\n"
    assert run("pause", "nobody") == 2
    assert 'has no source "nobody"' in capsys.readouterr().err


def test_a_pause_needs_a_daemon(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pause", "shop") == 1

    assert 'no daemon of this machine runs "shop"' in capsys.readouterr().err


def test_what_the_daemon_refuses_is_told_in_its_words(
    serve: Callable[..., AdminServer], config: Config
) -> None:
    serve(replace(SOURCE, name="other"))

    with pytest.raises(CdcError, match='this daemon does not run "other"'):
        act(config, "other", "resume")
