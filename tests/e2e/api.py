"""Airflow's REST API, as an engineer's script would use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

PATIENCE_SECONDS = 240


@dataclass
class Api:
    """One logged-in session."""

    url: str
    session: requests.Session

    @classmethod
    def log_in(cls, url: str, password: str) -> Api:
        """As `admin`."""
        session = requests.Session()
        answer = session.post(f"{url}/auth/token", json={"username": "admin", "password": password}, timeout=60)
        assert answer.status_code == 201, answer.text
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return cls(url, session)

    def get(self, path: str, **params: Any) -> Any:
        """JSON of an answer that must be good."""
        answer = self.session.get(f"{self.url}/api/v2/{path}", params=params, timeout=60)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, body: Any) -> requests.Response:
        """The answer, good or bad."""
        return self.session.post(f"{self.url}/api/v2/{path}", json=body, timeout=60)

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run; its id."""
        answer = self.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        assert answer.ok, answer.text
        return str(answer.json()["dag_run_id"])

    def has_dags(self, *names: str) -> bool:
        """Whether the DAG processor has found these, without an import error."""
        errors = self.get("importErrors")["import_errors"]
        assert errors == []
        return set(names) <= {dag["dag_id"] for dag in self.get("dags", limit=100)["dags"]}

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of one run."""
        return str(self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def finished(self, dag_id: str, run_id: str) -> str:
        """Wait for the end of a run; its state."""
        until(lambda: self.run_state(dag_id, run_id) in {"success", "failed"}, f"{dag_id} {run_id} to end")
        return self.run_state(dag_id, run_id)


def until(true: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.5)
