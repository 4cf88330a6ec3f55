"""What `make audit` and `make up` run, as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from keymuster.settings import PROJECT
from tests.orchestration.lab import ESTATE, Lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def runner(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "KEYMUSTER"))}  # noqa: TID251 (of the child)
    environ |= {"KEYMUSTER_HOME": str(home), "PYTHONPATH": str(PROJECT / "plugins"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "keymuster.orchestration.runner", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    (tmp_path / "estate").mkdir()
    Lab(tmp_path / "estate").build()
    return tmp_path / "estate" / "estate.yaml"


def test_two_audits_at_a_terminal(tmp_path: Path, estate: Path) -> None:
    """A station that fails stops nothing; the exit code tells of findings; the second time nothing has changed."""
    extra = "  - {name: lab-bao, source: vault_pki, connection: bao_prod, owner: x, settings: {url: 'https://bao.lab.test'}}\n"
    estate.write_text(ESTATE + extra)
    first = runner(tmp_path / "home", "audit", str(estate), "--fail-on", "critical")
    assert first.returncode == 1, first.stdout + first.stderr
    said = " ".join((first.stdout + first.stderr).split())
    for words in ("no Airflow connection 'bao_prod'", "First audit of this estate", "executive report: file:///"):
        assert words in said
    assert "[info" not in said, "Airflow's own log belongs into the file"
    tickets = sorted((tmp_path / "home" / "tickets").glob("*.md"))
    assert tickets

    second = runner(tmp_path / "home", "audit", str(estate))
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Nothing changed since" in second.stdout + second.stderr
    assert sorted((tmp_path / "home" / "tickets").glob("*.md")) == tickets


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("estate: lab\nstations:\n  - {name: a, source: pem_file}\n", "station 'a': no source named 'pem_file'; there are"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_estate_is_one_clear_line(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "estate.yaml"
    if text:
        path.write_text(text)
    done = runner(tmp_path / "home", "audit", str(path))
    assert done.returncode == 2
    assert str(path) in done.stdout + done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_up_and_down(tmp_path: Path, estate: Path) -> None:
    home = tmp_path / "home"
    try:
        up = runner(home, "up", str(estate))
        assert up.returncode == 0, up.stdout + up.stderr
        url = next(word for word in up.stdout.split() if word.startswith("http://127.0.0.1:"))
        assert requests.get(f"{url}/api/v2/monitor/health", timeout=60).json()["scheduler"]["status"] == "healthy"
        assert "running already" in runner(home, "up", str(estate)).stdout
    finally:
        down = runner(home, "down")
    assert down.returncode == 0
    assert "stopped" in down.stdout
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
    assert "nothing is running" in runner(home, "down").stdout
