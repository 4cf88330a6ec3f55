"""The DAG files, without a database: they load, say what they are, and load nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keymuster.settings import PROJECT, settings

ESTATE = """
estate: lab
stations:
  - {name: lab-files, source: files, schedule: '0 3 * * *', owner: lab-team, settings: {paths: [pki]}}
  - {name: lab-more, source: files, settings: {paths: [more]}}
"""
FIXED = {"audit", "audit__sweep", "report", "remediate"}


@pytest.fixture
def dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "estate.yaml").write_text(ESTATE)
    monkeypatch.setenv("KEYMUSTER_ESTATES", str(tmp_path / "estate.yaml"))
    settings.cache_clear()
    bag = DagBag(dag_folder=str(PROJECT / "dags"), bundle_name="dags-folder", bundle_path=PROJECT / "dags")
    assert bag.import_errors == {}
    return dict(bag.dags)


def test_one_collection_a_station_and_the_rest(dags: dict[str, Any]) -> None:
    assert set(dags) == {"collect__lab-files", "collect__lab-more"} | FIXED


def test_every_dag_says_what_it_is(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        for heading in ("**Purpose.**", "**Fails when.**", "**Safe to re-run.**", "**Owner.**"):
            assert heading in dag.doc_md, name
        assert "keymuster" in dag.tags
        assert len(dag.tags) > 1, name
        assert dag.description, name
        for task in dag.tasks:
            assert task.owner not in {"", "airflow"}, (name, task.task_id)
            assert task.doc_md or task.python_callable.__doc__, (name, task.task_id)


def test_every_task_is_retried_by_error_class(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag.tasks:
            assert task.retries > 0
            assert task.retry_policy.rules


def test_owner_and_schedule_come_from_the_estate(dags: dict[str, Any]) -> None:
    scheduled, asked = dags["collect__lab-files"], dags["collect__lab-more"]
    assert {task.owner for task in scheduled.tasks} == {"lab-team"}
    assert scheduled.timetable.expression == "0 3 * * *"
    assert not asked.timetable.can_be_scheduled
    assert [asset.name for asset in scheduled.get_task("gate").outlets] == ["snapshot-lab-files"]


def test_only_the_audit_can_be_backfilled(dags: dict[str, Any]) -> None:
    open_to_all = {name for name, dag in dags.items() if dag.allowed_run_types is None}
    assert open_to_all == {"audit"}
    for name in set(dags) - open_to_all:
        assert "backfill" not in {str(kind.value) for kind in dags[name].allowed_run_types}


def test_nothing_catches_up_and_nothing_overlaps(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert not dag.catchup
        assert dag.max_active_runs == 1


def test_files_are_wiring_only() -> None:
    for path in sorted((PROJECT / "dags").glob("*.py")):
        assert len(path.read_text().splitlines()) <= 60, path


def test_loading_a_dag_file_loads_nothing_heavy() -> None:
    code = (
        "import runpy, sys\n"
        f"for name in ('collect', 'audit', 'audit_sweep', 'report', 'remediate'): runpy.run_path(f'{PROJECT}/dags/{{name}}.py')\n"
        "heavy = {'pandas', 'pyarrow', 'great_expectations', 'boto3', 'ldap3', 'keymuster.audit', 'keymuster.store', 'keymuster.gate'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain())
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_wrong_estate_shows_as_one_clear_import_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "estate.yaml").write_text(ESTATE.replace("source: files, settings", "source: pem_file, settings"))
    monkeypatch.setenv("KEYMUSTER_ESTATES", str(tmp_path / "estate.yaml"))
    settings.cache_clear()
    bag = DagBag(dag_folder=str(PROJECT / "dags" / "collect.py"), bundle_name="dags-folder", bundle_path=PROJECT / "dags")
    (error,) = bag.import_errors.values()
    assert error.strip().splitlines()[-1].startswith("keymuster.errors.EstateError: ")
    assert "station 'lab-more': no source named 'pem_file'; there are" in error


def plain() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(PROJECT / "plugins"), "KEYMUSTER_ESTATES": ""}  # noqa: TID251 (a child's environment)
