"""What a run at the terminal shows in the end: the newest audit of an estate, and where its reports lie."""

from __future__ import annotations

import pyarrow.compute as pc
from rich.console import Console

from keymuster.model import Severity
from keymuster.orchestration.reports import folder_of
from keymuster.orchestration.workplace import Workplace
from keymuster.reporting import build
from keymuster.reporting_terminal import summary
from keymuster.results import AuditResult


def show(console: Console, place: Workplace, estate: str) -> Severity | None:
    """Print the newest audit of an estate; returns its worst severity, None without a finding."""
    newest = next(reversed(place.store.audits(estate)), None)
    if newest is None:
        console.print(f"estate {estate}: there is no audit", style="yellow", markup=False)
        return None
    console.rule(f"estate {estate}")
    context = build(place.store, place.ledger, newest)
    console.print(summary(context))
    for page in sorted(folder_of(place, estate, newest).absolute().glob("*.html")):
        console.print(f"{page.stem} report: {page.as_uri()}", markup=False)
    return worst(context.result)


def worst(result: AuditResult) -> Severity | None:
    """The worst severity among what fails and is not waived."""
    failing = result.findings.filter(pc.equal(result.findings["outcome"], "fail"))
    return max((Severity.of(text) for text in pc.unique(failing["severity"]).to_pylist()), default=None)
