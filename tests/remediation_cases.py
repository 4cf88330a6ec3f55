"""What the tests of tickets share: one estate, one ledger and one tracker, and runs of the two over time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keymuster.ledger import Ledger
from keymuster.model import Delta
from keymuster.remediation import Applied, RemediationPlan, apply, reconcile
from keymuster.results import AuditResult
from tests.audit_results import DAY, build, failing, station

RULE = "key.file.private"


def day(number: float) -> datetime:
    return DAY + timedelta(days=number)


@dataclass
class Desk:
    """Audits, records, plans and applies, a day at a time."""

    ledger: Ledger
    tracker: str
    settings: dict[str, Any]
    limit: int = 50
    today: float = 0
    results: list[AuditResult] = field(default_factory=list)

    def audit(self, *rows: dict[str, Any], gone: str = "resolved", **values: Any) -> AuditResult:
        """A day passes; what is no longer there is resolved or unconfirmed."""
        self.today += 1
        result = build(list(rows), **{"as_of": day(self.today), "stations": [station(as_of=day(self.today))], **values})
        before = self.results[-1] if self.results else None
        had = set(before.findings["key"].to_pylist()) if before else set()
        has = {r["key"] for r in rows}
        lost = tuple(sorted(had - has))
        self.delta = Delta(tuple(has - had), tuple(has & had), *((lost, ()) if gone == "resolved" else ((), lost)))
        self.ledger.record(result, self.delta)
        if result.manifest.kind == "live":
            self.results.append(result)
        return result

    def plan(self, result: AuditResult | None = None, **values: Any) -> RemediationPlan:
        knobs = {"limit": self.limit, "reopen_days": 30, "threshold": "high", "now": day(self.today), **values}
        return reconcile(result or self.results[-1], self.delta, self.ledger, self.tracker, self.settings, **knobs)

    def apply(self, plan: RemediationPlan) -> Applied:
        return apply(RemediationPlan.from_json(plan.as_json()), self.ledger, self.tracker, self.settings, wait_seconds=60)

    def run(self, *rows: dict[str, Any], **values: Any) -> list[tuple[str, str]]:
        """Audit and remedy; what was done, as (kind, event). The second plan is empty, always."""
        self.audit(*rows, **values)
        return self.again()

    def again(self, **values: Any) -> list[tuple[str, str]]:
        plan = self.plan(**values)
        self.apply(plan)
        second = self.plan(**values)
        assert second.empty, second.actions
        return [(str(a.kind), a.event) for a in plan.actions]


def finding(name: str = "a", **values: Any) -> dict[str, Any]:
    return failing(RULE, asset=name, **values)


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*.md"))}


def set_status(path: Path, status: str) -> None:
    """What a person does with an editor."""
    path.write_text(re.sub(r"(?m)^status: .*$", f"status: {status}", path.read_text(), count=1))
