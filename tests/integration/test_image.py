"""docker-compose.yml and Dockerfile, proved as far as a machine without a container engine can."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]


def instructions(stage: str) -> list[tuple[str, str]]:
    """The Dockerfile's instructions of one stage, as (keyword, rest)."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    stages = re.split(r"(?m)^FROM ", text)[1:]
    chosen = stages[0] if stage == "build" else stages[-1]
    lines = [line for line in chosen.splitlines()[1:] if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_compose_file_is_valid_by_the_compose_specification() -> None:
    checker = Path(sys.executable).parent / "check-jsonschema"

    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_service_has_a_pinned_version_and_a_health_check(service: str) -> None:
    settings = SERVICES[service]
    tag = settings["image"].partition(":")[2]

    assert re.match(r"\d+\.\d+", tag), "a pinned version"
    assert "healthcheck" in settings or service == "tidewire", "its image declares the check"


def test_every_service_keeps_its_data_in_a_declared_volume() -> None:
    declared = set(yaml.safe_load(COMPOSE.read_text())["volumes"])

    for name, settings in SERVICES.items():
        mounted = {volume.split(":")[0] for volume in settings["volumes"]}
        assert mounted & declared, name


def test_postgres_is_ready_for_logical_decoding() -> None:
    assert "wal_level=logical" in SERVICES["postgres"]["command"]


def test_ports_are_open_on_loopback_only() -> None:
    for name, settings in SERVICES.items():
        for port in settings.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_tidewire_waits_for_every_server_that_its_configuration_names() -> None:
    configured = (ROOT / "config" / "compose.yaml").read_text()

    for name, condition in SERVICES["tidewire"]["depends_on"].items():
        assert condition == {"condition": "service_healthy"}
        assert f"{name}:" in configured


def test_image_runs_as_an_ordinary_user_and_declares_its_health() -> None:
    keywords = dict(instructions("final"))

    assert keywords["USER"] == "tidewire"
    assert "/healthz" in keywords["HEALTHCHECK"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_build_steps_of_the_image_give_a_compiled_tidewire(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    target = tmp_path / "opt"
    environment = {**os.environ, "PATH": os.environ["PATH"]}
    environment.pop("CDC_PURE_PYTHON", None)
    output = ""

    for keyword, rest in instructions("build"):
        if keyword == "COPY":
            *names, destination = rest.split()
            for name in names:
                _copy(ROOT / name, source / (name if destination == "./" else destination))
        elif keyword == "ENV":
            name, _, value = rest.partition("=")
            environment[name] = value
        elif keyword == "RUN" and not rest.startswith("apt-get"):
            # `python` is this test's own interpreter; the image's is the base image's.
            command = rest.replace("/opt/tidewire", str(target)).replace(
                "python -m venv", f"{sys.executable} -m venv"
            )
            done = subprocess.run(
                command,
                shell=True,
                cwd=source,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            output = done.stdout

    assert "compiled" in output
    assert "partly" not in output


def _copy(origin: Path, destination: Path) -> None:
    if origin.is_dir():
        ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.c")
        shutil.copytree(origin, destination, ignore=ignored)
    else:
        shutil.copy(origin, destination)
