"""The production stack without containers: its own settings, PostgreSQL, Redis, object storage, FAB log-in and two Celery workers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from keymuster.orchestration import services, steps
from keymuster.orchestration.workplace import Secrets, Workplace
from keymuster.settings import PROJECT, settings
from tests.e2e.api import Api, until
from tests.orchestration.lab import ESTATE, NOON, Lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
SHARDS = 8


def compose_settings(values: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """The environment of the compose file's services: variables filled in, its host names and paths replaced by those of this machine."""
    declared = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["worker"]["environment"]

    def filled(text: str) -> str:
        text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda m: values[m[1]], text)
        text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: values.get(m[1], m[2]), text)
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    return {name: filled(str(value)) for name, value in declared.items()}


@pytest.fixture
def stack(
    tmp_path: Path, postgres_server: Any, redis: str, seaweedfs: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[dict[str, str], str, str, Path]]:
    """(environment, url, administrator's password, folder of logs and marks) of a prepared stack; the servers run, Airflow does not."""
    made = subprocess.run([PROJECT / "docker" / "make-env"], capture_output=True, text=True, check=True).stdout
    values = dict(line.split("=", 1) for line in made.splitlines()) | {"S3_SECRET_KEY": seaweedfs.secret_key}
    airflow, ledger = postgres_server.create(), postgres_server.create()
    port = services.free_port(0)
    (tmp_path / "estate").mkdir()
    places = {
        f"postgresql+psycopg2://airflow:{values['POSTGRES_PASSWORD']}@postgres:5432/airflow": airflow,
        f"db+postgresql://airflow:{values['POSTGRES_PASSWORD']}@postgres:5432/airflow": airflow.replace(
            "postgresql+psycopg2", "db+postgresql"
        ),
        f"redis://:{values['REDIS_PASSWORD']}@redis:6379/0": redis,
        '"host":"postgres","port":5432,"login":"airflow"': f'"host":"127.0.0.1","port":{postgres_server.port},"login":"postgres"',
        '"schema":"keymuster"': f'"schema":"{ledger.rpartition("/")[2]}"',
        '"login":"keymuster"': f'"login":"{seaweedfs.access_key}"',
        "http://objects:8333": seaweedfs.endpoint,
        "s3://keymuster/": f"s3://{seaweedfs.bucket}/",
        "http://api-server:8080": f"http://127.0.0.1:{port}",
        "/opt/keymuster/dags/estate.yaml": str(tmp_path / "estate" / "estate.yaml"),
        "/opt/keymuster": str(PROJECT),
        "/opt/airflow": str(tmp_path / "airflow"),
        "/srv/keymuster": str(tmp_path / "home"),
    }
    url = f"http://127.0.0.1:{port}"
    theirs = compose_settings({**values, "KEYMUSTER_URL": url}, places)
    for name in (name for name in theirs if name.startswith(("KEYMUSTER", "AIRFLOW_CONN", "AIRFLOW_HOME"))):
        monkeypatch.setenv(name, theirs[name])
    settings.cache_clear()
    bin_folder = Path(sys.executable).parent
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},  # noqa: TID251 (of the children)
        **theirs,
        "PATH": f"{bin_folder}:{os.getenv('PATH', '')}",
        "PYTHONPATH": f"{PROJECT / 'plugins'}:{PROJECT}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "tests.e2e.hostname.worker",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "KEYMUSTER_SHARD_ROWS": "1",
        "KEYMUSTER_MAX_SHARDS": str(SHARDS),
        "KEYMUSTER_ADMIN_PASSWORD": values["KEYMUSTER_ADMIN_PASSWORD"],
    }
    done = subprocess.run([PROJECT / "docker" / "init"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    folder = tmp_path / "run"
    try:
        yield services.claim(folder, environ), url, values["KEYMUSTER_ADMIN_PASSWORD"], folder
    finally:
        services.stop(folder)
        settings.cache_clear()
        for database in (airflow, ledger):
            postgres_server.drop(database)


def collected(folder: Path) -> Workplace:
    """The small estate with its snapshots in the object store."""
    from keymuster.orchestration import connections

    lab = Lab(folder).build()
    (folder / "estate.yaml").write_text(ESTATE.replace("schedule: '0 3 * * *'", "schedule: null"))
    place = Workplace(secrets=Secrets(connections.fields, connections.database_address, connections.storage_options))
    for station in ("lab-files", "lab-ca"):
        steps.collect(place, station, NOON)
    assert lab.root
    return place


def start(environ: dict[str, str], url: str, folder: Path) -> None:
    services.spawn(folder, "api-server", ["api-server"], environ)
    services.wait(folder, "api-server", f"{url}/execution/health", lambda body: "healthy" in body)
    services.spawn(folder, "scheduler", ["scheduler"], environ)
    services.spawn(folder, "dag-processor", ["dag-processor"], environ)
    options = ["--concurrency", "2", "--without-gossip", "--without-mingle", "--skip-serve-logs"]
    for name in ("w1", "w2"):
        marked = {**environ, "KEYMUSTER_TEST_HOST": name}
        services.spawn(folder, f"worker-{name}", ["celery", "worker", "-H", name, *options], marked)
    for name in ("w1", "w2"):
        until(lambda log=folder / f"worker-{name}.log": " ready." in log.read_text(errors="replace"), f"worker {name}")


def test_an_audit_in_eight_shards_on_two_workers(stack: tuple[dict[str, str], str, str, Path], tmp_path: Path) -> None:
    environ, url, password, folder = stack
    place = collected(tmp_path / "estate")
    start(environ, url, folder)
    api = Api.log_in(url, password)
    until(lambda: api.has_dags("audit", "report", "remediate"), "the DAGs")
    run = api.trigger("audit", as_of=f"{NOON:%Y-%m-%d}")
    assert api.finished("audit", run) == "success"

    tasks = api.get(f"dags/audit/dagRuns/{run}/taskInstances", limit=100)["task_instances"]
    judged = [task for task in tasks if task["task_id"] == "judge"]
    assert [task["state"] for task in judged] == ["success"] * SHARDS
    assert set(Counter(task["hostname"] for task in judged)) == {"w1", "w2"}
    assert {task["rendered_map_index"] for task in judged} == {f"lab {n} of {SHARDS}" for n in range(1, SHARDS + 1)}

    uris = [uri for uri in place.store.audits("lab") if NOON.strftime("%Y%m%dT2359") in uri]
    (result,) = [place.store.get_audit(uri) for uri in uris]
    (finding,) = result.findings.to_pylist()
    assert finding["rule_id"] == "key.file.private"
    assert result.manifest.kind == "backfill"
    until(lambda: any((tmp_path / "home" / "reports" / "lab").glob("20261123T2359*/executive.html")), "the report")
    assert not [text for text in map(json.dumps, tasks) if environ["AIRFLOW__CORE__FERNET_KEY"] in text]
