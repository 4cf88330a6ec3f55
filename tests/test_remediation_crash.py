"""Exactly once, whatever dies: random histories of findings, people and kill -9, on real files and real processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keymuster.ledger import Ledger
from keymuster.model import Coverage
from keymuster.remediation import RemediationPlan, apply
from keymuster.trackers import files
from tests.audit_results import station
from tests.remediation_cases import Desk, day, files_of, finding, set_status

NAMES = ("a", "b", "c", "d")
KEYS = {finding(name)["key"]: name for name in NAMES}


def applied_and_killed(plan: RemediationPlan, address: str, folder: Path, calls: int) -> None:
    """Apply in a process of its own that is killed at its n-th call of a function of ours: no cleaning up, no goodbye."""
    child = os.fork()
    if child == 0:
        try:
            left = calls

            def count(frame, event: str, _) -> None:
                nonlocal left
                if event in {"call", "return"} and "/keymuster/" in frame.f_code.co_filename:
                    left -= 1
                    if left <= 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            ledger = Ledger(address)
            sys.setprofile(count)
            apply(plan, ledger, "files", {"folder": folder}, wait_seconds=30)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


class Histories(RuleBasedStateMachine):
    """Findings come and go, stations fail, people edit tickets, runs are killed."""

    @initialize(limit=st.integers(1, 4))
    def begin(self, limit: int) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="keymuster-"))
        self.folder = self.home / "tickets"
        self.address = f"sqlite:///{self.home}/ledger.db"
        self.desk = Desk(Ledger(self.address).migrate(), "files", {"folder": self.folder}, limit=limit)

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.desk.ledger.close()
            shutil.rmtree(self.home)

    @rule(
        failing=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["medium", "high", "critical", "waived"])),
        complete=st.booleans(),
        days=st.sampled_from([1, 1, 1, 40]),
    )
    def audit(self, failing: dict[str, str], complete: bool, days: int) -> None:
        self.desk.today += days - 1
        rows = [finding(n, **({"outcome": "waived"} if s == "waived" else {"severity": s})) for n, s in failing.items()]
        now = day(self.desk.today + 1)
        seen = station(as_of=now, coverage=Coverage(10, 10 if complete else 5))
        before = self.statuses()
        self.desk.audit(*rows, gone="resolved" if complete else "unconfirmed", stations=[seen])
        self.standing = {r["key"] for r in rows if r["outcome"] == "fail" and r["severity"] in {"high", "critical"}}
        self.complete = complete
        assert self.statuses() == before, "an audit alone moves no ticket"

    @rule(status=st.sampled_from(["closed", "done", "rejected", "open"]), number=st.integers(0, 9))
    def people_edit(self, status: str, number: int) -> None:
        tickets = sorted(self.folder.glob("*.md")) if self.folder.is_dir() else []
        if tickets:
            path = tickets[number % len(tickets)]
            set_status(path, status)
            os.utime(path, ((day(self.desk.today) - timedelta(hours=1)).timestamp(),) * 2)

    @rule(number=st.integers(0, 9))
    def people_delete(self, number: int) -> None:
        tickets = sorted(self.folder.glob("*.md")) if self.folder.is_dir() else []
        if tickets and number < 2:
            tickets[number % len(tickets)].unlink()

    @rule(calls=st.integers(1, 900))
    def killed(self, calls: int) -> None:
        if self.desk.results:
            applied_and_killed(self.desk.plan(), self.address, self.folder, calls)

    @rule()
    def run(self) -> None:
        if not self.desk.results:
            return
        open_before = {k for k, s in self.statuses().items() if s == "open"}
        later = day(self.desk.today) + timedelta(hours=2)  # long after any request without an answer
        self.desk.again(now=later)
        after = self.statuses()
        if not self.complete:
            assert all(after.get(k) == "open" for k in open_before & KEYS.keys() if k in after), "nothing closes on unconfirmed"
        rows = self.desk.ledger.tickets(f"files {self.folder}")
        for key in self.standing:
            row = rows[key]
            asked = row.waiver_requested_at is not None
            assert asked or row.state == "overflow" or after.get(key) == "open", "every failure is in a ticket, or people were heard"

    @invariant()
    def no_ticket_without_a_reason(self) -> None:
        """The first one, and one after each resolution and each deletion by people."""
        if hasattr(self, "folder"):
            made = Counter(name.split(".")[0].split("-")[0] for name in files_of(self.folder))
            for key in made:
                log = [event for _, event, _, _ in self.desk.ledger.ticket_log(f"files {self.folder}", key)]
                assert made[key] <= 1 + log.count("closed") + log.count("counted"), (key, log)

    def statuses(self) -> dict[str, str]:
        """State of the newest ticket by key."""
        settings_ = files.Settings(folder=self.folder)
        found = {}
        for key in KEYS:
            ref = files.find(settings_, key)
            if ref:
                found[key] = files.states(settings_, [ref])[ref].status
        return found


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=20, stateful_step_count=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("calls", range(10, 400, 15))
def test_killed_at_any_moment_then_one_ticket(tmp_path: Path, calls: int) -> None:
    address, folder = f"sqlite:///{tmp_path}/ledger.db", tmp_path / "tickets"
    desk = Desk(Ledger(address).migrate(), "files", {"folder": folder})
    a, b = finding("a"), finding("b")
    desk.audit(a, b)
    applied_and_killed(desk.plan(), address, folder, calls)
    desk.apply(desk.plan(now=day(1.5)))
    assert sorted(files_of(folder)) == sorted([f"{a['key']}.md", f"{b['key']}.md"])
    assert desk.plan(now=day(1.6)).empty
    desk.ledger.close()


def _apply_at_once(address: str, folder: Path, plan: dict, barrier, results) -> None:
    ledger = Ledger(address)
    plan = RemediationPlan.from_json(plan)
    barrier.wait(30)
    done = apply(plan, ledger, "files", {"folder": folder}, wait_seconds=60)
    results.put((dict(done.counts), done.overtaken))
    ledger.close()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server("postgres"))])
def test_two_processes_apply_at_once(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    address = f"sqlite:///{tmp_path}/ledger.db" if kind == "sqlite" else request.getfixturevalue("postgres")
    folder = tmp_path / "tickets"
    desk = Desk(Ledger(address).migrate(), "files", {"folder": folder})
    rows = [finding(f"f{n}") for n in range(15)]
    desk.audit(*rows)
    plan = desk.plan().as_json()
    desk.ledger.close()
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_apply_at_once, args=(address, folder, plan, barrier, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    outcomes = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sorted(outcomes, key=str) == [({"open": 15}, 0), ({}, 15)]
    assert sorted(files_of(folder)) == sorted(f"{r['key']}.md" for r in rows)
    assert desk.plan().empty
    desk.ledger.close()


def test_a_run_that_died_before_sending_lets_the_next_one_go_on_at_once(tmp_path: Path) -> None:
    """`reserved` says that nothing was sent: no need to wait for an answer."""
    desk = Desk(Ledger(f"sqlite:///{tmp_path}/ledger.db").migrate(), "files", {"folder": tmp_path / "t"})
    a = finding("a")
    desk.audit(a)
    plan = desk.plan()
    version = desk.ledger.reserve(plan.tracker, a["key"], estate="sample", told=plan.actions[0].told, now=day(1), version=0)
    assert desk.again() == [("open", "retry")]
    row = desk.ledger.ticket(plan.tracker, a["key"])
    assert row is not None
    assert (version, row.state, row.version) == (1, "confirmed", 4)
    desk.ledger.close()


def test_a_run_that_died_while_sending_makes_the_next_one_wait(tmp_path: Path) -> None:
    desk = Desk(Ledger(f"sqlite:///{tmp_path}/ledger.db").migrate(), "files", {"folder": tmp_path / "t"})
    a = finding("a")
    desk.audit(a)
    plan = desk.plan()
    desk.ledger.reserve(plan.tracker, a["key"], estate="sample", told=plan.actions[0].told, now=day(1), version=0)
    desk.ledger.sent(plan.tracker, a["key"], 1, now=day(1))
    assert desk.again() == []
    assert desk.plan().left[0].event == "waiting"
    assert desk.again(now=day(1) + timedelta(minutes=11)) == [("open", "retry")]
    desk.ledger.close()
