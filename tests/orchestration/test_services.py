"""Processes are owned: whatever moves to another group or loses its parent is still found and ended."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keymuster.errors import ConfigurationError
from keymuster.orchestration import airflow_home, services
from tests.orchestration.conftest import DATABASE

# A parent that has a child in a group of its own which ignores a polite end.
PARENT = """
import os, signal, subprocess, sys, time
child = "import os, signal, time; os.setpgid(0, 0); signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", "import sys;" + child, sys.argv[1]])
time.sleep(600)
"""


def start(folder: Path, tmp_path: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    (folder / "mark").write_text("test-mark")
    ready = tmp_path / "ready"
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(ready)], env={"PATH": os.defpath, services.MARK: "test-mark"})
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def test_down_ends_children_in_other_groups(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, tmp_path)
    assert len(services.running(folder)) == 2
    assert services.stop(folder, patience_seconds=1) == 2
    process.wait(10)
    assert services.running(folder) == []
    assert not (folder / "mark").exists()


def test_down_ends_what_a_crash_left(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, tmp_path)
    process.kill()
    process.wait(10)
    assert len(services.running(folder)) == 1
    assert services.stop(folder, patience_seconds=1) == 1


def test_down_when_nothing_runs(tmp_path: Path) -> None:
    assert services.stop(tmp_path / "run") == 0


def test_up_twice_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, tmp_path)
    with pytest.raises(ConfigurationError, match="is running already; stop it with 'make down'"):
        services.start(folder, {}, "http://127.0.0.1:1")
    services.stop(folder, patience_seconds=1)
    process.wait(10)


def test_a_part_that_does_not_start_is_shown_with_its_log(tmp_path: Path) -> None:
    environ = {"PATH": os.defpath, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__EXECUTOR": "NoSuchExecutor"}
    environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = "nonsense://x"
    with pytest.raises(ConfigurationError, match=r"Airflow's api-server did not start; the end of .*api-server\.log"):
        services.start(tmp_path / "run", environ, "http://127.0.0.1:9")
    assert services.running(tmp_path / "run") == []


def test_a_taken_port_is_not_chosen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert services.free_port(port) != port


def test_the_password_is_made_once_and_private(tmp_path: Path) -> None:
    (tmp_path / "airflow").mkdir()
    environ = airflow_home.served(tmp_path, 8080)
    first = airflow_home.password(tmp_path)
    assert airflow_home.served(tmp_path, 8080) == environ
    assert airflow_home.password(tmp_path) == first
    assert len(first) >= 20
    for name in ("passwords.json", "keys.json"):
        assert stat.S_IMODE((tmp_path / "airflow" / name).stat().st_mode) == 0o600


@pytest.mark.usefixtures("airflow_db")
def test_the_database_is_migrated_once(tmp_path: Path) -> None:
    nothing_can_be_run = {"PATH": "/nowhere"}
    written = DATABASE.stat().st_mtime_ns
    airflow_home.prepare_database(DATABASE, nothing_can_be_run)
    assert DATABASE.stat().st_mtime_ns == written
    other = DATABASE.with_name(f"{tmp_path.name}.db")
    airflow_home.prepare_database(other, nothing_can_be_run)
    with sqlite3.connect(other) as link:
        assert link.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_a_database_that_cannot_be_made_is_told_with_airflows_words(tmp_path: Path) -> None:
    environ = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "nonsense://x"}
    with pytest.raises(ConfigurationError, match="Airflow could not make its database; it said:"):
        airflow_home.prepare_database(tmp_path / "x" / "airflow.db", environ)
