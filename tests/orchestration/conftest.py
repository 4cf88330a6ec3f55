"""One embedded Airflow for all tests of this folder: its environment is set before anything imports Airflow."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keymuster.orchestration import airflow_home
from keymuster.settings import PROJECT, settings
from tests.orchestration.lab import Lab

HOME = Path(tempfile.mkdtemp(prefix="keymuster-airflow-"))
DATABASE = HOME / "airflow" / "airflow.db"
ENVIRON = {k: v for k, v in airflow_home.environment(HOME, (), DATABASE).items() if k.startswith("AIRFLOW")}
os.environ.update(ENVIRON, AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING")  # noqa: TID251 (Airflow reads it when it is imported)


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """A migrated metadata database."""
    airflow_home.prepare_database(DATABASE, {**os.environ, "PYTHONPATH": str(PROJECT / "plugins")})  # noqa: TID251


@pytest.fixture(scope="session", autouse=True)
def _leave_nothing() -> Iterator[None]:
    yield
    shutil.rmtree(HOME)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An own home for each test: store, ledger, reports and tickets lie below it."""
    monkeypatch.setenv("KEYMUSTER_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def lab(tmp_path: Path, home: Path, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The small estate with its DAGs."""
    from keymuster.orchestration import tasks

    (tmp_path / "estate").mkdir()
    monkeypatch.setenv("KEYMUSTER_ESTATES", str(tmp_path / "estate" / "estate.yaml"))
    settings.cache_clear()
    tasks.place.cache_clear()
    made = Lab(tmp_path / "estate").build().load()
    yield made
    made.place.ledger.close()
    tasks.place.cache_clear()
