"""A small estate that tests run the real DAGs on: certificates in a folder, and an OpenSSL CA."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keymuster.orchestration.workplace import Workplace
from keymuster.results import AuditResult
from keymuster.settings import PROJECT, settings
from tests.certificates import Builder, Issued, authority, leaf

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ESTATE = """
estate: lab
stations:
  - {name: lab-files, source: files, schedule: '0 3 * * *', owner: platform, settings: {paths: [pki]}}
  - {name: lab-ca, source: openssl_ca, schedule: '0 3 * * *', owner: pki-team, settings: {folder: ca}}
"""


@dataclass
class Lab:
    """The estate's files and the DAGs over them."""

    folder: Path
    dags: dict[str, Any] = field(default_factory=dict)
    root: Issued = field(default_factory=lambda: authority("Lab Root"))

    def build(self) -> Lab:
        """Write estate, certificates and CA."""
        (self.folder / "estate.yaml").write_text(ESTATE)
        (self.folder / "pki").mkdir()
        for number in range(25):
            self.put(f"host{number}.lab.test")
        self.put_key("old.lab.test")
        self.build_ca()
        return self

    def put(self, name: str) -> Path:
        """One certificate in the folder."""
        path = self.folder / "pki" / f"{name}.pem"
        path.write_text(leaf(name, by=self.root, not_before=NOON - timedelta(days=10), not_after=NOON + timedelta(days=80)).pem)
        return path

    def put_key(self, name: str) -> Path:
        """A private key that everybody on the host may read: the one thing wrong with this estate."""
        path = self.folder / "pki" / f"{name}.key"
        path.write_text(leaf(name, by=self.root).private_pem)
        path.chmod(0o644)
        return path

    def build_ca(self) -> None:
        """An `openssl ca` folder with one certificate issued."""
        ca = self.folder / "ca"
        (ca / "newcerts").mkdir(parents=True)
        issued = Builder("ca1.lab.test").dns("ca1.lab.test").serial(0x1001).valid(NOON - timedelta(days=5), NOON + timedelta(days=80))
        (ca / "newcerts" / "1001.pem").write_text(issued.issue(self.root).pem)
        (ca / "ca.pem").write_text(self.root.pem)
        (ca / "index.txt").write_text(f"V\t{NOON + timedelta(days=80):%y%m%d%H%M%SZ}\t\t1001\tunknown\t/CN=ca1.lab.test\n")

    def load(self) -> Lab:
        """Load the DAGs; their tasks are tried once."""
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(dag_folder=str(PROJECT / "dags"), bundle_name="dags-folder", bundle_path=PROJECT / "dags")
        assert bag.import_errors == {}
        self.dags = dict(bag.dags)
        for dag in self.dags.values():
            for task in dag.tasks:
                task.retries = 0
        return self

    def run(self, dag_id: str, instant: datetime, **conf: Any) -> dict[str, str]:
        """One run; states by task, the run's own under `run`. Mapped tasks count once, by their worst state."""
        done = self.dags[dag_id].test(logical_date=instant, run_conf=conf or None)
        states = {"run": str(done.state)}
        for ti in done.get_task_instances():
            states[ti.task_id] = str(ti.state)
        return states

    def collect(self, instant: datetime) -> None:
        """Both stations, without Airflow: the steps that their DAGs run, in half the time."""
        from keymuster.orchestration import steps

        for station in ("lab-files", "lab-ca"):
            steps.collect(self.place, station, instant)

    def round(self, instant: datetime) -> None:
        """Everything once."""
        self.collect(instant)
        for dag_id in ("audit", "report", "remediate"):
            assert self.run(dag_id, instant)["run"] == "success", dag_id

    @property
    def place(self) -> Workplace:
        """Store, ledger and the rest, as the tasks have them."""
        from keymuster.orchestration import tasks  # Airflow: not before conftest.py has set its environment

        return tasks.place()

    @property
    def audits(self) -> list[AuditResult]:
        """All audits, oldest first."""
        return [self.place.store.get_audit(uri) for uri in self.place.store.audits("lab")]

    @property
    def tickets(self) -> dict[str, str]:
        """Text of the tickets by file name."""
        return {path.name: path.read_text() for path in sorted((settings().home / "tickets").glob("*.md"))}
