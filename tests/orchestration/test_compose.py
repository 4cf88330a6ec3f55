"""The production stack's file: valid, without default passwords, and refusing to start without secrets."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from keymuster.settings import PROJECT

FILE = PROJECT / "docker-compose.yml"
OURS = ("init", "api-server", "scheduler", "dag-processor", "triggerer", "worker")


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    made = subprocess.run([PROJECT / "docker" / "make-env"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in made.splitlines())


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def config(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    with tempfile.NamedTemporaryFile() as nothing:  # instead of an .env that somebody works with
        command = ["docker-compose", "-f", str(FILE), "--env-file", nothing.name, "config", "-q"]
        return subprocess.run(command, env={"PATH": os.getenv("PATH", "")} | environ, capture_output=True, text=True, check=False)


@pytest.mark.server("docker-compose")
def test_it_is_valid_with_the_secrets_that_make_env_makes(secrets: dict[str, str]) -> None:
    done = config(secrets)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.server("docker-compose")
def test_it_refuses_to_start_without_any_one_secret(secrets: dict[str, str]) -> None:
    for name in secrets:
        done = config({key: value for key, value in secrets.items() if key != name})
        assert done.returncode != 0, name
        assert "make .env with docker/make-env" in done.stderr


def test_secrets_are_fresh_and_long(secrets: dict[str, str]) -> None:
    assert all(len(value) >= 44 for value in secrets.values())
    assert len(set(secrets.values())) == len(secrets)


def test_no_password_has_a_default() -> None:
    for name, default in re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", FILE.read_text()):
        assert not re.search("PASSWORD|SECRET|KEY$|TOKEN", name), (name, default)


def test_every_service_is_watched_and_ours_are_confined(stack: dict[str, Any]) -> None:
    for name, service in stack["services"].items():
        assert "healthcheck" in service or name == "init", name
    for name in OURS:
        service = stack["services"][name]
        uid = service["user"].split(":")[0]
        assert int(uid) > 0
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert all(volume.endswith(":ro") for volume in service["volumes"] if volume.startswith("."))


def test_workers_can_be_scaled_and_wait_for_the_execution_api(stack: dict[str, Any]) -> None:
    for name in ("worker", "scheduler"):
        assert stack["services"][name]["depends_on"]["api-server"] == {"condition": "service_healthy"}
    worker = stack["services"]["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker
    assert "/execution/health" in " ".join(stack["services"]["api-server"]["healthcheck"]["test"])


def test_only_the_ui_is_reachable_and_only_from_this_host(stack: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in stack["services"].items() if "ports" in service}
    assert list(published) == ["api-server"]
    assert all(port.startswith("127.0.0.1:") for port in published["api-server"])


def test_paths_of_the_image_are_those_of_the_file() -> None:
    image = (PROJECT / "docker" / "Dockerfile").read_text()
    for folder in ("dags", "plugins", "checks", "reports"):
        assert f"./{folder}:/opt/keymuster/{folder}:ro" in FILE.read_text()
        assert f"COPY {folder} /opt/keymuster/{folder}" in image
        assert Path(PROJECT / folder).is_dir()
    assert "USER 10001:10001" in image
