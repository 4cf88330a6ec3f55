"""A real scheduler, API server, DAG processor and triggerer: from a collection over REST to tickets in Redmine and three past days."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from keymuster.orchestration import airflow_home, services, steps
from keymuster.orchestration.workplace import Workplace
from keymuster.settings import settings
from tests.e2e.api import Api, until
from tests.orchestration.lab import ESTATE, Lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: TID251 (the servers run by the real clock)
DAYS = [TODAY - timedelta(days=back) for back in (3, 2, 1)]


@dataclass
class Served:
    """A running Airflow over the small estate."""

    api: Api
    lab: Lab
    home: Path
    folder: Path

    @property
    def reports(self) -> dict[str, Any]:
        """`findings.json` by name of the report folder."""
        found = sorted((self.home / "reports" / "lab").glob("*/findings.json"))
        return {path.parent.name: json.loads(path.read_text()) for path in found}


@pytest.fixture
def served(tmp_path: Path, redmine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    home, estate = tmp_path / "home", tmp_path / "estate"
    estate.mkdir()
    lab = Lab(estate).build()
    (estate / "estate.yaml").write_text(ESTATE.replace("schedule: '0 3 * * *'", "schedule: null"))
    tracker = {"conn_type": "http", "host": redmine.url, "password": redmine.api_key, "extra": {"project": redmine.project}}
    port, folder, database = services.free_port(0), home / "airflow" / "run", home / "airflow" / "airflow.db"
    ours = airflow_home.environment(home, (estate / "estate.yaml",), database) | {
        "KEYMUSTER_TRACKER": "redmine",
        "KEYMUSTER_TRACKER_CONNECTION": "redmine_lab",
        "AIRFLOW_CONN_REDMINE_LAB": json.dumps(tracker),
    }
    for name in ("KEYMUSTER_HOME", "KEYMUSTER_ESTATES"):
        monkeypatch.setenv(name, ours[name])
    settings.cache_clear()
    remember(lab)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "KEYMUSTER"))}  # noqa: TID251 (of the children)
    environ = inherited | ours
    airflow_home.prepare_database(database, environ)
    try:
        services.start(folder, environ | airflow_home.served(home, port), url := f"http://127.0.0.1:{port}")
        api = Api.log_in(url, airflow_home.password(home))
        until(lambda: api.has_dags("collect__lab-files", "collect__lab-ca", "audit", "report", "remediate"), "the DAGs")
        yield Served(api, lab, home, folder)
    finally:
        services.stop(folder)
        settings.cache_clear()
    assert services.running(folder) == []


def remember(lab: Lab) -> None:
    """What was collected on three past days: one more readable key each day."""
    place = Workplace()
    for number, day in enumerate(DAYS):
        if number:
            lab.put_key(f"day{number}.lab.test")
        for station in ("lab-files", "lab-ca"):
            steps.collect(place, station, day + timedelta(hours=3))


def loose_keys(report: Any) -> set[str]:
    return {Path(row["locators"][0]).name for row in report["findings"] if row["rule_id"] == "key.file.private"}


def issues(redmine: Any) -> list[str]:
    query = {"project_id": redmine.project, "status_id": "*", "limit": 100}
    answer = requests.get(f"{redmine.url}/issues.json", params=query, headers={"X-Redmine-API-Key": redmine.api_key}, timeout=60)
    return [issue["description"] for issue in answer.json()["issues"]]


def test_from_collection_to_tickets_then_three_past_days(served: Served, redmine: Any) -> None:
    api = served.api
    served.lab.put_key("today.lab.test")
    runs = {name: api.trigger(name) for name in ("collect__lab-files", "collect__lab-ca")}
    assert {name: api.finished(name, run) for name, run in runs.items()} == dict.fromkeys(runs, "success")

    wanted = {"old.lab.test.key", "day1.lab.test.key", "day2.lab.test.key", "today.lab.test.key"}
    until(lambda: all(any(name in text for text in issues(redmine)) for name in wanted), "four tickets in Redmine")
    tickets = issues(redmine)
    until(lambda: any(loose_keys(report) == wanted for report in served.reports.values()), "the report of today")

    body = {"dag_id": "audit", "from_date": f"{DAYS[0]:%Y-%m-%d}T00:00:00Z", "to_date": f"{DAYS[-1]:%Y-%m-%d}T23:59:00Z"}
    answer = api.post("backfills", body | {"run_backwards": False, "max_active_runs": 1, "dag_run_conf": {}, "reprocess_behavior": "none"})
    assert answer.ok, answer.text
    names = [f"{day:%Y%m%d}T040000000000Z" for day in DAYS]
    until(lambda: all(any(folder.startswith(name) for folder in served.reports) for name in names), "reports of three past days")
    past = [next(report for folder, report in served.reports.items() if folder.startswith(name)) for name in names]
    assert [report["audit"]["kind"] for report in past] == ["backfill"] * 3
    assert [loose_keys(report) for report in past] == [
        {"old.lab.test.key"},
        {"old.lab.test.key", "day1.lab.test.key"},
        {"old.lab.test.key", "day1.lab.test.key", "day2.lab.test.key"},
    ]
    assert len(issues(redmine)) == len(tickets), "past days file no ticket"

    refused = api.post("backfills", body | {"dag_id": "collect__lab-files"})
    assert refused.status_code in {400, 409, 422}, "a live system is not asked about the past"
    page = api.session.get(f"{api.url}/keymuster/", timeout=60)
    assert page.ok
    assert names[0] in page.text
    assert requests.get(f"{api.url}/keymuster/", timeout=60).status_code == 401
