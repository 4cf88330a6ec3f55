"""Makes tickets follow findings: first a plan, then its steps. A second plan after that is empty.

    plan = reconcile(result, delta, ledger, "redmine", settings, limit=200, reopen_days=30, threshold=Severity.HIGH, now=now)
    apply(plan, ledger, "redmine", settings)

The rules, by what the audit and the ticket say:

| finding | ticket | what is done |
|---|---|---|
| fails, at or above the threshold | none | `open`, worst first; beyond `limit` one `overflow` ticket, see below |
| stands | open | `comment` if severity, owner, places or waiver changed, else nothing |
| waived | open | `comment`, once; it stays open, for its owner decides |
| resolved, with complete evidence | open | `close` |
| unconfirmed | any | nothing: absence from an incomplete snapshot proves nothing |
| stands | closed by people, after the evidence was gathered | nothing: the next audit decides |
| stands | closed by people | `reopen`, once, and says why; closed again, it is a request for a waiver: `comment`, then silence |
| stands | rejected by people ("won't fix") | a request for a waiver at once: `comment`, then silence; see Ledger.waiver_requests |
| stands | deleted by people | `open` once more; deleted again, a request for a waiver |
| came back | closed on resolution | `reopen` within `reopen_days`, after that `open` a new ticket that names the old |
| stands | never confirmed (time-out, crash) | `adopt` if its marker is found; else, after `settle`, filed again |
| in two estates | | one ticket; closed when both have resolved it |

A finding in the overflow ticket stays there until it is resolved. Closing the overflow ticket asks for the next `limit` tickets, and the
overflow ticket comes back with the rest. Audits that are not live are planned without looking at the tracker, and never applied.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from keymuster.ledger import Ledger, TicketRow
from keymuster.model import Delta, Severity, finding_key
from keymuster.policy import Policy
from keymuster.protocols import TicketState
from keymuster.remediation_apply import apply
from keymuster.remediation_overflow import Overflow
from keymuster.remediation_plan import Action, ActionKind, Applied, RemediationPlan
from keymuster.remediation_reconcile import Reconciler
from keymuster.remediation_ticket import Row, Writer
from keymuster.remediation_tracker import Tracker
from keymuster.results import AuditResult

__all__ = ["Action", "ActionKind", "Applied", "RemediationPlan", "apply", "reconcile"]

SETTLE = timedelta(minutes=10)
"""How long a request without an answer may still bring forth a ticket."""
_ORDER = (ActionKind.ADOPT, ActionKind.CLOSE, ActionKind.COMMENT, ActionKind.REOPEN, ActionKind.OPEN, ActionKind.OVERFLOW)
_log = logging.getLogger(__name__)


def reconcile(
    result: AuditResult,
    delta: Delta | None,
    ledger: Ledger,
    tracker_name: str,
    tracker_settings: BaseModel | Mapping[str, Any] | None,
    *,
    limit: int,
    reopen_days: int,
    threshold: Severity | str,
    now: datetime,
    fix_days: Mapping[str, int] | None = None,
    settle: timedelta = SETTLE,
) -> RemediationPlan:
    """Compare findings, ledger and tracker; changes nothing. `fix_days`: the policy's. Record the audit in the ledger before.

    An audit older than the newest one recorded asks for nothing. Raises TrackerError, LedgerError, ContentError (template).
    """
    manifest = result.manifest
    tracker = Tracker(tracker_name, tracker_settings, offline=manifest.kind != "live")
    tracker.check()
    plan = RemediationPlan(manifest.estate, tracker.target, manifest.key, manifest.as_of, manifest.kind, now, ())
    newest = ledger.last_audit(manifest.estate)
    if newest and newest.as_of > manifest.as_of and manifest.kind == "live":
        reason = f"the audit as of {newest.as_of:%Y-%m-%d %H:%M} is newer and decides"
        return replace(plan, left=(Action(ActionKind.NONE, "", "superseded", reason),))
    findings: list[Row] = result.findings.to_pylist()
    rows = ledger.tickets(tracker.target)
    writer = _writer(result, ledger, findings, fix_days or Policy().fix_days)
    level = Severity.of(threshold) if isinstance(threshold, str) else threshold
    reconciler = Reconciler(writer, tracker, rows, level, timedelta(days=reopen_days), settle, now, _evidence(result))
    overflow = _overflow(reconciler, finding_key("keymuster.overflow", manifest.estate), limit)
    resolved = _resolved(findings, delta, ledger, manifest.estate, tracker.target)
    reconciler.standing([f for f in findings if not overflow.holds(f)])
    reconciler.want(overflow.released(findings))
    reconciler.resolved(resolved)
    rest = reconciler.take_openings(limit)
    opened = {action.key for action in reconciler.actions if action.kind == ActionKind.OPEN}
    overflow.plan(findings, rest, opened, resolved)
    actions = sorted([*reconciler.actions, *overflow.actions], key=lambda a: _ORDER.index(a.kind))
    _log.info("planned for %s: %d steps, %d left as they are", manifest.estate, len(actions), len(reconciler.left))
    return replace(plan, actions=tuple(actions), left=tuple(reconciler.left))


def _overflow(reconciler: Reconciler, key: str, limit: int) -> Overflow:
    row = reconciler.rows.get(key)
    ticket = reconciler.settled(key, row)
    ref = ticket.ref if ticket and ticket.state == "confirmed" else None
    state = reconciler.tracker.states([ref]).get(ref, TicketState("open")) if ref else TicketState("open")
    waiting = row is not None and ticket is None
    return Overflow(key, limit, reconciler.threshold, reconciler.writer, reconciler.rows, ticket, state, waiting)


def _writer(result: AuditResult, ledger: Ledger, findings: Sequence[Row], fix_days: Mapping[str, int]) -> Writer:
    keys = [f["key"] for f in findings]
    estate = result.manifest.estate
    return Writer(result, ledger.first_seen(keys, estate), ledger.open_since(keys, estate), fix_days)


def _evidence(result: AuditResult) -> Mapping[str, datetime]:
    return {s.station: s.snapshot.as_of for s in result.manifest.stations if s.snapshot}


def _resolved(findings: Sequence[Row], delta: Delta | None, ledger: Ledger, estate: str, tracker: str) -> tuple[str, ...]:
    """By level, not by edge: what the ledger holds resolved with a ticket still open, so that a run that failed loses nothing."""
    never = {f["key"] for f in findings} | set(delta.unconfirmed if delta else ())
    return tuple(key for key in ledger.resolved_with_ticket(estate, tracker) if key not in never)


def ticket_of(ledger: Ledger, tracker_name: str, tracker_settings: BaseModel | Mapping[str, Any] | None, key: str) -> TicketRow | None:
    """What the ledger knows of the ticket of a finding."""
    return ledger.ticket(Tracker(tracker_name, tracker_settings, offline=True).target, key)
